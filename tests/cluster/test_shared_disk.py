"""Replicas of the provisioner on one machine share its disk: the clone of the environments repository, and Terraform's
directories. A lock that one of them holds is the others' too, so several in this process stand for several processes:
flock(2) belongs to the open file."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from chassis.failures import TransientError
from services.provisioner.adapters.git import GitEnvironments
from services.provisioner.adapters.git_command import GitKnobs
from services.provisioner.adapters.terraform_workspace import locked
from services.provisioner.ports import Author, Change

CHANGE = Change(Author("ann", "ann@example.test"), "Race", "run")
REPLICAS = 3
COMMITS = 6


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


async def test_replicas_share_a_clone_and_every_commit_of_theirs_arrives(tmp_path: Path) -> None:
    remote, token = tmp_path / "remote.git", tmp_path / "token"
    git("init", "--bare", "--initial-branch=main", str(remote))
    token.write_text("s3cret-token\n")
    knobs = GitKnobs(str(remote), "main", "slipway", token, tmp_path / "clone.git", protocols="file")
    replicas = [GitEnvironments(knobs) for _ in range(REPLICAS)]

    async def work(number: int) -> None:
        for count in range(COMMITS):
            name = f"env-{number}-{count}"
            made = await replicas[number].write(name, {"x": name.encode()}, CHANGE)
            found = await replicas[(number + 1) % REPLICAS].read(name)
            assert found is not None
            assert found.commit == made.commit

    await asyncio.gather(*map(work, range(REPLICAS)))
    assert int(git(f"--git-dir={remote}", "rev-list", "--count", "main")) == REPLICAS * COMMITS


def test_an_environment_that_one_replica_works_on_is_not_touched_by_another(tmp_path: Path) -> None:
    with locked(tmp_path / "demo-api"), pytest.raises(TransientError), locked(tmp_path / "demo-api"):
        raise AssertionError("both work on it")

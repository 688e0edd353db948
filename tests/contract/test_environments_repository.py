"""What the provisioner may rely on from the environments repository: asked of the twin and of git."""

import asyncio
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from chassis.failures import PermanentError, TransientError
from contracts.values import LeftBehind, Receipt, Resource
from services.provisioner.adapters.git import GitEnvironments
from services.provisioner.adapters.git_command import GitKnobs, Output
from services.provisioner.adapters.memory import MemoryEnvironments
from services.provisioner.ports import Author, Change, EnvironmentsRepository

FILES = {"manifest.yaml": b"name: demo\n", "modules/dns/main.tf": b"# \xc3\xa9\x00 ${x}\n", "empty": b""}
RECEIPT = Receipt(
    removed=(Resource(kind="route", id="env-demo"),),
    left_behind=(LeftBehind(resource=Resource(kind="database", id="apps/env_demo"), reason="not\nours \u2028 …"),),
)


def change(run: str = "run-1", summary: str = "Create demo") -> Change:
    return Change(Author("ann", "ann@example.test"), summary, run)


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "remote.git"))
    return tmp_path / "remote.git"


def clone_of(remote: Path, name: str = "clone.git") -> GitEnvironments:
    token = remote.parent / "token"
    token.write_text("s3cret-token\n")
    knobs = GitKnobs(str(remote), "main", "slipway", token, remote.parent / name, protocols="file")
    return GitEnvironments(knobs)


def count_commands(repository: GitEnvironments) -> Counter[str]:
    """How often each git command is run from now on."""
    clone, ran = repository._clone, Counter[str]()
    run = clone._commands.run

    async def counting(*arguments: str, stdin: bytes = b"") -> Output:
        ran[arguments[0]] += 1
        return await run(*arguments, stdin=stdin)

    clone._commands.run = counting  # type: ignore[method-assign]
    return ran


@pytest.fixture(params=["twin", "git"])
def repository(request: pytest.FixtureRequest) -> EnvironmentsRepository:
    return MemoryEnvironments() if request.param == "twin" else clone_of(request.getfixturevalue("remote"))


async def test_what_was_written_is_read_back_to_the_byte(repository: EnvironmentsRepository) -> None:
    assert await repository.read("demo") is None
    written = await repository.write("demo", FILES, change())
    assert dict(written.files) == FILES
    assert await repository.read("demo") == written


async def test_writing_the_same_twice_is_one_commit(repository: EnvironmentsRepository) -> None:
    first = await repository.write("demo", FILES, change())
    await repository.write("other", FILES, change())
    again = await repository.write("demo", FILES, change())
    assert again == first


async def test_a_file_that_is_not_wanted_any_more_is_gone(repository: EnvironmentsRepository) -> None:
    first = await repository.write("demo", FILES, change())
    second = await repository.write("demo", {"manifest.yaml": b"name: other\n"}, change("run-2"))
    assert second.commit != first.commit
    assert dict(second.files) == {"manifest.yaml": b"name: other\n"}


async def test_environments_do_not_disturb_each_other(repository: EnvironmentsRepository) -> None:
    names = [f"demo-{number}" for number in range(5)]
    await asyncio.gather(*(repository.write(name, FILES | {"name": name.encode()}, change()) for name in names))
    await repository.remove("demo-0", Receipt(), change())
    for name in names[1:]:
        found = await repository.read(name)
        assert found is not None
        assert found.files["name"] == name.encode()


async def test_a_removal_keeps_its_receipt(repository: EnvironmentsRepository) -> None:
    await repository.write("demo", FILES, change("run-1"))
    assert await repository.receipt("demo", "run-1") is None
    await repository.remove("demo", RECEIPT, change("run-1", "Remove demo"))
    assert await repository.read("demo") is None
    assert await repository.receipt("demo", "run-1") == RECEIPT
    assert await repository.receipt("demo", "run-2") is None
    assert await repository.receipt("other", "run-1") is None


async def test_a_removal_called_twice_keeps_the_first_receipt(repository: EnvironmentsRepository) -> None:
    await repository.write("demo", FILES, change("run-1"))
    await repository.remove("demo", RECEIPT, change("run-1"))
    await repository.remove("demo", Receipt(), change("run-1"))
    assert await repository.receipt("demo", "run-1") == RECEIPT


async def test_a_name_can_be_written_again_after_its_removal(repository: EnvironmentsRepository) -> None:
    await repository.write("demo", FILES, change("run-1"))
    await repository.remove("demo", RECEIPT, change("run-2"))
    await repository.write("demo", FILES, change("run-3"))
    found = await repository.read("demo")
    assert found is not None
    assert dict(found.files) == FILES


async def test_a_directory_is_read_as_a_commit_had_it(repository: EnvironmentsRepository) -> None:
    first = await repository.write("demo", FILES, change("run-1"))
    other = await repository.write("other", FILES, change("run-2"))
    second = await repository.write("demo", {"manifest.yaml": b"name: other\n"}, change("run-3"))
    assert await repository.read("demo", first.commit) == first
    # What is named is the commit that made it so, whichever later one was asked for.
    assert await repository.read("demo", other.commit) == first
    assert await repository.read("demo", second.commit) == second
    assert await repository.read("other", first.commit) is None
    assert await repository.read("demo", "0" * 40) is None


async def test_a_directory_was_not_there_at_the_commit_that_removed_it(repository: EnvironmentsRepository) -> None:
    first = await repository.write("demo", FILES, change("run-1"))
    await repository.remove("demo", Receipt(), change("run-2"))
    last = await repository.write("other", FILES, change("run-3"))
    assert await repository.read("demo", last.commit) is None
    assert await repository.read("demo", first.commit) == first


async def test_a_directorys_versions_are_walked_from_the_newest_to_the_first(
    repository: EnvironmentsRepository,
) -> None:
    written = []
    for number in range(3):
        written.append(await repository.write("demo", {"x": b"%d" % number}, change()))
        await repository.write("other", {"x": b"%d" % number}, change())
    assert await repository.earlier("demo", None) == written[2]
    assert await repository.earlier("demo", written[2].commit) == written[1]
    assert await repository.earlier("demo", written[1].commit) == written[0]
    assert await repository.earlier("demo", written[0].commit) is None
    assert await repository.earlier("nobody", None) is None


async def test_a_time_without_the_directory_is_passed_over(repository: EnvironmentsRepository) -> None:
    first = await repository.write("demo", FILES, change())
    await repository.remove("demo", Receipt(), change())
    assert await repository.earlier("demo", None) == first
    again = await repository.write("demo", {"x": b""}, change())
    assert await repository.earlier("demo", again.commit) == first


async def test_a_commit_names_who_asked_and_the_run(remote: Path) -> None:
    written = await clone_of(remote).write("demo", FILES, change("run-7"))
    shown = git("--git-dir", str(remote), "log", "-1", "--format=%H|%an|%ae|%cn|%s|%(trailers:key=Slipway-Run)", "main")
    assert shown.strip() == f"{written.commit}|ann|ann@example.test|Slipway|Create demo|Slipway-Run: run-7"


async def test_pushes_that_race_all_arrive(remote: Path) -> None:
    """Several provisioners, each with a clone of its own: whoever loses the race builds on the winner."""
    clones = [clone_of(remote, f"clone-{number}.git") for number in range(4)]
    names = [f"demo-{number}" for number in range(8)]
    await asyncio.gather(*(clones[i % 4].write(name, FILES, change()) for i, name in enumerate(names)))
    listed = git("--git-dir", str(remote), "ls-tree", "--name-only", "main:environments").split()
    assert listed == names
    assert git("--git-dir", str(remote), "rev-list", "--count", "main").strip() == "8"


async def test_what_is_wanted_at_once_is_pushed_at_once(remote: Path) -> None:
    repository = clone_of(remote)
    await repository.write("first", FILES, change())
    ran = count_commands(repository)
    names = [f"demo-{number}" for number in range(8)]
    written = await asyncio.gather(*(repository.write(name, {"n": name.encode()}, change(name)) for name in names))
    assert (ran["push"], ran["fetch"]) == (1, 0)
    assert len({one.commit for one in written}) == 8
    # The first one who asks is served at once, and all who came meanwhile by one more.
    assert await asyncio.gather(*(repository.read(name) for name in names)) == written
    assert ran["fetch"] <= 2


async def test_one_that_is_refused_does_not_take_others_with_it(remote: Path) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.write_text(
        "#!/bin/sh\nread old new ref\n"
        "git ls-tree -r --name-only $new | grep -q environments/bad/ && echo permission denied >&2 && exit 1\nexit 0\n"
    )
    hook.chmod(0o755)
    repository = clone_of(remote)
    names = ("good", "bad", "fine")
    came = await asyncio.gather(*(repository.write(name, FILES, change()) for name in names), return_exceptions=True)
    assert [isinstance(one, PermanentError) for one in came] == [False, True, False]
    listed = git("--git-dir", str(remote), "ls-tree", "--name-only", "main:environments").split()
    assert listed == ["fine", "good"]


async def test_whoever_stops_waiting_has_nothing_committed_later(remote: Path) -> None:
    repository = clone_of(remote)
    await repository.write("first", FILES, change())
    asked = [asyncio.create_task(repository.write(name, FILES, change())) for name in ("kept", "dropped")]
    await asyncio.sleep(0)
    asked[1].cancel()
    await asyncio.wait(asked)
    before = git("--git-dir", str(remote), "rev-parse", "main")
    await repository.write("first", FILES, change())
    assert git("--git-dir", str(remote), "rev-parse", "main") == before
    assert (await repository.read("kept")) is not None


async def test_an_edit_by_hand_elsewhere_is_kept(remote: Path, tmp_path: Path) -> None:
    repository = clone_of(remote)
    await repository.write("demo", FILES, change())
    work = tmp_path / "work"
    git("clone", "--quiet", str(remote), str(work))
    (work / "README.md").write_text("by hand\n")
    git("-C", str(work), "add", "README.md")
    git("-C", str(work), "-c", "user.name=eve", "-c", "user.email=e@e.test", "commit", "--quiet", "-m", "By hand")
    git("-C", str(work), "push", "--quiet", "origin", "main")
    await repository.write("other", FILES, change())
    assert git("--git-dir", str(remote), "ls-tree", "--name-only", "main").split() == ["README.md", "environments"]


async def test_a_commit_beside_the_branch_is_not_known(remote: Path, tmp_path: Path) -> None:
    """Somebody may push a branch of their own; what counts is one."""
    repository = clone_of(remote)
    await repository.write("demo", FILES, change())
    work = tmp_path / "work"
    git("clone", "--quiet", str(remote), str(work))
    (work / "environments" / "demo" / "manifest.yaml").write_text("name: eve\n")
    eve = ("-c", "user.name=eve", "-c", "user.email=e@e.test")
    git("-C", str(work), *eve, "commit", "--quiet", "--all", "-m", "Beside")
    git("-C", str(work), "push", "--quiet", "origin", "HEAD:refs/heads/beside")
    beside = git("-C", str(work), "rev-parse", "HEAD").strip()
    await repository._clone.git("fetch", "--quiet", str(remote), "refs/heads/beside")
    assert await repository.read("demo", beside) is None


async def test_a_forge_that_is_away_is_worth_another_try(tmp_path: Path) -> None:
    repository = clone_of(tmp_path / "nowhere.git")
    with pytest.raises(TransientError):
        await repository.write("demo", FILES, change())


async def test_a_clone_that_was_lost_is_made_again(remote: Path) -> None:
    first = await clone_of(remote, "a.git").write("demo", FILES, change())
    assert await clone_of(remote, "b.git").read("demo") == first

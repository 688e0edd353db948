"""What Compose itself makes of the file, where the program is: `docker compose config` needs no engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from deploy.compose.images import COMPOSE_FILE
from deploy.embedded.processes import PROJECT
from tests.deploy.composition import Container, containers


def _program() -> list[str]:
    """Compose as a plugin or as a program of its own; empty where there is neither."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version"], capture_output=True, text=True, check=False)
            if done.returncode == 0 and "Compose" in done.stdout:
                return command
    return []


PROGRAM = _program()
pytestmark = pytest.mark.skipif(not PROGRAM, reason="Docker Compose is not installed here; the schema was checked")


@pytest.fixture(scope="module")
def resolved() -> dict[str, Any]:
    done = subprocess.run(
        [*PROGRAM, "--file", str(COMPOSE_FILE), "--profile", "*", "config", "--format", "json"],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "Compose warns of something"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("container", containers().values(), ids=containers())
def test_compose_resolves_a_container_as_these_tests_do(container: Container, resolved: dict[str, Any]) -> None:
    theirs = resolved["services"][container.name]
    assert theirs["image"] == container.told["image"]
    assert (theirs["entrypoint"] or []) == container.told.get("entrypoint", [])
    # `$$` is how Compose writes a dollar.
    told = {name: value.replace("$$", "$") for name, value in theirs.get("environment", {}).items()}
    assert told == {name: str(value) for name, value in container.told.get("environment", {}).items()}
    assert (theirs["command"] or []) == container.told.get("command", [])
    assert theirs.get("tmpfs", []) == container.told.get("tmpfs", [])
    mounts = [(mount["source"], mount["target"], mount.get("read_only", False)) for mount in theirs.get("volumes", [])]
    mine = [(one["source"], one["target"], one.get("read_only", False)) for one in container.volumes]
    assert [mount for mount in mounts if not mount[0].startswith("/")] == mine
    needs = {name: how["condition"] for name, how in theirs.get("depends_on", {}).items()}
    assert needs == container.needs
    published = [f"{port['host_ip']}:{port['published']}:{port['target']}" for port in theirs.get("ports", [])]
    assert published == container.told.get("ports", [])
    assert theirs["user"] == "10001:10001"
    assert theirs["read_only"] is True

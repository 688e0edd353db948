"""The containers themselves, where there is a Docker engine: `docker compose up`, to the first environment."""

from __future__ import annotations

import subprocess
import time

import httpx
import pytest
from testcontainers.compose import DockerCompose

from deploy.embedded.processes import PROJECT

_UP_SECONDS = 900.0


def _why_not() -> str:
    """What is missing to run containers here; empty where nothing is."""
    for command, what in ((["docker", "info"], "Docker engine"), (["docker", "compose", "version"], "Docker Compose")):
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return f"there is no {what} here"
        if done.returncode != 0:
            return f"there is no {what} here"
    return ""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(_UP_SECONDS * 2),
    pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "Docker is here"),
]


def test_compose_up_brings_up_the_platform_and_its_first_environment() -> None:
    with DockerCompose(str(PROJECT), build=True, wait=False) as compose:
        deadline = time.monotonic() + _UP_SECONDS
        demo = compose.get_container("demo", include_all=True)
        while demo.State != "exited":
            assert time.monotonic() < deadline, compose.get_logs("demo")
            time.sleep(1)
            demo = compose.get_container("demo", include_all=True)
        assert demo.ExitCode == 0, compose.get_logs("demo")
        answer = httpx.get("http://127.0.0.1:8015/", headers={"Host": "demo-api.slipway.localhost"}, trust_env=False)
        assert answer.status_code == 200
        states = {one.Service: one.Health for one in compose.get_containers() if one.Health}
        assert set(states.values()) == {"healthy"}, states

"""The forges that keep the promises of `services.cicd.ports.Forge`: the twin, the embedded one, an emulator of GitHub
that others wrote, and GitHub itself.

The emulator is npm's `emulate` 0.11.2 (its `latest` is something else): `SLIPWAY_EMULATE` names the program. GitHub is
asked where `SLIPWAY_LIVE_GITHUB_TOKEN` and `SLIPWAY_LIVE_GITHUB_ORG` are set; every repository that a test makes there
is called `slipway-live-…` and is deleted at the end of it.
"""

import json
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from deploy.embedded.local_http import answers
from deploy.embedded.ports import free_port
from services.cicd.adapters.github import GitHubForge
from services.cicd.adapters.memory import InMemoryForge
from services.cicd.ports import Forge
from tests.contract.pipelines.workbench import client_of
from tests.integration.forge_process import forge_process
from tests.stand_ins import running, start

EMULATOR = "SLIPWAY_EMULATE"
LIVE_TOKEN, LIVE_ORGANISATION = "SLIPWAY_LIVE_GITHUB_TOKEN", "SLIPWAY_LIVE_GITHUB_ORG"
WHOLE = ("memory", "embedded", "github")
"""Those that have every call."""


@dataclass
class Place:
    """A forge, and an organisation in it where repositories may be made."""

    forge: Forge
    organisation: str
    made: list[str] = field(default_factory=list)

    async def repository(self) -> str:
        """A new repository with an initial commit."""
        name = f"{self.organisation}/slipway-live-{secrets.token_hex(4)}"
        self.made.append(name)
        await self.forge.create(name, description="A test of Slipway", homepage="")
        return name


@pytest.fixture(scope="package")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with forge_process(tmp_path_factory.mktemp("forge")) as process:
        yield client_of(process)


@pytest.fixture(scope="package")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    program = os.environ.get(EMULATOR)
    if not program:
        pytest.skip(f"{EMULATOR} is not set: npm install emulate@0.11.2, and name its program")
    home, port, token = tmp_path_factory.mktemp("emulator"), free_port(), "gho_emulated"
    seed = home / "seed.json"
    seed.write_text(
        json.dumps(
            {
                "tokens": {token: {"login": "slipway", "scopes": ["repo", "admin:org", "delete_repo"]}},
                "github": {
                    "users": [{"login": "slipway"}],
                    "orgs": [{"login": "acme", "members": [{"login": "slipway", "role": "admin"}]}],
                },
            }
        )
    )
    argv = [program, "start", "--service", "github", "--port", str(port), "--seed", str(seed)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    with running(start(argv, environment, home), lambda: answers(f"http://localhost:{port}/rate_limit")):
        yield GitHubForge(f"http://localhost:{port}", SecretStr(token), pause_seconds=(0, 0))


@pytest.fixture(scope="package")
def github() -> Forge:
    token = os.environ.get(LIVE_TOKEN)
    if not token or not os.environ.get(LIVE_ORGANISATION):
        pytest.skip(f"{LIVE_TOKEN} and {LIVE_ORGANISATION} are not set: nothing is asked of GitHub itself")
    return GitHubForge("https://api.github.com", SecretStr(token))


def _forge(request: pytest.FixtureRequest) -> Forge:
    if request.param == "memory":
        return InMemoryForge()
    found: Forge = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=[*WHOLE, "emulator"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A forge for the calls that all of them have."""
    async for found in _place(request):
        yield found


@pytest.fixture(params=WHOLE)
async def whole(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A forge for the calls that the emulator does not have."""
    async for found in _place(request):
        yield found


async def _place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    forge = _forge(request)
    found = Place(forge, os.environ[LIVE_ORGANISATION] if request.param == "github" else "acme")
    yield found
    for repository in found.made:
        await found.forge.delete(repository)

"""A person's push to the environments repository on the real forge is heard by the real gateway and begins a run."""

import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from chassis.bus import Bus
from chassis.questions import answer_all
from contracts.events import EnvironmentUpdateRequested
from contracts.plans import CommittedState, DesiredState
from deploy.embedded.forge_access import (
    ENVIRONMENTS_REPOSITORY,
    PERSON_LOGIN,
    PROVISIONER_LOGIN,
    ensure_hook,
    ensure_repositories,
    forge_token_file,
    forge_tokens,
    webhook_secret_file,
)
from deploy.embedded.home import write_file
from deploy.embedded.keys import Keys
from deploy.embedded.local_http import answers, request_json
from deploy.embedded.ports import free_port
from tests.gateways import Platform, admin_client, created, events_of, everybody_on, gateway_platform
from tests.stand_ins import running, start_module
from tests.waiting import until


@dataclass
class Setting:
    """A gateway that hears a forge."""

    platform: Platform
    forge_url: str
    keys: Keys

    def as_login(self, login: str, method: str, path: str, body: Any = None) -> Any:
        """A request to the environments repository as somebody."""
        headers = {"Authorization": f"token {forge_token_file(self.keys, login).read_text()}"}
        return request_json(method, f"{self.forge_url}/repos/{ENVIRONMENTS_REPOSITORY}{path}", body, headers=headers)

    def push(self, login: str, path: str, text: str) -> str:
        """Write a file on the branch that counts; the commit."""
        body: dict[str, Any] = {"message": "Change it", "content": base64.b64encode(text.encode()).decode()}
        if path in self.files:
            body["sha"] = self.files[path]
        made = self.as_login(login, "PUT", f"/contents/{path}", body)
        self.files[path] = made["content"]["sha"]
        return str(made["commit"]["sha"])

    def __post_init__(self) -> None:
        self.files: dict[str, str] = {}


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    directory: Path = tmp_path_factory.mktemp("hooks")
    keys, port = Keys(directory / "keys"), free_port()
    url = f"http://127.0.0.1:{port}"
    write_file(directory / "tokens.json", forge_tokens(keys))
    environment = {
        "SLIPWAY_FORGE_PORT": str(port),
        "SLIPWAY_FORGE_URL": url,
        "SLIPWAY_FORGE_DATA": str(directory / "forge"),
        "SLIPWAY_FORGE_TOKENS_FILE": str(directory / "tokens.json"),
    }
    (directory / "forge-process").mkdir()
    forge = start_module("deploy.embedded.forge", environment, directory / "forge-process")
    secret = {"SLIPWAY_GATEWAY_WEBHOOK_SECRET_FILE": str(webhook_secret_file(keys))}
    with running(forge, lambda: answers(f"{url}/readyz")), gateway_platform(directory, **secret) as platform:
        ensure_repositories(url, keys)
        ensure_hook(url, keys, "http://127.0.0.1:1")
        for _ in range(2):  # again, as at every start; and after the ports were moved
            ensure_hook(url, keys, platform.url)
        found = Setting(platform, url, keys)
        found.as_login(PROVISIONER_LOGIN, "PUT", f"/collaborators/{PERSON_LOGIN}", {"permission": "push"})
        yield found


@pytest.fixture
async def api(setting: Setting) -> AsyncIterator[httpx.AsyncClient]:
    async with admin_client(setting.platform) as client:
        yield client


@pytest.fixture
async def buses(setting: Setting) -> AsyncIterator[dict[str, Bus]]:
    async with everybody_on(setting.platform) as connected:
        yield connected


async def test_a_push_by_a_person_begins_a_run_and_one_by_the_platform_does_not(
    setting: Setting, api: httpx.AsyncClient, buses: dict[str, Bus]
) -> None:
    request = await created(api, buses)
    committed = CommittedState()

    async def desired_state(question: DesiredState) -> CommittedState:
        assert question.environment == request.subject
        return committed

    await answer_all(buses["provisioner"], "provisioner", {DesiredState: desired_state})
    manifest = f"environments/{request.subject}/manifest.yaml"
    sha = setting.push(PROVISIONER_LOGIN, manifest, "by: the platform\n")
    wanted = request.data.spec.model_copy(update={"parameters": {**request.data.spec.parameters, "instances": 2}})
    committed = CommittedState(spec=wanted, incarnation=request.incarnation, commit=sha)

    async def told(deliveries: int) -> bool:
        [hook] = setting.as_login(PROVISIONER_LOGIN, "GET", "/hooks")
        found = setting.as_login(PROVISIONER_LOGIN, "GET", f"/hooks/{hook['id']}/deliveries")
        heard = [one for one in found if one["event"] == "push" and one["status_code"] == 200]
        return len(heard) == deliveries

    await until(lambda: told(1), what="the platform's push")
    before = await events_of(buses["gateway"], request.subject)
    assert not any(isinstance(event, EnvironmentUpdateRequested) for event in before)
    sha = setting.push(PERSON_LOGIN, manifest, "instances: 2\n")
    committed = CommittedState(spec=wanted, incarnation=request.incarnation, commit=sha)

    async def begun() -> EnvironmentUpdateRequested | None:
        last = (await events_of(buses["gateway"], request.subject))[-1]
        return last if isinstance(last, EnvironmentUpdateRequested) else None

    update = await until(begun, what="the run")
    assert (update.data.cause, update.data.requested_by) == ("git", PERSON_LOGIN)
    assert (update.data.spec.parameters["instances"], update.data.previous) == (2, request.data.spec)
    run = (await api.get(f"/api/v1/runs/{update.run_id}")).json()
    assert (run["cause"], run["requested_by"]) == ("git", PERSON_LOGIN)
    await until(lambda: told(2), what="the person's push")

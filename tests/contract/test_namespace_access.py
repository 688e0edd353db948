"""Logins of namespaces: the ports of the secrets service and of the gateway, over their twins and over the real things.

The real things are OpenBao with its Kubernetes engine, NATS with the services' own credentials, and the official client
of Kubernetes, against a stand-in for the API server (`tests/kubernetes_api.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import yaml
from kubernetes import client, config
from structlog.testing import capture_logs

from chassis.bus import Bus
from chassis.clock import SystemClock
from chassis.failures import PermanentError, TransientError
from chassis.questions import answer_all
from contracts import subjects
from contracts.clusters import RequestNamespaceAccess
from contracts.topology import inbox_prefix
from deploy.embedded.testing import RunningNats, start_nats
from services.gateway.adapters.clusters import BusClusters
from services.gateway.domain.kubeconfigs import NoClusterError, kubeconfig
from services.gateway.handlers.entering import Entering
from services.gateway.ports import EnvironmentGoneError
from services.secrets.adapters.clusters import OpenBaoClusters
from services.secrets.adapters.memory import MemoryClusters, MemoryVault
from services.secrets.adapters.openbao import OpenBao
from services.secrets.domain import Names, Record
from services.secrets.handlers.doorkeeper import Doorkeeper
from services.secrets.ports import Clusters
from tests.cluster_logins import LOGIN_PATH, LoginMaker, make_environment, start_login_maker
from tests.kubernetes_api import KubernetesApi, start_kubernetes
from tests.unit.gateway.rig import Rig, ask, end, principal
from tests.waiting import until


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    with start_kubernetes(tmp_path_factory.mktemp("cluster")) as running:
        for name in ("demo-api", "other"):
            make_environment(running, name)
        running.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}})
        yield running


@pytest.fixture(scope="module")
def maker(api: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoginMaker]:
    with start_login_maker(tmp_path_factory.mktemp("openbao"), api) as running:
        yield running


@pytest.fixture
async def session(maker: LoginMaker) -> AsyncIterator[OpenBao]:
    opened = maker.session()
    yield opened
    await opened.close()


@pytest.fixture
def real(session: OpenBao, api: KubernetesApi) -> OpenBaoClusters:
    return OpenBaoClusters(
        session,
        server=api.url,
        certificate_authority=api.ca_pem,
        path=LOGIN_PATH,
        audience="",
        token_seconds=3600,
    )


@pytest.fixture(params=["twin", "openbao"])
def clusters(request: pytest.FixtureRequest) -> Clusters:
    if request.param == "twin":
        return MemoryClusters("demo-api", "other")
    found: Clusters = request.getfixturevalue("real")
    return found


async def test_each_login_is_another_one(clusters: Clusters) -> None:
    one, other = await clusters.login("demo-api"), await clusters.login("demo-api")
    assert one.server.startswith("https://")
    assert one.wrapping_token != other.wrapping_token
    assert one.wrapping_token not in repr(one)


async def test_a_namespace_that_is_no_environments_opens_for_nobody(clusters: Clusters) -> None:
    with pytest.raises(PermanentError):
        await clusters.login("kube-system")


async def test_the_secrets_service_may_not_see_a_login_itself(session: OpenBao) -> None:
    with pytest.raises(PermanentError) as denied:
        await session.write(LOGIN_PATH, {"kubernetes_namespace": "demo-api"})
    assert denied.value.code == "openbao_denied"


class Services:
    """The gateway and the secrets service, as far as this goes, on one bus."""

    def __init__(self, nats: RunningNats, maker: LoginMaker) -> None:
        self.buses = {
            user: Bus(nats.url, name=user, nkey_file=nats.nkey_file(user), inbox_prefix=inbox_prefix(user))
            for user in ("gateway", "secrets")
        }
        self.vault = MemoryVault()
        self.clusters = BusClusters(self.buses["gateway"], maker.url, SystemClock())

    async def begin(self, logins: Clusters | None) -> None:
        for bus in self.buses.values():
            await bus.connect()
        doorkeeper = Doorkeeper(self.vault, logins)
        answers: dict[Any, Any] = {RequestNamespaceAccess: doorkeeper.namespace_access}
        await answer_all(self.buses["secrets"], "secrets", answers)
        await until(self._is_heard, what="the secrets service")

    async def _is_heard(self) -> bool:
        """Whether somebody answers, be it only that this is no question."""
        try:
            await self.buses["gateway"].ask(subjects.query(RequestNamespaceAccess.name, "secrets"), b"{}")
        except TransientError:
            return False
        return True

    async def end(self) -> None:
        for bus in self.buses.values():
            await bus.close()


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNats]:
    with start_nats(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
async def services(nats: RunningNats, maker: LoginMaker) -> AsyncIterator[Services]:
    found = Services(nats, maker)
    yield found
    await found.end()


async def test_without_a_cluster_there_is_no_login(services: Services) -> None:
    await services.begin(None)
    with pytest.raises(NoClusterError):
        await services.clusters.login("demo-api", uuid4(), "demo-api", "ada")


async def test_without_a_life_there_is_no_login(services: Services) -> None:
    await services.begin(MemoryClusters())
    with pytest.raises(EnvironmentGoneError):
        await services.clusters.login("demo-api", uuid4(), "demo-api", "ada")


async def test_a_login_that_somebody_else_opened_first_is_missed_and_told(
    services: Services, real: OpenBaoClusters, maker: LoginMaker
) -> None:
    wrapped = await real.login("demo-api")
    async with httpx.AsyncClient() as thief:
        headers = {"X-Vault-Token": wrapped.wrapping_token}
        assert (await thief.post(f"{maker.url}/v1/sys/wrapping/unwrap", headers=headers)).status_code == 200
    with capture_logs() as lines, pytest.raises(TransientError):
        await services.clusters.open(wrapped, "demo-api")
    assert [(one["log_level"], one["event"]) for one in lines] == [
        ("error", "a wrapped login was opened by somebody else, or too late")
    ]
    assert wrapped.wrapping_token not in str(lines)


async def test_a_login_of_another_namespace_is_not_handed_on(services: Services, real: OpenBaoClusters) -> None:
    with capture_logs() as lines, pytest.raises(TransientError, match="another one"):
        await services.clusters.open(await real.login("other"), "demo-api")
    assert lines[0]["event"] == "a login of another namespace was answered"


async def ready_rig(services: Services) -> tuple[Rig, UUID]:
    """A gateway whose environment `demo-api` is ready, and which asks over the bus."""
    rig = Rig()
    answered = await rig.asking.create(principal(), ask(), None)
    end(rig, answered, "ready")
    await services.vault.claim(Names("demo-api"), answered.request.incarnation, Record())
    rig.gateway = replace(rig.gateway, entering=Entering(rig.wishing, services.clusters))
    return rig, answered.request.incarnation


def configmaps(made: dict[str, Any], namespace: str | None = None) -> list[str]:
    """What the official client lists with this kubeconfig; by default in the namespace that it names."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "config"
        path.write_text(yaml.safe_dump(made))
        settings = client.Configuration()
        config.load_kube_config(config_file=str(path), client_configuration=settings)  # type: ignore[no-untyped-call]
        (context,) = made["contexts"]
        with client.ApiClient(settings) as opened:
            found = client.CoreV1Api(opened).list_namespaced_config_map(namespace or context["context"]["namespace"])
    return [(one.data or {})["whose"] for one in found.items]


async def test_the_file_opens_this_namespace_for_kubectl_and_no_other_and_not_for_long(
    services: Services, real: OpenBaoClusters, api: KubernetesApi
) -> None:
    await services.begin(real)
    rig, _ = await ready_rig(services)
    async with rig.client(await rig.token()) as http:
        answer = await http.post("/api/v1/environments/demo-api/kubeconfig")
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert api.sessions[made["token"]].user == "system:serviceaccount:demo-api:developer"
    assert configmaps(made["kubeconfig"]) == ["demo-api"]
    with pytest.raises(client.ApiException) as refused:
        configmaps(made["kubeconfig"], "other")
    assert refused.value.status == 403
    api.later = timedelta(hours=1, seconds=1)
    try:
        with pytest.raises(client.ApiException) as expired:
            configmaps(made["kubeconfig"])
    finally:
        api.later = timedelta()
    assert expired.value.status == 401


async def test_no_login_crosses_the_bus_and_none_is_in_a_line_of_the_log(
    services: Services, real: OpenBaoClusters
) -> None:
    await services.begin(real)
    rig, incarnation = await ready_rig(services)
    said: list[bytes] = []
    ask_as_before = services.buses["gateway"].ask

    async def overheard(*arguments: Any, **options: Any) -> Any:
        reply = await ask_as_before(*arguments, **options)
        said.append(reply.data)
        return reply

    services.buses["gateway"].ask = overheard  # type: ignore[method-assign]
    with capture_logs() as lines:
        login = await services.clusters.login("demo-api", incarnation, "demo-api", "ada")
    token = login.token.get_secret_value()
    assert said
    assert token.encode() not in b"".join(said)
    assert token not in str(lines) + repr(login)
    assert kubeconfig("demo-api", login)["users"][0]["user"]["token"] == token
    assert rig.clusters.given == []

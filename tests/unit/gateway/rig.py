"""The gateway on twins: its deeds, its HTTP application, and a client for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from chassis.clock import FixedClock
from chassis.identity import EventKey
from chassis.signing import SigningKey
from contracts.application import LOCAL
from contracts.events import (
    EnvironmentDeleted,
    EnvironmentDeletedData,
    EnvironmentFailed,
    EnvironmentFailedData,
    EnvironmentReady,
    EnvironmentReadyData,
)
from contracts.golden_path import GoldenPath
from contracts.values import Failure, LeftBehind, Resource
from services.gateway.adapters.memory import (
    MemoryDeadLetters,
    MemoryDeliveries,
    MemoryGoldenPaths,
    MemoryPlanner,
    MemoryRepository,
    MemoryRequests,
    MemorySignals,
    MemoryTokens,
)
from services.gateway.adapters.memory_chronicle import MemoryChronicle, MemoryWorkshop
from services.gateway.adapters.memory_clusters import MemoryClusters
from services.gateway.adapters.memory_forge_events import MemoryForgeEvents, MemoryMembers
from services.gateway.adapters.memory_log import MemoryLog
from services.gateway.adapters.memory_notifier import MemoryNotifier
from services.gateway.adapters.memory_past import MemoryPast
from services.gateway.adapters.memory_rollouts import MemoryRollouts
from services.gateway.adapters.memory_runtime import MemoryRuntime, MemoryWorkflowTokens
from services.gateway.adapters.memory_sessions import (
    MemoryIssuer,
    MemoryMachineCodes,
    MemoryPeople,
    MemorySessions,
    MemorySignIns,
)
from services.gateway.adapters.memory_voices import MemoryVoices
from services.gateway.api.application import application
from services.gateway.api.auth import Gate
from services.gateway.api.context import Gateway
from services.gateway.api.cursors import Cursors
from services.gateway.api.limits import RateLimiter, Slots
from services.gateway.api.views import Links
from services.gateway.domain.admission import CreateEnvironment, Defaults
from services.gateway.domain.identities import GroupRules
from services.gateway.domain.people import Principal, Role
from services.gateway.domain.policy import Policy
from services.gateway.domain.tokens import ApiToken, digest, mint
from services.gateway.handlers.applications import Applications
from services.gateway.handlers.asking import Asking
from services.gateway.handlers.dead_letters import DeadLetterDesk
from services.gateway.handlers.deploying import Deploying
from services.gateway.handlers.entering import Entering
from services.gateway.handlers.feedback import Listening
from services.gateway.handlers.following import Following
from services.gateway.handlers.forge_events import Hearsay
from services.gateway.handlers.keeping import Keeping
from services.gateway.handlers.living import Living
from services.gateway.handlers.machines import Machines
from services.gateway.handlers.maintenance import Maintenance
from services.gateway.handlers.notifying import Notifying
from services.gateway.handlers.planning import Planning
from services.gateway.handlers.previews import Previews
from services.gateway.handlers.quotas import Quotas
from services.gateway.handlers.reading import Reading
from services.gateway.handlers.remembering import Remembering
from services.gateway.handlers.reviewing import Reviewing
from services.gateway.handlers.rolling import Rolling
from services.gateway.handlers.rollouts import Rollouts
from services.gateway.handlers.sessions import Sessions, SignedIn
from services.gateway.handlers.settling import Answered, Settling
from services.gateway.handlers.signing_in import SigningIn
from services.gateway.handlers.steering import Steering
from services.gateway.handlers.telling import Telling
from services.gateway.handlers.tokens import Tokens
from services.gateway.handlers.webhooks import Source, Webhooks
from services.gateway.handlers.wishing import Wishing
from services.gateway.ports import Issuer
from tests import samples
from tests.unit.golden_paths.samples import manifest

HOOK_SECRET = "the hook's secret"
RUNTIME_SECRET = "the runtime's secret"


def principal(role: Role = "developer", *teams: str, person: str = "ada") -> Principal:
    """Somebody of these teams (by default payments)."""
    return Principal(person, role, teams or ("payments",), "token1234567", "test", None)


def path(**changes: Any) -> GoldenPath:
    """A golden path that offers everything."""
    return GoldenPath.model_validate(manifest(name="nodejs-api", **changes))


@dataclass
class Rig:
    """Twins, and everything made of them."""

    clock: FixedClock = field(default_factory=lambda: FixedClock(samples.AT))
    requests: MemoryRequests = field(default_factory=MemoryRequests)
    token_store: MemoryTokens = field(default_factory=MemoryTokens)
    session_store: MemorySessions = field(default_factory=MemorySessions)
    people: MemoryPeople = field(default_factory=MemoryPeople)
    machine_codes: MemoryMachineCodes = field(default_factory=MemoryMachineCodes)
    issuer: Issuer | None = field(default_factory=MemoryIssuer)
    golden_paths: MemoryGoldenPaths = field(default_factory=lambda: MemoryGoldenPaths([path()]))
    letters: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    signals: MemorySignals = field(default_factory=MemorySignals)
    workflows: MemoryWorkflowTokens = field(default_factory=MemoryWorkflowTokens)
    limiter: RateLimiter = field(default_factory=lambda: RateLimiter(1e6, 1_000_000))
    planner: MemoryPlanner = field(default_factory=MemoryPlanner)
    chronicle: MemoryChronicle = field(default_factory=MemoryChronicle)
    workshop: MemoryWorkshop = field(default_factory=MemoryWorkshop)
    repository: MemoryRepository = field(default_factory=MemoryRepository)
    policy: Policy = field(default_factory=Policy)
    hook: bool = True
    """Whether a forge is set up."""
    streams_at_once: int = 20
    seconds: float = 0.0
    """What quotas take for the time that has passed."""

    def __post_init__(self) -> None:
        self.log = MemoryLog(self.clock)
        self.rollout_store = MemoryRollouts(self.clock)
        self.notifier = MemoryNotifier(self.clock)
        self.reading = Reading(self.requests, self.log)
        self.quotas = Quotas(self.requests.places, self.log, self.golden_paths, self.policy, now=lambda: self.seconds)
        self.wishing = Wishing(self.reading, self.golden_paths, self.clock, Defaults("acme"))
        self.settling = Settling(
            requests=self.requests,
            catalog=self.log,
            runs=self.log,
            clock=self.clock,
            quotas=self.quotas,
            patience_seconds=0.2,
        )
        self.planning = Planning(self.planner, self.wishing, self.quotas)
        self.asking = Asking(self.settling, self.wishing, self.planning, self.quotas)
        self.steering = Steering(self.settling, self.wishing, self.quotas)
        self.living = Living(self.settling, self.wishing)
        self.keeping = Keeping(self.settling)
        self.rollouts = Rollouts(self.rollout_store, self.log, self.golden_paths, self.clock)
        self.rolling = Rolling(self.rollout_store, self.asking)
        self.tokens = Tokens(self.token_store, self.clock)
        self.sessions = Sessions(self.session_store, self.clock)
        self.telling = Telling(self.reading, self.signals, EventKey(b"r" * 32).derive, self.clock)
        self.voices = MemoryVoices(self.signals)
        self.forge_events = MemoryForgeEvents(self.clock.now)
        members = MemoryMembers(self.token_store, self.session_store, self.clock.now)
        self.hearsay = Hearsay(
            secret=SecretStr(HOOK_SECRET) if self.hook else None,
            events=self.forge_events,
            previews=Previews(self.asking, self.steering, self.telling, members, {"ada-at-github": "ada"}),
            telling=self.telling,
        )
        self.runtime = MemoryRuntime(self.clock, UUID(int=1))
        self.clusters = MemoryClusters(self.clock)
        self.gateway = Gateway(
            asking=self.asking,
            applications=Applications(self.asking, LOCAL),
            steering=self.steering,
            living=self.living,
            entering=Entering(self.wishing, self.clusters),
            planning=self.planning,
            rollouts=self.rollouts,
            webhooks=Webhooks(
                source=Source(SecretStr(HOOK_SECRET)) if self.hook else None,
                deliveries=MemoryDeliveries(),
                repository=self.repository,
                settling=self.settling,
                wishing=self.wishing,
                quotas=self.quotas,
            ),
            notifying=Notifying(self.notifier, SigningKey(b"w" * 32).secret, self.telling.derive),
            hearsay=self.hearsay,
            reading=self.reading,
            remembering=Remembering(self.reading, MemoryPast(self.log)),
            reviewing=Reviewing(self.chronicle),
            telling=self.telling,
            listening=Listening(self.signals, self.voices, self.telling.derive, self.clock),
            deploying=Deploying(
                reading=self.reading,
                catalog=self.log,
                tokens=self.tokens,
                workflows=self.workflows,
                runtime=self.runtime,
                golden_paths=self.golden_paths,
                telling=self.telling,
                clock=self.clock,
                secret=SecretStr(RUNTIME_SECRET),
            ),
            following=Following(self.log),
            tokens=self.tokens,
            machines=Machines(self.machine_codes, self.tokens, self.clock),
            signing_in=SigningIn(
                issuer=self.issuer,
                store=MemorySignIns(),
                people=self.people,
                sessions=self.sessions,
                rules=GroupRules("team:", {"slipway-admins": "admin", "slipway-viewers": "viewer"}),
                clock=self.clock,
                label="the test's issuer",
            ),
            dead_letters=DeadLetterDesk(self.letters),
            maintenance=Maintenance(self.workshop),
            golden_paths=self.golden_paths,
            links=Links("http://slipway.test", "http://traces.test"),
            cursors=Cursors(lambda text: f"signed{hash(text)}"),
            streams=Slots(self.streams_at_once),
            heartbeat_seconds=15,
            version="1.2.3",
            organisation="acme",
            forge_url="http://forge.test",
            inbox_url="",
        )
        self.gate = Gate(self.tokens, self.limiter, self.sessions)

    @property
    def app(self) -> FastAPI:
        """A new HTTP application."""
        return application(self.gateway, self.gate)

    async def token(self, role: Role = "developer", *teams: str, person: str = "ada", **changes: Any) -> str:
        """A valid token for somebody of these teams (by default payments)."""
        identity, text = mint()
        values: dict[str, Any] = {
            "id": identity,
            "digest": digest(text),
            "name": "test",
            "person": person,
            "role": role,
            "teams": teams or ("payments",),
            "created_at": self.clock.now(),
            "created_by": "test",
            **changes,
        }
        await self.token_store.add(ApiToken(**values))
        return text.get_secret_value()

    async def session(self, role: Role = "developer", *teams: str, person: str = "ada") -> SecretStr:
        """What the browser of somebody of these teams (by default payments) shows."""
        who = SignedIn("http://issuer.test", f"sub-{person}", person, role, teams or ("payments",))
        return (await self.sessions.begin(who))[1]

    @asynccontextmanager
    async def browser(self, session: SecretStr | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """A browser that shows this session and asks for pages."""
        async with self.client() as client:
            if session is not None:
                client.cookies.set("slipway_session", session.get_secret_value())
            client.headers.update({"Accept": "text/html", "Sec-Fetch-Site": "same-origin"})
            yield client

    @asynccontextmanager
    async def client(self, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """An HTTP client of the application; an exception of a route is answered, as a server would."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://slipway.test", headers=headers) as client:
            yield client


def secret(text: str) -> SecretStr:
    """A token as the gate hands it on."""
    return SecretStr(text)


def ask(name: str = "demo-api", **more: Any) -> CreateEnvironment:
    """A request for a new environment."""
    return CreateEnvironment.model_validate({"name": name, "golden_path": "nodejs-api", **more})


def end(rig: Rig, answered: Answered, verdict: str, *, left_behind: bool = False) -> None:
    """The catalog's verdict over a run."""
    request = answered.request
    spec = request.run.spec
    left = (LeftBehind(resource=Resource(kind="database", id="apps/x"), reason="in use"),) if left_behind else ()
    failure = Failure(step="secrets", code="x", message="It broke.", next_step="Mend it.")
    data: dict[str, Any] = {
        "ready": (
            EnvironmentReady,
            EnvironmentReadyData(
                spec=spec,
                infrastructure=samples.infrastructure(spec.name),
                secrets=samples.secrets(spec.name),
                pipeline=samples.pipeline(spec.name),
                duration_seconds=3,
            ),
        ),
        "failed": (
            EnvironmentFailed,
            EnvironmentFailedData(
                spec=spec,
                previous=request.run.previous,
                failure=failure,
                created=(),
                undone=(),
                left_behind=left,
                duration_seconds=3,
            ),
        ),
        "deleted": (
            EnvironmentDeleted,
            EnvironmentDeletedData(spec=spec, removed=(), left_behind=left, duration_seconds=3),
        ),
    }
    kind, said = data[verdict]
    rig.log.say(kind, spec.name, said, run_id=request.event_id, incarnation=request.incarnation)

"""The composition root: settings, adapters, handlers, service. Nothing connects before it runs."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from uuid import UUID

import anyio.to_thread
from pydantic import SecretStr

from chassis.clock import Clock
from chassis.database import Database
from chassis.health import EmbeddedServer
from chassis.publishing import FactPublisher
from chassis.service import Service
from chassis.settings import ChassisSettings, DatabaseSettings, read_secret
from chassis.signing import SigningKey
from contracts.application import Target
from services.gateway.adapters import schema
from services.gateway.adapters.catalog import BusCatalog
from services.gateway.adapters.clusters import BusClusters
from services.gateway.adapters.golden_paths import DirectoryOfGoldenPaths
from services.gateway.adapters.jaeger import JaegerTraces
from services.gateway.adapters.notifier import BusNotifier
from services.gateway.adapters.oidc import Client, OpenIdProvider, ProviderSettings
from services.gateway.adapters.policy import read_policy
from services.gateway.adapters.postgres import PostgresRequests, PostgresTokens
from services.gateway.adapters.postgres_deliveries import PostgresDeliveries
from services.gateway.adapters.postgres_forge_events import PostgresForgeEvents, PostgresMembers
from services.gateway.adapters.postgres_places import PostgresPlaces
from services.gateway.adapters.postgres_rollouts import PostgresRollouts
from services.gateway.adapters.postgres_sessions import (
    PostgresMachineCodes,
    PostgresPeople,
    PostgresSessions,
    PostgresSignIns,
)
from services.gateway.adapters.provisioner import BusProvisioner
from services.gateway.adapters.runs import LogRuns
from services.gateway.adapters.runtime import HttpRuntime
from services.gateway.adapters.streams import StreamDeadLetters, StreamRunLog
from services.gateway.adapters.workflow_tokens import OidcWorkflowTokens
from services.gateway.api import stream
from services.gateway.api.application import application
from services.gateway.api.auth import Gate
from services.gateway.api.bus import BusRequests
from services.gateway.api.context import Gateway
from services.gateway.api.cursors import Cursors
from services.gateway.api.limits import RateLimiter, Slots
from services.gateway.api.sign_in import CALLBACK
from services.gateway.api.views import Links
from services.gateway.domain.admission import Defaults
from services.gateway.domain.identities import GroupRules
from services.gateway.domain.requests import EVENTS, AcceptedRequest
from services.gateway.domain.tokens import mint
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
from services.gateway.handlers.sessions import Sessions
from services.gateway.handlers.settling import Settling
from services.gateway.handlers.signing_in import SigningIn
from services.gateway.handlers.steering import Steering
from services.gateway.handlers.telling import Telling
from services.gateway.handlers.tokens import Tokens
from services.gateway.handlers.webhooks import Source, Webhooks
from services.gateway.handlers.wishing import Wishing
from services.gateway.settings import GatewaySettings
from services.gateway.subscriptions import requests


def main() -> None:
    """Run the service."""
    service = Service("gateway", ChassisSettings())
    settings = GatewaySettings()
    database = Database(DatabaseSettings(), application_name="gateway")
    golden_paths = DirectoryOfGoldenPaths(settings.golden_paths, has_caches=bool(settings.caches))
    run_log = StreamRunLog(service.bus)
    catalog = BusCatalog(service.bus)
    store = service.faults.around(PostgresRequests(database), "claim", of_claim)
    reading = Reading(store, catalog)
    quotas = Quotas(
        PostgresPlaces(database),
        catalog,
        golden_paths,
        read_policy(settings.policy_file),
        interval_seconds=settings.quota_interval_seconds,
    )
    defaults = Defaults(settings.organisation, settings.preview_days, settings.preview_most_days)
    wishing = Wishing(reading, golden_paths, service.clock, defaults)
    settling = Settling(
        requests=store,
        catalog=catalog,
        runs=LogRuns(service.bus, service.publisher),
        clock=service.clock,
        quotas=quotas,
    )
    provisioner = BusProvisioner(service.bus)
    planning = Planning(provisioner, wishing, quotas)
    asking = Asking(settling, wishing, planning, quotas)
    rollouts = PostgresRollouts(database)
    tokens = Tokens(PostgresTokens(database), service.clock)
    public_url = settings.public_url or f"http://{settings.host}:{settings.port}"
    sessions = Sessions(
        PostgresSessions(database),
        service.clock,
        timedelta(hours=settings.session_idle_hours),
        timedelta(hours=settings.session_hours),
    )
    facts = FactPublisher(service.bus)
    telling = Telling(reading, facts, service.key.derive, service.clock)
    steering = Steering(settling, wishing, quotas)
    hearsay = _hearsay(settings, database, asking, steering, telling)
    runtime = _runtime(settings)
    gateway = Gateway(
        asking=asking,
        applications=Applications(asking, Target(frozenset(settings.ingresses), frozenset(settings.caches))),
        steering=steering,
        living=Living(settling, wishing),
        entering=Entering(
            wishing,
            BusClusters(service.bus, settings.openbao_url, service.clock, settings.openbao_ca_file),
        ),
        planning=planning,
        rollouts=Rollouts(rollouts, catalog, golden_paths, service.clock),
        webhooks=Webhooks(
            source=_source(settings),
            deliveries=PostgresDeliveries(database),
            repository=provisioner,
            settling=settling,
            wishing=wishing,
            quotas=quotas,
        ),
        notifying=Notifying(BusNotifier(service.bus), _webhook_secrets(settings), service.key.derive),
        hearsay=hearsay,
        reading=reading,
        remembering=Remembering(reading, catalog),
        reviewing=Reviewing(catalog),
        telling=telling,
        listening=Listening(facts, catalog, service.key.derive, service.clock),
        deploying=Deploying(
            reading=reading,
            catalog=catalog,
            tokens=tokens,
            workflows=OidcWorkflowTokens(settings.workflow_issuer, service.clock),
            runtime=runtime,
            golden_paths=golden_paths,
            telling=telling,
            clock=service.clock,
            secret=_secret(settings.runtime_webhook_secret_file),
        ),
        following=Following(run_log),
        tokens=tokens,
        machines=Machines(
            PostgresMachineCodes(database), tokens, service.clock, timedelta(days=settings.machine_token_days)
        ),
        signing_in=SigningIn(
            issuer=_issuer(settings, public_url, service.clock),
            store=PostgresSignIns(database),
            people=PostgresPeople(database),
            sessions=sessions,
            rules=GroupRules(settings.team_group_prefix, settings.group_roles, settings.default_role),
            clock=service.clock,
            label=settings.issuer_label,
        ),
        dead_letters=DeadLetterDesk(StreamDeadLetters(service.bus)),
        maintenance=Maintenance(catalog),
        golden_paths=golden_paths,
        links=Links(public_url, settings.traces_url),
        cursors=Cursors(lambda text: str(service.key.derive(text, "cursor"))),
        streams=Slots(settings.streams_per_principal),
        heartbeat_seconds=settings.heartbeat_seconds,
        version=_version(),
        organisation=settings.organisation,
        forge_url=settings.forge_url,
        inbox_url=settings.inbox_url,
        environments_repository=settings.environments_repository,
        traces=JaegerTraces(settings.traces_url) if settings.traces_url else None,
    )
    gate = Gate(tokens, RateLimiter(settings.requests_per_second, settings.requests_at_once), sessions)
    from_bus = BusRequests(service.bus, gate, requests(gateway))
    server = _Server(EmbeddedServer(application(gateway, gate), settings.port, settings.host))

    async def prepare() -> None:
        await database.open()
        await database.require(schema.NEEDS)
        if not await tokens.adopt_admin(await anyio.to_thread.run_sync(_admin_token, settings.admin_token_file)):
            raise ValueError(
                f"{settings.admin_token_file.name} holds no token of ours; delete it: the next start makes a new one"
            )
        await run_log.listen()
        await from_bus.listen()

    service.checks["database"] = database.check
    service.checks["golden_paths"] = golden_paths.check
    service.prepare(prepare)
    service.alongside("http", server.run)
    service.alongside(
        "keeping", Keeping(settling, settings.care_interval_seconds, settings.republish_after_seconds).run
    )
    service.alongside("forge_events", hearsay.run)
    rolling = Rolling(rollouts, asking, settings.rollout_interval_seconds, settings.rollout_lease_seconds)
    service.alongside("rollouts", rolling.run)
    # The last given ends first: nobody new, then what is under way, then what it stands on.
    service.at_close(database.close)
    if runtime is not None:
        service.at_close(runtime.close)
    service.at_close(from_bus.drain)
    service.at_close(server.stop)
    service.run()


def of_claim(request: AcceptedRequest, *_: object) -> list[tuple[str, str]]:
    """What keeping a request is about, for `chassis.faults`."""
    return [(EVENTS[request.operation].kind, request.environment)]


class _Server:
    """The HTTP server, which ends before the connections that its answers need."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Serve until told to stop."""
        try:
            await self._server.run_until_cancelled()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Take nothing new, finish what is open, and return."""
        stream.end_all()
        self._server.should_exit = True
        if self._server.started:
            await self._ended.wait()


def _issuer(settings: GatewaySettings, public_url: str, clock: Clock) -> OpenIdProvider | None:
    if not settings.issuer:
        return None
    asked = ProviderSettings(
        issuer=settings.issuer,
        redirect_uri=public_url + CALLBACK,
        identity_namespace=settings.identity_namespace,
        scopes=settings.scopes,
        login_claim=settings.login_claim,
        groups_claim=settings.groups_claim,
    )

    def client() -> Client:
        secret = read_secret(settings.client_secret_file) if settings.client_secret_file is not None else None
        if settings.client_id_file is None:
            return Client(settings.client_id, secret)
        return Client(read_secret(settings.client_id_file).get_secret_value(), secret)

    return OpenIdProvider(asked, client, clock)


def _runtime(settings: GatewaySettings) -> HttpRuntime | None:
    token = _secret(settings.runtime_token_file)
    return HttpRuntime(settings.runtime_url, token) if settings.runtime_url and token is not None else None


def _secret(path: Path | None) -> SecretStr | None:
    return read_secret(path) if path is not None else None


def _webhook_secrets(settings: GatewaySettings) -> Callable[[UUID, int], SecretStr] | None:
    path = settings.webhooks_key_file
    return SigningKey.from_file(path).secret if path is not None else None


def _source(settings: GatewaySettings) -> Source | None:
    if settings.webhook_secret_file is None:
        return None
    return Source(
        read_secret(settings.webhook_secret_file),
        settings.environments_repository,
        f"refs/heads/{settings.environments_branch}",
        settings.platform_login,
    )


def _hearsay(
    settings: GatewaySettings, database: Database, asking: Asking, steering: Steering, telling: Telling
) -> Hearsay:
    logins = {login.lower(): person for login, person in settings.github_logins.items()}
    return Hearsay(
        secret=_secret(settings.github_webhook_secret_file),
        events=PostgresForgeEvents(database),
        previews=Previews(asking, steering, telling, PostgresMembers(database), logins),
        telling=telling,
    )


def _admin_token(path: Path) -> SecretStr:
    """The token in the file, which is made first where there is none. Two processes that do so at once end up with the
    same file."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(mint()[1].get_secret_value() + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first: its token is the one
        finally:
            draft.unlink()
    return read_secret(path)


def _version() -> str:
    try:
        return metadata.version("slipway")
    except metadata.PackageNotFoundError:
        return "0.0.0+source"

"""Deploying: a build that a pipeline hands over becomes live, or what was live before stays; everybody learns of it.

Invariants
- Nobody deploys but the workflow of this very environment, by its token of a few minutes, and people who are developers
  in it.
- A deployment's id is one deployment: told again it is answered, not done again, and each of its facts counts once.
- The release passes through; it is never held here.
"""

import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import structlog
from pydantic import AnyHttpUrl, SecretStr

from chassis.clock import Clock
from contracts.deployments import (
    DeploymentOutcome,
    HealthReport,
    OutputLine,
    ReleaseNote,
    ReleaseOrder,
    Rollback,
    SlotView,
)
from contracts.names import ENVIRONMENT_NAME_PATTERN
from contracts.queries import EnvironmentView
from contracts.runtime import Runtime as Manner
from contracts.signals import Deployment, DeploymentRecorded, Health, HealthChanged
from contracts.values import EnvironmentSpec
from services.gateway.domain.deployments import (
    DeploymentFailedError,
    NoRuntimeError,
    NoSuchReleaseError,
    check_deployable,
    check_note,
    is_meant,
)
from services.gateway.domain.facts import Fact
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import (
    NO_SUCH_ENVIRONMENT,
    RefusalError,
    UnauthenticatedError,
    UnknownThingError,
)
from services.gateway.handlers.reading import Reading
from services.gateway.handlers.telling import Telling
from services.gateway.handlers.tokens import Tokens
from services.gateway.ports import (
    Catalog,
    GoldenPaths,
    NothingToGoBackToError,
    Runtime,
    WorkflowRefusedError,
    WorkflowTokens,
)

_log = structlog.get_logger(__name__)
SOURCE = "runtime"
_NAME = re.compile(ENVIRONMENT_NAME_PATTERN)
_SIGNATURE_PREFIX = "sha256="
_TOKEN_PREFIX = "slw_"  # noqa: S105 - what our tokens begin with
_WHO = "Show the workflow's OpenID Connect token for the audience `slipway`, or an API token of a developer."


@dataclass(frozen=True)
class Deployer:
    """Who deploys, and what to."""

    view: EnvironmentView
    principal: Principal | None
    claims: Mapping[str, object] = field(default_factory=dict)
    """What a workflow's token says; empty for a person."""


@dataclass(frozen=True)
class Deploying:
    """Makes releases live, and tells of them."""

    reading: Reading
    catalog: Catalog
    tokens: Tokens
    workflows: WorkflowTokens
    runtime: Runtime | None
    golden_paths: GoldenPaths
    telling: Telling
    clock: Clock
    secret: SecretStr | None
    """With which the runtime signs what it tells."""

    async def identify(self, token: SecretStr, name: str) -> Deployer:
        """Whoever shows this token, before anything else of the request is looked at. Raises `UnauthenticatedError`,
        `UnknownThingError` and `ForbiddenError`."""
        if token.get_secret_value().startswith(_TOKEN_PREFIX):
            principal = await self.tokens.authenticate(token)
            principal.require("developer")
            view = await self.reading.environment(principal, name)
            principal.require_in(view, "developer")
            return Deployer(view, principal)
        try:
            claims = await self.workflows.claims(token)
        except WorkflowRefusedError as error:
            _log.info("a workflow's token was refused", environment=name, reason=str(error))
            raise UnauthenticatedError(_WHO) from None
        found = await self._any(name)
        if found is None or not is_meant(claims, found):
            _log.info("a workflow's token is for something else", environment=name, repository=claims.get("repository"))
            raise UnknownThingError(NO_SUCH_ENVIRONMENT)
        return Deployer(found, None, claims)

    async def deploy(self, deployer: Deployer, note: ReleaseNote, release: AsyncIterator[bytes]) -> DeploymentOutcome:
        """Hand the release to the runtime and wait until it is live. Raises `DeploymentFailedError`,
        `NotDeployableError`, `UnavailableError` and `InvalidError`."""
        view, runtime = deployer.view, self._runtime()
        if deployer.claims:
            check_note(note, deployer.claims, view)
        check_deployable(view)
        has_database = view.secrets is not None and view.secrets.database_role is not None
        order = ReleaseOrder(**note.model_dump(), runtime=await self._how(view.spec), with_database=has_database)
        await self._tell(view, note, "queued")

        async def passing() -> AsyncIterator[bytes]:
            async for chunk in release:
                yield chunk
            await self._tell(view, note, "started")

        try:
            outcome = await runtime.deploy(view.name, order, passing())
        except RefusalError:  # it broke off, or was too large: nothing more comes of this one
            await self._tell(view, note, "failed")
            raise
        return await self._conclude(view, outcome, note)

    async def roll_back(self, principal: Principal, name: str, to: str | None, key: str | None) -> DeploymentOutcome:
        """Make an earlier release live again: the one before, or the one of a commit or a deployment's id. Raises as
        `deploy`, and `NoSuchReleaseError`."""
        view, runtime = await self._for_developer(principal, name), self._runtime()
        check_deployable(view)
        mark = f"{principal.subject} {name} {key}" if key is not None else uuid4().hex
        identity = f"rollback-{hashlib.sha256(mark.encode()).hexdigest()[:16]}"
        try:
            outcome = await runtime.roll_back(name, Rollback(deployment_id=identity, author=principal.person, to=to))
        except NothingToGoBackToError as error:
            raise NoSuchReleaseError(str(error)) from error
        return await self._conclude(view, outcome, None)

    async def slot(self, principal: Principal, name: str) -> SlotView | None:
        """What runs there, and what became of the latest deployments; None where nothing ever did."""
        view = await self.reading.environment(principal, name)
        return await self._runtime().look(view.name)

    async def output(
        self, principal: Principal, name: str, lines: int, *, follow: bool = False
    ) -> AsyncIterator[OutputLine]:
        """What the application printed last; with `follow` also what it prints from now on."""
        view = await self._for_developer(principal, name)
        return self._runtime().output(view.name, lines, follow=follow)

    def check(self, signature: str | None, body: bytes) -> None:
        """Raise `UnauthenticatedError` where these bytes are not the runtime's."""
        if self.secret is None:
            raise UnknownThingError("No runtime is set up to tell of applications here.")
        expected = hmac.new(self.secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
        if signature is None or not hmac.compare_digest(f"{_SIGNATURE_PREFIX}{expected}".encode(), signature.encode()):
            raise UnauthenticatedError("Sign the body: `X-Slipway-Signature-256: sha256=…`, with the runtime's secret.")

    async def hear(self, report: HealthReport) -> bool:
        """Tell how an application does; whether there is anybody whom it concerns."""
        view = await self._any(report.environment)
        if view is None or view.incarnation != report.incarnation or view.state == "deleted":
            return False
        health = Health(state=report.state, reason=report.reason[:2000], check=SOURCE)
        at = min(report.time, self.clock.now())
        await self.telling.say(view, Fact(HealthChanged, health, at, SOURCE, f"{SOURCE} {report.delivery}"))
        if report.went_back is not None:
            await self._say(view, _said(report.went_back))
        return True

    async def _conclude(
        self, view: EnvironmentView, outcome: DeploymentOutcome, note: ReleaseNote | None
    ) -> DeploymentOutcome:
        await self._say(view, _said(outcome, note.log_url if note is not None else None))
        if outcome.state == "failed":
            kept = f"Still live: {outcome.previous[:12]}." if outcome.previous else "Nothing was live before."
            raise DeploymentFailedError(f"{outcome.reason[:1000]}. {kept} Mend it and push again.", outcome.lines)
        return outcome

    async def _tell(self, view: EnvironmentView, note: ReleaseNote, state: str) -> None:
        await self._say(view, Deployment.model_validate({**note.model_dump(), "state": state}))

    async def _say(self, view: EnvironmentView, said: Deployment) -> None:
        mark = f"{said.deployment_id} {said.state}"
        await self.telling.say(view, Fact(DeploymentRecorded, said, self.clock.now(), SOURCE, mark))

    async def _how(self, spec: EnvironmentSpec) -> Manner:
        """How the environment's application is run: by the version that it was brought to, whatever is on offer by now.
        Raises `UnknownThingError`."""
        if spec.runtime is not None:
            return spec.runtime
        path = await self.golden_paths.find(spec.golden_path)
        if path is None:
            raise UnknownThingError("The environment's golden path is not on offer any more: the platform team knows.")
        return path.runtime

    async def _any(self, name: str) -> EnvironmentView | None:
        """The environment of this name, whoever asks."""
        return await self.catalog.environment(name) if _NAME.fullmatch(name) else None

    async def _for_developer(self, principal: Principal, name: str) -> EnvironmentView:
        view = await self.reading.environment(principal, name)
        principal.require_in(view, "developer")
        return view

    def _runtime(self) -> Runtime:
        if self.runtime is None:
            raise NoRuntimeError(
                "Applications run elsewhere on this platform: its own tools deploy them and keep logs."
            )
        return self.runtime


def _said(outcome: DeploymentOutcome, log_url: AnyHttpUrl | None = None) -> Deployment:
    return Deployment(
        deployment_id=outcome.deployment_id,
        state=outcome.state,
        commit=outcome.commit,
        branch=outcome.branch,
        author=outcome.author,
        duration_seconds=outcome.duration_seconds,
        log_url=log_url,
    )

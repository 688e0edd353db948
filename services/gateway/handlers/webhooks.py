"""Webhooks of the forge: a change that a person pushed to the environments repository is a request like any other.

Invariants
- Nobody is believed who does not sign, and a delivery counts once.
- A delivery says where to look. What is wanted is read from the repository, checked by the same rules as a request, and
  begins a run under a key that follows from its commit, so however often it is told of, there is one run.
- A directory that disappears deletes nothing: that is asked for, by name.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog
from pydantic import SecretStr

from contracts.events import Asked
from contracts.plans import CommittedState
from contracts.queries import EnvironmentView
from services.gateway.domain.admission import fingerprint
from services.gateway.domain.obstacles import BUSY_STATES, exists, same_wish
from services.gateway.domain.people import Principal
from services.gateway.domain.policy import price_of
from services.gateway.domain.pushes import MOST_ENVIRONMENTS, Push, committed_change, read_push
from services.gateway.domain.refusals import (
    BrokenRule,
    InvalidError,
    RefusalError,
    UnauthenticatedError,
    UnavailableError,
    UnknownThingError,
)
from services.gateway.handlers.quotas import Quotas
from services.gateway.handlers.settling import Draft, Settling
from services.gateway.handlers.wishing import Wishing
from services.gateway.ports import Deliveries, Repository

_log = structlog.get_logger(__name__)

_PREFIX: Final = "sha256="
Outcome = Literal["begun", "unchanged", "ignored", "refused"]


@dataclass(frozen=True)
class Consequence:
    """What a push came to for one environment."""

    environment: str
    outcome: Outcome
    detail: str = ""
    run_id: str | None = None


@dataclass(frozen=True)
class Source:
    """Which pushes count."""

    secret: SecretStr
    repository: str = "platform/environments"
    ref: str = "refs/heads/main"
    platform_login: str = "slipway-provisioner"
    """The platform's own user there: what it pushes was asked for already."""


@dataclass(frozen=True)
class Webhooks:
    """Hears of pushes. Without a source it hears nothing."""

    source: Source | None
    deliveries: Deliveries
    repository: Repository
    settling: Settling
    wishing: Wishing
    quotas: Quotas

    def check(self, signature: str | None, body: bytes) -> None:
        """Raise `UnauthenticatedError` where whoever sent these bytes does not have the secret."""
        if self.source is None:
            raise UnknownThingError("No forge is set up to tell of pushes here.")
        key = self.source.secret.get_secret_value().encode()
        expected = _PREFIX + hmac.new(key, body, hashlib.sha256).hexdigest()
        if signature is None or not hmac.compare_digest(expected.encode(), signature.encode()):
            raise UnauthenticatedError("Sign the body: `X-Hub-Signature-256: sha256=…`, with the hook's secret.")

    async def hear(self, event: str, delivery: str, payload: Any) -> Sequence[Consequence]:
        """Do what follows from a delivery that was checked. Raises `InvalidError`, and `UnavailableError` where it has
        to be told again."""
        if self.source is None or event != "push" or await self.deliveries.is_known(delivery):
            return ()
        push = read_push(payload)
        found = await self._look(push) if self._counts(push, self.source) else ()
        await self.deliveries.note(delivery)
        return found

    def _counts(self, push: Push, source: Source) -> bool:
        return (
            push.repository.full_name == source.repository
            and push.ref == source.ref
            and not push.deleted
            and push.sender.login != source.platform_login
        )

    async def _look(self, push: Push) -> Sequence[Consequence]:
        names = push.environments
        if len(names) > MOST_ENVIRONMENTS:
            rule = f"touches more than {MOST_ENVIRONMENTS} environments; push them in parts"
            raise InvalidError([BrokenRule("commits", rule)])
        found = [await self._consequence(push, name) for name in names]
        for one in found:
            _log.info("a push was looked at", environment=one.environment, outcome=one.outcome, person=push.person)
        return found

    async def _consequence(self, push: Push, name: str) -> Consequence:
        view = await self.settling.catalog.environment(name, await self.settling.requests.floor(environment=name))
        if view is None or not exists(view):
            return Consequence(name, "ignored", "There is no such environment. Ask for it by name.")
        committed = await self.repository.desired_state(name)
        if (nothing := _nothing_to_do(view, committed)) is not None:
            return nothing
        if view.state in BUSY_STATES:
            raise UnavailableError(f"The environment {name} is {view.state}. Tell of this push again later.", 30)
        try:
            return await self._begin(push.person, view, committed)
        except UnavailableError:
            raise
        except RefusalError as error:
            return Consequence(name, "refused", _words(error))

    async def _begin(self, person: str, view: EnvironmentView, committed: CommittedState) -> Consequence:
        # The forge decides who may push there; no team of theirs is asked for here.
        asker = Principal(person, "developer", (view.spec.owner.team,), "forge", "forge", None)
        path = await self.wishing.golden_paths.find(view.spec.golden_path)
        spec = committed_change(view, committed.spec or view.spec, path)
        if same_wish(spec, view.spec):
            return Consequence(view.name, "unchanged")
        price = price_of(path, spec.parameters)
        asked = Asked(spec=spec, previous=view.spec, requested_by=person, cause="git", price=price)

        async def draft() -> Draft:
            return Draft("update", view.name, asked, view, room=self.quotas.room_for_change(spec, path))

        # A space, which no key of a person has, keeps these apart from theirs.
        key = f"git {view.name} {committed.commit}"
        answered = await self.settling.carry_out(asker, key, fingerprint("git", {"commit": committed.commit}), draft)
        return Consequence(view.name, "begun", run_id=str(answered.request.event_id))


def _nothing_to_do(view: EnvironmentView, committed: CommittedState) -> Consequence | None:
    """Why nothing follows from what is committed; None where something does."""
    if committed.refused:
        return Consequence(view.name, "refused", committed.refused)
    if committed.spec is None or committed.commit is None:
        return Consequence(view.name, "ignored", "Its directory is gone; to delete it, ask for that by name.")
    if committed.incarnation != view.incarnation:
        return Consequence(view.name, "ignored", "The manifest is of another life of this name.")
    return Consequence(view.name, "unchanged") if same_wish(committed.spec, view.spec) else None


def _words(error: RefusalError) -> str:
    if isinstance(error, InvalidError):
        return "; ".join(f"{broken.field}: {broken.rule}" for broken in error.errors)
    return error.detail

"""Previews of pull requests: made, renewed and taken away as people say on the forge.

Invariants
- Each deed may be repeated: what it begins has a key that follows from the delivery, so however often it is told of,
  there is one run.
- Whoever asks is a member of the team that the preview will belong to; whoever takes one away may be anybody whom the
  forge lets close the pull request, or remove its label.
- Whatever is decided is said, so that it can be read where it was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn

import structlog

from chassis import tracing
from contracts.events import Asked
from contracts.queries import EnvironmentView, FindEnvironments
from contracts.signals import PreviewNote, PreviewNoted
from contracts.values import PullRequest
from services.gateway.domain.admission import CreateEnvironment, fingerprint
from services.gateway.domain.forge_events import COMMANDS, KnownPull, PullAsk, person_of, shown_branch
from services.gateway.domain.obstacles import BUSY_STATES, GOING_FORWARD, exists
from services.gateway.domain.people import Principal
from services.gateway.domain.policy import price_of
from services.gateway.domain.previews import RefusedError, is_of, model_of, names, words
from services.gateway.domain.refusals import (
    ChangedMeanwhileError,
    ForbiddenError,
    RefusalError,
    RunEndedError,
    RunUnderWayError,
    UnavailableError,
)
from services.gateway.handlers.asking import Asking
from services.gateway.handlers.settling import Draft
from services.gateway.handlers.steering import Steering
from services.gateway.handlers.telling import Telling
from services.gateway.ports import Members

_log = structlog.get_logger(__name__)

_MOST_LOOKED_AT = 100
"""How many environments of one repository are looked at for what a preview should be like."""
_SOON_SECONDS = 2
_SOURCE = "gateway"


@dataclass(frozen=True)
class Previews:
    """Does what people ask of the previews of pull requests."""

    asking: Asking
    steering: Steering
    telling: Telling
    members: Members
    logins: Mapping[str, str]
    """Who people are here whose name on the forge is another one, by that name in lower case."""

    async def carry_out(self, ask: PullAsk, delivery: str) -> None:
        """Do what was asked. Raises `UnavailableError` and `TransientError` where it has to be done again later."""
        try:
            await self._carry_out(ask, delivery)
        except (UnavailableError, RunUnderWayError, ChangedMeanwhileError, RunEndedError) as error:
            # Another run is under way, or its end has not got about: then it is looked at again.
            raise UnavailableError(error.detail, _SOON_SECONDS) from error
        except RefusedError as refused:
            await self._say(ask, delivery, "refused", reason=str(refused))
        except RefusalError as refused:
            await self._say(ask, delivery, "refused", reason=words(refused))

    async def _carry_out(self, ask: PullAsk, delivery: str) -> None:
        match ask.want:
            case "preview":
                await self._make(ask, delivery)
            case "no preview":
                await self._take_away(ask, delivery)
            case "newest":
                await self._move(ask, delivery)
            case "help":
                raise RefusedError(f"There is no such command here. There are {COMMANDS}.")

    async def _make(self, ask: PullAsk, delivery: str) -> None:
        member = await self._member(ask)
        pull = ask.pull
        if pull is None:
            raise RefusedError(
                "Slipway has heard nothing of this pull request yet: it is older than the webhook. Push to it, or put"
                " the label `preview` on it."
            )
        if not pull.is_open:
            raise RefusedError("This pull request is closed. Open it again first.")
        if ask.commit is not None and not pull.commit.startswith(ask.commit):
            raise RefusedError(f"The newest commit is {pull.commit[:12]}, and not the one that was looked at.")
        view = await self._preview(ask)
        if view is None or not (exists(view) or view.state in BUSY_STATES):
            await self._begin(ask, pull, member, delivery)
        elif view.state in {"deleting", "undoing"}:
            raise UnavailableError("The earlier preview is being taken away.")
        elif pull.from_fork:
            member.require_in(view, "developer")
            if view.state in BUSY_STATES:
                raise UnavailableError("The preview shows what was agreed to before, once it is there.")
            await self._say(ask, delivery, "moved", view.name, commit=pull.commit)

    async def _begin(self, ask: PullAsk, pull: KnownPull, member: Principal, delivery: str) -> None:
        catalog = self.asking.settling.catalog
        question = FindEnvironments(repository=pull.repository, limit=_MOST_LOOKED_AT)
        model = model_of((await catalog.environments(question)).items, pull.base).spec
        name = await self._free_name(ask)
        wanted = CreateEnvironment(
            name=name,
            golden_path=model.golden_path,
            repository=model.repository,
            branch=shown_branch(pull),
            kind="preview",
            team=model.owner.team,
            depends_on=list(model.depends_on or ()) or None,
            path=model.path,
        )
        approved = pull.commit if pull.from_fork else None
        of_it = PullRequest(number=pull.number, approved_commit=approved)
        member.require("developer")

        async def draft() -> Draft:
            wish = await self.asking.wishing.new(member, wanted)
            spec = wish.spec.model_copy(update={"pull_request": of_it})
            room = self.asking.quotas.room_for_new(spec, wish.path)
            price = price_of(wish.path, spec.parameters)
            asked = Asked(spec=spec, requested_by=member.person, cause="git", price=price)
            return Draft("create", name, asked, room=room)

        mark = fingerprint("preview", {"repository": pull.repository.lower(), "number": pull.number})
        await self.asking.settling.carry_out(member, _key(delivery), mark, draft)
        _log.info("began a preview", environment=name, repository=pull.repository, number=pull.number)
        await self._say(ask, delivery, "creating", name, commit=approved)

    async def _take_away(self, ask: PullAsk, delivery: str) -> None:
        view = await self._preview(ask)
        if ask.by_comment:
            member = await self._member(ask)
            if view is None:
                raise RefusedError("There is no preview of this pull request.")
            member.require_in(view, "admin")
        if view is None or view.state in {"deleting", "deleted"}:
            return
        # What the forge lets people close, or unlabel, needs no more of a right here.
        asker = Principal(person_of(ask.login), "developer", (view.spec.owner.team,), "forge", "forge", None)
        if view.state in GOING_FORWARD:
            await self.steering.cancel(asker, str(view.run_id), f"{_key(delivery)} cancel")
        if view.state in BUSY_STATES:
            raise UnavailableError("Another run of the preview has to end first.")
        if exists(view):
            await self.asking.delete(asker, view.name, _key(delivery))
            await self._say(ask, delivery, "deleting", view.name)

    async def _move(self, ask: PullAsk, delivery: str) -> None:
        view = await self._preview(ask)
        if view is not None and view.state in {"creating", "updating", "ready"}:
            await self._say(ask, delivery, "moved", view.name)

    async def _preview(self, ask: PullAsk) -> EnvironmentView | None:
        for name in names(ask.repository, ask.number):
            view = await self._look(name)
            if view is not None and view.state != "deleted" and is_of(view, ask.repository, ask.number):
                return view
        return None

    async def _free_name(self, ask: PullAsk) -> str:
        plain, marked = names(ask.repository, ask.number)
        view = await self._look(plain)
        is_free = view is None or view.state == "deleted" or is_of(view, ask.repository, ask.number)
        return plain if is_free else marked

    async def _look(self, name: str) -> EnvironmentView | None:
        settling = self.asking.settling
        return await settling.catalog.environment(name, await settling.requests.floor(environment=name))

    async def _member(self, ask: PullAsk) -> Principal:
        person = self.logins.get(ask.login.lower(), ask.login)
        found = await self.members.find(person) if ask.is_vouched_for else None
        if found is None:
            self._refuse_stranger()
        return found

    def _refuse_stranger(self) -> NoReturn:
        raise ForbiddenError(
            "A preview is for members to ask for. Sign in to Slipway once (or `slipway login`), under the same name as"
            " here; or have a member of the team put the label `preview` on this pull request, or write"
            " `/slipway preview`."
        )

    async def _say(
        self,
        ask: PullAsk,
        delivery: str,
        what: Literal["creating", "deleting", "refused", "moved"],
        environment: str | None = None,
        *,
        commit: str | None = None,
        reason: str = "",
    ) -> None:
        note = PreviewNote(
            repository=ask.repository,
            number=ask.number,
            what=what,
            commit=commit,
            reason=reason[:2000],
            person=person_of(ask.login),
        )
        await self.telling.signals.say(
            PreviewNoted(
                id=self.telling.derive(f"{delivery} {what}", PreviewNoted.kind),
                source=_SOURCE,
                subject=environment,
                time=self.telling.clock.now(),
                traceparent=tracing.traceparent(),
                data=note,
            )
        )


def _key(delivery: str) -> str:
    # A space, which no key of a person has, keeps these apart from theirs.
    return f"github {delivery}"

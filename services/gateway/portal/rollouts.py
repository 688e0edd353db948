"""Rollouts: a golden path's newest version for everything that was made with it. Begun with a rehearsal, which is
looked at before anything changes; then watched and steered. For the platform team.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from contracts.golden_path import GoldenPath
from contracts.values import Kind
from services.gateway.api import problems
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.problems import Problem
from services.gateway.domain.refusals import NO_SUCH_ROLLOUT, RefusalError, UnknownThingError
from services.gateway.domain.rollouts import Member, Phase, Rollout, StartRollout
from services.gateway.handlers.rollouts import Rollouts
from services.gateway.portal import forms
from services.gateway.portal.rendering import field_errors, page

ROWS: Final = 50
LOOKED_AT: Final = 500
"""So many environments of a golden path are looked at to say how many a rollout would take along."""
_KINDS: Final = get_args(Kind)
_PHASES: Final[tuple[Phase, ...]] = get_args(Phase)


@dataclass(frozen=True)
class Due:
    """What could be upgraded."""

    path: GoldenPath
    count: int
    is_all: bool
    """False: there are more environments than were looked at."""
    kinds: Mapping[str, int]

    @property
    def text(self) -> str:
        """How many."""
        return f"{self.count:,}" if self.is_all else f"{self.count:,} or more"


@dataclass(frozen=True)
class Stage:
    """One of the three stages, as the page shows it."""

    title: str
    state: str
    """Of `words.STEP`."""
    detail: str


async def due_of(visitor: Visitor, gateway: Gateway, path: GoldenPath) -> Due:
    """What a rollout of this golden path would take along."""
    found, is_all = await gateway.rollouts.due(visitor.principal, path, LOOKED_AT)
    return Due(path, len(found), is_all, Counter(view.spec.kind for view in found))


async def show_list(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The newest rollouts, and what could be upgraded."""
    found = await gateway.rollouts.newest(visitor.principal, ROWS)
    return page(
        request,
        visitor,
        gateway,
        "rollouts.html",
        here="golden_paths",
        title="Rollouts",
        rollouts=[(rollout, rollout.by_state()) for rollout in found],
        due=[await due_of(visitor, gateway, path) for path in await gateway.golden_paths.all()],
    )


async def show_form(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """What is asked before one begins."""
    path = await gateway.golden_path(request.query_params.get("golden_path", ""))
    return await _form(request, visitor, gateway, path, {"canaries": "1", "batch_size": "10"})


async def _form(  # noqa: PLR0917 - as many as a page has parts
    request: Request,
    visitor: Visitor,
    gateway: Gateway,
    path: GoldenPath,
    typed: Mapping[str, str],
    problem: Problem | None = None,
) -> Response:
    return page(
        request,
        visitor,
        gateway,
        "rollout_form.html",
        here="golden_paths",
        title=f"Upgrade everything made with {path.title}",
        status=problem.status if problem is not None else 200,
        due=await due_of(visitor, gateway, path),
        kinds=[kind for kind in _KINDS if kind in path.kinds],
        typed=typed,
        problem=problem,
        errors=field_errors(problem),
    )


async def start(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Begin one. It stops by itself after the rehearsal, until somebody has looked at it."""
    sent = await forms.posted(request)
    path = await gateway.golden_path(sent.get("golden_path", ""))
    try:
        ask = forms.understood(StartRollout, _asked(path, sent))
        rollout = await gateway.rollouts.start(visitor.principal, ask, forms.key_of(sent))
    except RefusalError as error:
        return await _form(request, visitor, gateway, path, sent, problems.of(error, request.url.path).problem)
    return RedirectResponse(f"/rollouts/{rollout.id}", 303)


def _asked(path: GoldenPath, sent: Mapping[str, str]) -> dict[str, Any]:
    chosen = [kind for kind in _KINDS if sent.get(f"kind.{kind}") == "true"]
    return {
        "golden_path": path.name,
        "version": sent.get("version"),
        "kinds": chosen or None,
        "canaries": _number(sent.get("canaries", "")),
        "batch_size": _number(sent.get("batch_size", "")),
        "include_replacing": sent.get("include_replacing") == "true",
        "pause_after_rehearsal": True,
    }


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else text


async def show_one(request: Request, visitor: Visitor, gateway: Gateway, problem: Problem | None = None) -> Response:
    """One rollout as it goes on. `?seen=` is how far the page that asks again knows it: where nothing has changed
    since, there is nothing to answer."""
    rollout = await gateway.rollouts.find(visitor.principal, _id(request))
    if problem is None and request.query_params.get("seen") == str(rollout.revision):
        return Response(status_code=204)
    counts = rollout.by_state()
    goes_on = rollout.ended_at is None
    untouched = not (counts["begun"] or counts["upgraded"] or counts["failed"])
    return page(
        request,
        visitor,
        gateway,
        "rollout.html",
        here="golden_paths",
        title=f"{rollout.golden_path} to {rollout.version}",
        status=problem.status if problem is not None else 200,
        problem=problem,
        rollout=rollout,
        counts=counts,
        over=sum(member.is_over for member in rollout.members),
        foreseen=rollout.by_rehearsal(),
        stages=stages(rollout),
        members=rollout.members_in_order(),
        looked_at=rollout.status == "paused" and rollout.phase != "rehearsal" and untouched,
        moves=goes_on and (rollout.status == "running" or counts["begun"] > 0),
        may_resume=goes_on and rollout.status in {"paused", "stopped"},
        may_pause=goes_on and rollout.status == "running",
        may_cancel=goes_on and rollout.status != "cancelled",
    )


def stages(rollout: Rollout) -> tuple[Stage, ...]:
    """How far each stage has come."""
    everybody = list(rollout.members)
    rehearsed = [member for member in everybody if member.rehearsal is not None or member.is_over]
    canaries = [member for member in everybody if member.batch == 0]
    others = [member for member in everybody if member.batch]
    batches = max((member.batch or 0 for member in others), default=0)
    here = min((member.batch or 0 for member in others if not member.is_over), default=batches)
    return (
        Stage(
            "Rehearsal",
            _stage(rollout, "rehearsal", len(rehearsed) == len(everybody)),
            f"{len(rehearsed):,} of {len(everybody):,} looked at",
        ),
        Stage("Canaries", _stage(rollout, "canaries", _are_over(canaries), canaries), _upgraded(canaries)),
        Stage(
            "Batches",
            _stage(rollout, "batches", _are_over(others), others),
            _upgraded(others) + (f", batch {here} of {batches}" if batches else ""),
        ),
    )


def _stage(rollout: Rollout, phase: Phase, is_over: bool, members: Sequence[Member] = ()) -> str:
    if any(member.state == "failed" for member in members):
        return "failed"
    if is_over or _PHASES.index(rollout.phase) > _PHASES.index(phase):
        return "succeeded"
    moves = rollout.ended_at is None and (rollout.status == "running" or bool(rollout.members_in("begun")))
    return "running" if rollout.phase == phase and moves else "pending"


def _are_over(members: Sequence[Member]) -> bool:
    return bool(members) and all(member.is_over for member in members)


def _upgraded(members: Sequence[Member]) -> str:
    done = sum(member.state == "upgraded" for member in members)
    return f"{done:,} of {len(members):,} upgraded" if members else "nobody"


def _id(request: Request) -> UUID:
    try:
        return UUID(str(request.path_params["id"]))
    except ValueError:
        raise UnknownThingError(NO_SUCH_ROLLOUT) from None


_Deed = Callable[[Rollouts, Visitor, UUID], Awaitable[Rollout]]


def _form_of(deed: _Deed) -> Callable[[Request, Visitor, Gateway], Awaitable[Response]]:
    async def do(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
        try:
            rollout = await deed(gateway.rollouts, visitor, _id(request))
        except RefusalError as error:
            problem = problems.of(error, request.url.path).problem
            if problem.status in {403, 404}:
                raise
            return await show_one(request, visitor, gateway, problem)
        return RedirectResponse(f"/rollouts/{rollout.id}", 303)

    return do


PAGES: Final = (
    Page("GET", "/rollouts", show_list, "admin"),
    Page("GET", "/rollouts/new", show_form, "admin"),
    Page("POST", "/rollouts", start, "admin"),
    Page("GET", "/rollouts/{id}", show_one, "admin"),
    Page("POST", "/rollouts/{id}/pause", _form_of(lambda to, by, one: to.pause(by.principal, one)), "admin"),
    Page("POST", "/rollouts/{id}/resume", _form_of(lambda to, by, one: to.resume(by.principal, one)), "admin"),
    Page("POST", "/rollouts/{id}/cancel", _form_of(lambda to, by, one: to.cancel(by.principal, one)), "admin"),
)

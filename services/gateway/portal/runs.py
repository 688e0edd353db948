"""One run: as it goes on, and steering it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, get_args

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from contracts.queries import EnvironmentView, RunView
from contracts.step_log import StepLine
from contracts.values import Step
from services.gateway.api import problems, views
from services.gateway.api.answers import RunAnswer, StepAnswer
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.problems import Problem
from services.gateway.domain.refusals import RefusalError, UnavailableError, UnknownThingError
from services.gateway.handlers.following import Position
from services.gateway.portal import abilities, forms, words
from services.gateway.portal.rendering import after, now, page, safe_link

LINES: Final = 1_000
"""So many lines of a log are shown on a page without scripts."""
_STEPS: Final[tuple[Step, ...]] = get_args(Step)


async def show_run(request: Request, visitor: Visitor, gateway: Gateway, problem: Problem | None = None) -> Response:
    """One run: its steps, its log, what came of it, and what can be done about it."""
    view = await gateway.reading.run(visitor.principal, str(request.path_params["id"]), at_least=after(request))
    environment = await _environment(visitor, gateway, view)
    run = views.run(view, gateway.links)
    durations = await gateway.reading.durations(view.golden_path) if view.kind == "create" else ()
    usual = {duration.step: duration for duration in durations}
    path = await gateway.golden_paths.find(view.golden_path)
    return page(
        request,
        visitor,
        gateway,
        "run.html",
        here="runs",
        title=f"{words.RUN_KINDS.get(run.kind, run.kind)} {run.environment}",
        status=problem.status if problem is not None else 200,
        problem=problem,
        run=run,
        took=seconds(run, gateway),
        steps=[(step, _step_seconds(step, gateway), usual.get(step.step)) for step in in_order(run)],
        usual_seconds=usual["total"].p50_seconds if "total" in usual else _promised(view, path),
        measured="total" in usual,
        may=abilities.of_run(visitor.principal, view, environment),
        environment=environment,
        url=safe_link(environment.infrastructure.url, gateway)
        if environment is not None and environment.infrastructure is not None and environment.run_id == view.id
        else None,
        trace=safe_link(run.links["trace"], gateway),
    )


async def show_log(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The log of a run as far as it is written, for whoever has no scripts."""
    view = await gateway.reading.run(visitor.principal, str(request.path_params["id"]))
    lines: list[StepLine] = []
    at = Position()
    while len(lines) < LINES and (found := await gateway.following.log.line_after(view.id, at.line)) is not None:
        at = Position(line=found[0])
        if found[1] is not None:
            lines.append(found[1])
    return page(
        request,
        visitor,
        gateway,
        "log.html",
        here="runs",
        title=f"Log of {words.RUN_KINDS.get(view.kind, view.kind).lower()} {view.environment}",
        run=views.run(view, gateway.links),
        lines=lines,
        most=LINES,
    )


async def _environment(visitor: Visitor, gateway: Gateway, run: RunView) -> EnvironmentView | None:
    """The environment of a run, where it is still the same life of its name."""
    try:
        view = await gateway.reading.environment(visitor.principal, run.environment)
    except (UnknownThingError, UnavailableError):
        return None
    return view if view.incarnation == run.incarnation else None


def _promised(run: RunView, path: Any) -> float | None:
    return float(path.usual_duration_seconds) if path is not None and run.kind == "create" else None


def in_order(run: RunAnswer) -> list[StepAnswer]:
    """The steps as they come: a deletion takes them from the last to the first."""
    known = {step.step: step for step in run.steps}
    names = _STEPS[::-1] if run.kind == "delete" else _STEPS
    return [known.get(name) or StepAnswer(step=name, state="pending", started_at=None, ended_at=None) for name in names]


def seconds(run: RunAnswer, gateway: Gateway) -> float:
    """How long it took, or has taken so far."""
    return ((run.ended_at or now(gateway)) - run.requested_at).total_seconds()


def _step_seconds(step: StepAnswer, gateway: Gateway) -> float | None:
    if step.started_at is None:
        return None
    return ((step.ended_at or now(gateway)) - step.started_at).total_seconds()


async def _cancel(visitor: Visitor, gateway: Gateway, run_id: str, form: dict[str, str]) -> str:
    await gateway.steering.cancel(visitor.principal, run_id, forms.key_of(form))
    return f"/runs/{run_id}?done=cancelled"


async def _retry(visitor: Visitor, gateway: Gateway, run_id: str, form: dict[str, str]) -> str:
    answered = await gateway.steering.retry(visitor.principal, run_id, forms.key_of(form))
    return f"/runs/{answered.request.event_id}"


def _form(
    deed: Callable[[Visitor, Gateway, str, dict[str, str]], Awaitable[str]],
) -> Callable[[Request, Visitor, Gateway], Awaitable[Response]]:
    async def do(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
        try:
            then = await deed(visitor, gateway, str(request.path_params["id"]), await forms.posted(request))
        except RefusalError as error:
            problem = problems.of(error, request.url.path).problem
            if problem.status in {403, 404}:
                raise
            return await show_run(request, visitor, gateway, problem)
        return RedirectResponse(then, 303)

    return do


PAGES: Final = (
    Page("GET", "/runs/{id}", show_run),
    Page("GET", "/runs/{id}/log", show_log),
    Page("POST", "/runs/{id}/cancel", _form(_cancel), "developer"),
    Page("POST", "/runs/{id}/retry", _form(_retry), "developer"),
)

"""Create: choose a golden path, fill in its form, look at what would happen, agree.

Invariants
- What was typed is never lost: every answer shows it again, whatever was wrong with it.
- What is created is what was looked at: the plan's hash goes with the last click. So does a key that was made at the
  review: a click that is made twice makes one environment.
"""

from collections.abc import Mapping
from typing import Any, Final, get_args
from uuid import uuid4

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from contracts.golden_path import GoldenPath
from contracts.values import Kind
from services.gateway.api import problems, views
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.problems import Problem
from services.gateway.domain.admission import CreateEnvironment
from services.gateway.domain.policy import cost_per_month
from services.gateway.domain.refusals import PlanOutdatedError, RefusalError
from services.gateway.portal import forms
from services.gateway.portal.rendering import field_errors, page
from services.gateway.portal.statistics import statistics_of

_FIELDS: Final = ("name", "kind", "branch", "repository", "path", "team")
_OPTIONAL: Final = ("branch", "repository", "path", "team")


async def gallery(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The golden paths to choose from."""
    paths = await gateway.golden_paths.all()
    return page(
        request,
        visitor,
        gateway,
        "create/gallery.html",
        here="catalogue",
        title="Create environment",
        cards=[
            (path, await statistics_of(visitor, gateway, path), _monthly(path, path.defaults.kind)) for path in paths
        ],
    )


async def form(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The form of a golden path. The address may fill it in: `?name=…`; `?again=<environment>` with what that was asked
    for with."""
    path = await gateway.golden_path(str(request.path_params["path"]))
    typed = dict(request.query_params)
    if again := typed.pop("again", ""):
        view = await gateway.reading.environment(visitor.principal, again)
        spec = view.spec
        typed = {
            "name": spec.name,
            "kind": spec.kind,
            "branch": spec.branch,
            "repository": spec.repository,
            "path": spec.path or "",
            "team": spec.owner.team,
            **{
                f"{forms.PARAMETER}{name}": str(value).lower() if isinstance(value, bool) else str(value)
                for name, value in spec.parameters.items()
            },
            **typed,
        }
    return _form(request, visitor, gateway, path, typed)


def _form(  # noqa: PLR0917 - as many as a page has parts
    request: Request,
    visitor: Visitor,
    gateway: Gateway,
    path: GoldenPath,
    typed: Mapping[str, str],
    problem: Problem | None = None,
) -> Response:
    kind = _kind(path, typed)
    errors = field_errors(problem)
    shown = {*_FIELDS} | {f"{forms.PARAMETER}{n}" for n in path.overridable}
    return page(
        request,
        visitor,
        gateway,
        "create/form.html",
        here="catalogue",
        title=f"Create: {path.title}",
        status=problem.status if problem is not None else 200,
        path=path,
        kind=kind,
        typed=typed,
        problem=problem,
        errors=errors,
        errors_elsewhere=[(field, rule) for field, rule in errors.items() if field not in shown],
        fields=forms.fields(path.form(kind), typed),
        teams=visitor.principal.teams,
        organisation=gateway.organisation,
        time_to_live=path.defaults.time_to_live.get(kind),
        monthly=_monthly(path, kind),
    )


async def review(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """What would happen; or the form again, with what is wrong beside its field."""
    path = await gateway.golden_path(str(request.path_params["path"]))
    sent = await forms.posted(request)
    typed = _typed(path, sent)
    if sent.get("action") in {"edit", "refresh"}:
        return _form(request, visitor, gateway, path, typed)
    return await _review(request, visitor, gateway, path, typed)


async def _review(  # noqa: PLR0917 - as many as a page has parts
    request: Request,
    visitor: Visitor,
    gateway: Gateway,
    path: GoldenPath,
    typed: Mapping[str, str],
    outdated: Problem | None = None,
) -> Response:
    try:
        planned = await gateway.planning.of_new(visitor.principal, _ask(path, typed))
    except RefusalError as error:
        return _form(request, visitor, gateway, path, typed, problems.of(error, request.url.path).problem)
    return page(
        request,
        visitor,
        gateway,
        "create/review.html",
        here="catalogue",
        title=f"Review {planned.wish.spec.name}",
        status=outdated.status if outdated is not None else 200,
        path=path,
        typed=typed,
        plan=views.plan(planned),
        problem=outdated,
        key=str(uuid4()),
    )


async def create(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Ask for what was reviewed, and show its run."""
    path = await gateway.golden_path(str(request.path_params["path"]))
    sent = await forms.posted(request)
    typed = _typed(path, sent)
    try:
        ask = _ask(path, typed, plan=sent.get("plan", ""))
        answered = await gateway.asking.create(visitor.principal, ask, forms.key_of(sent))
    except PlanOutdatedError as error:
        outdated = problems.of(error, request.url.path).problem
        return await _review(request, visitor, gateway, path, typed, outdated)
    except RefusalError as error:
        return _form(request, visitor, gateway, path, typed, problems.of(error, request.url.path).problem)
    return RedirectResponse(f"/runs/{answered.request.event_id}", 303)


def _typed(path: GoldenPath, sent: Mapping[str, str]) -> dict[str, str]:
    typed = forms.read(sent, _FIELDS)
    return typed | forms.read(sent, (), path.form(_kind(path, typed)))


def _kind(path: GoldenPath, typed: Mapping[str, str]) -> Kind:
    """The kind whose form is shown: the one that was chosen, where the golden path offers it."""
    chosen: Kind
    for chosen in get_args(Kind):
        if chosen == typed.get("kind") and chosen in path.kinds:
            return chosen
    return path.defaults.kind


def _ask(path: GoldenPath, typed: Mapping[str, str], **more: str) -> CreateEnvironment:
    values: dict[str, Any] = {
        "name": typed.get("name", ""),
        "golden_path": path.name,
        "kind": typed.get("kind") or None,
        "parameters": forms.parameters(path.form(_kind(path, typed)), typed),
        **{name: typed[name] for name in _OPTIONAL if typed.get(name)},
        **more,
    }
    return forms.understood(CreateEnvironment, values)


def _monthly(path: GoldenPath, kind: Kind) -> tuple[str, str]:
    return str(cost_per_month(path, path.resolve(kind, {}))), path.prices.currency


PAGES: Final = (
    Page("GET", "/create", gallery, "developer"),
    Page("GET", "/create/{path}", form, "developer"),
    Page("POST", "/create/{path}", review, "developer"),
    Page("POST", "/create/{path}/confirm", create, "developer"),
)

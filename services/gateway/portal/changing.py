"""Change and upgrade an environment that exists: fill in, look at the plan, agree. Nothing typed is lost."""

from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from services.gateway.api import problems, views
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.problems import Problem
from services.gateway.domain.changes import ChangeEnvironment, newer_version
from services.gateway.domain.refusals import PlanOutdatedError, RefusalError, UnknownThingError
from services.gateway.handlers.settling import Answered
from services.gateway.portal import forms
from services.gateway.portal.rendering import field_errors, page
from services.gateway.portal.seeing import Seen, see

_NO_UPDATE: Final = "There is no newer version of its golden path on offer."


async def form(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """What may be changed, with what it is."""
    seen = await _seen(request, visitor, gateway)
    return _form(request, visitor, gateway, seen, {})


async def upgrade(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The plan of the version on offer."""
    seen = await _seen(request, visitor, gateway)
    version = newer_version(seen.view.spec, seen.path)
    if version is None:
        raise UnknownThingError(_NO_UPDATE)
    return await _review(request, visitor, gateway, seen, {"golden_path_version": version})


async def review(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """What would happen; or the form again."""
    seen = await _seen(request, visitor, gateway)
    sent = await forms.posted(request)
    typed = _typed(seen, sent)
    if sent.get("action") == "edit":
        return _form(request, visitor, gateway, seen, typed)
    return await _review(request, visitor, gateway, seen, typed)


async def change(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Ask for what was reviewed, and show its run."""
    seen = await _seen(request, visitor, gateway)
    sent = await forms.posted(request)
    typed = _typed(seen, sent)
    try:
        ask = _ask(seen, typed, plan=sent.get("plan", ""))
        found = await gateway.asking.update(visitor.principal, seen.view.name, ask, forms.key_of(sent))
    except PlanOutdatedError as error:
        outdated = problems.of(error, request.url.path).problem
        return await _review(request, visitor, gateway, seen, typed, outdated)
    except RefusalError as error:
        return _form(request, visitor, gateway, seen, typed, problems.of(error, request.url.path).problem)
    if not isinstance(found, Answered):
        return RedirectResponse(f"/environments/{seen.view.name}?done=unchanged", 303)
    return RedirectResponse(f"/runs/{found.request.event_id}", 303)


async def _seen(request: Request, visitor: Visitor, gateway: Gateway) -> Seen:
    seen = await see(visitor, gateway, str(request.path_params["name"]))
    visitor.principal.require_in(seen.view, "developer")
    if seen.path is None:
        raise UnknownThingError("Its golden path is not on offer any more, so nothing of it can be changed.")
    return seen


def _form(  # noqa: PLR0917 - as many as a page has parts
    request: Request,
    visitor: Visitor,
    gateway: Gateway,
    seen: Seen,
    typed: Mapping[str, str],
    problem: Problem | None = None,
) -> Response:
    spec = seen.view.spec
    schema = seen.path.form(spec.kind) if seen.path is not None else {"properties": {}}
    return page(
        request,
        visitor,
        gateway,
        "change/form.html",
        here="catalogue",
        title=f"Change {spec.name}",
        status=problem.status if problem is not None else 200,
        env=seen.answer,
        may=seen.may,
        typed=typed,
        problem=problem,
        errors=field_errors(problem),
        fields=forms.fields(schema, typed, spec.parameters),
    )


async def _review(  # noqa: PLR0917 - as many as a page has parts
    request: Request,
    visitor: Visitor,
    gateway: Gateway,
    seen: Seen,
    typed: Mapping[str, str],
    outdated: Problem | None = None,
) -> Response:
    try:
        planned = await gateway.planning.of_change(visitor.principal, seen.view.name, _ask(seen, typed))
    except RefusalError as error:
        return _form(request, visitor, gateway, seen, typed, problems.of(error, request.url.path).problem)
    before, after = seen.view.spec, planned.wish.spec
    return page(
        request,
        visitor,
        gateway,
        "change/review.html",
        here="catalogue",
        title=f"Review the change of {before.name}",
        status=outdated.status if outdated is not None else 200,
        env=seen.answer,
        typed=typed,
        plan=views.plan(planned),
        problem=outdated,
        key=str(uuid4()),
        differences=[
            (name, old, new)
            for name, old, new in (
                ("branch", before.branch, after.branch),
                ("golden path version", before.golden_path_version, after.golden_path_version),
                *(
                    (name, before.parameters.get(name), after.parameters.get(name))
                    for name in sorted(before.parameters.keys() | after.parameters.keys())
                ),
            )
            if old != new
        ],
    )


def _typed(seen: Seen, sent: Mapping[str, str]) -> dict[str, str]:
    names = ("branch", "golden_path_version")
    if "branch" not in sent or seen.path is None:  # an upgrade speaks of the version only
        return forms.read(sent, names)
    return forms.read(sent, names, seen.path.form(seen.view.spec.kind))


def _ask(seen: Seen, typed: Mapping[str, str], **more: str) -> ChangeEnvironment:
    spec = seen.view.spec
    schema = seen.path.form(spec.kind) if seen.path is not None else {"properties": {}}
    wanted = forms.parameters(schema, typed)
    values = {
        "parameters": {name: value for name, value in wanted.items() if spec.parameters.get(name) != value},
        **{name: typed[name] for name in ("branch", "golden_path_version") if typed.get(name)},
        **more,
    }
    return forms.understood(ChangeEnvironment, values)


_ONE: Final = "/environments/{name}"
PAGES: Final = (
    Page("GET", f"{_ONE}/change", form, "developer"),
    Page("GET", f"{_ONE}/upgrade", upgrade, "developer"),
    Page("POST", f"{_ONE}/change", review, "developer"),
    Page("POST", f"{_ONE}/change/confirm", change, "developer"),
)

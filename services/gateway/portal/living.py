"""What the forms of an environment's page do: its end, who may use it, its repair, and taking it away."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from services.gateway.api import problems
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.domain.admission import ChangeAccess
from services.gateway.domain.lifetime import ExtendEnvironment, KeepEnvironment
from services.gateway.domain.refusals import BrokenRule, InvalidError, RefusalError
from services.gateway.portal import environment, forms
from services.gateway.portal.rendering import page
from services.gateway.portal.seeing import see

Deed = Callable[[Visitor, Gateway, str, dict[str, str]], Awaitable[str]]
"""Does what a form asks for, of the environment of this name; returns where to go then."""


async def _extend(visitor: Visitor, gateway: Gateway, name: str, form: dict[str, str]) -> str:
    ask = forms.understood(ExtendEnvironment, {"ttl": form.get("ttl", "")})
    await gateway.living.extend(visitor.principal, name, ask, forms.key_of(form))
    return f"/environments/{name}?done=extended"


async def _keep(visitor: Visitor, gateway: Gateway, name: str, form: dict[str, str]) -> str:
    ask = forms.understood(KeepEnvironment, {"reason": form.get("reason", "").strip()})
    await gateway.living.keep(visitor.principal, name, ask, forms.key_of(form))
    return f"/environments/{name}?done=kept"


async def _let_go(visitor: Visitor, gateway: Gateway, name: str, form: dict[str, str]) -> str:
    await gateway.living.let_go(visitor.principal, name, forms.key_of(form))
    return f"/environments/{name}?done=unkept"


async def _grant(visitor: Visitor, gateway: Gateway, name: str, form: dict[str, str]) -> str:
    await gateway.living.change_access("grant", visitor.principal, name, _access(form), forms.key_of(form))
    return f"/environments/{name}/access?done=granted"


async def _revoke(visitor: Visitor, gateway: Gateway, name: str, form: dict[str, str]) -> str:
    await gateway.living.change_access("revoke", visitor.principal, name, _access(form), forms.key_of(form))
    return f"/environments/{name}/access?done=revoked"


def _access(form: dict[str, str]) -> ChangeAccess:
    who = form.get("who", "").strip()
    if not who:
        raise InvalidError([BrokenRule("who", "is required: a person's or a team's name")])
    to = "team" if form.get("of") == "team" else "person"
    try:
        return forms.understood(ChangeAccess, {"role": form.get("role", ""), to: who})
    except InvalidError as error:
        raise InvalidError([BrokenRule("who" if e.field == to else e.field, e.rule) for e in error.errors]) from error


async def _repair(visitor: Visitor, gateway: Gateway, name: str, form: dict[str, str]) -> str:
    answered = await gateway.asking.repair(visitor.principal, name, forms.key_of(form))
    return f"/runs/{answered.request.event_id}"


async def _roll_back(visitor: Visitor, gateway: Gateway, name: str, form: dict[str, str]) -> str:
    await gateway.deploying.roll_back(visitor.principal, name, form.get("to") or None, forms.key_of(form))
    return f"/environments/{name}/deployments?done=rolled_back"


def _form(tab: str, deed: Deed) -> Callable[[Request, Visitor, Gateway], Awaitable[Response]]:
    """A form of the page's tab: the deed, or the page again with why not and all that was typed."""

    async def do(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
        form = await forms.posted(request)
        try:
            then = await deed(visitor, gateway, str(request.path_params["name"]), form)
        except RefusalError as error:
            problem = problems.of(error, request.url.path).problem
            if problem.status in {403, 404}:
                raise
            return await environment.show(request, visitor, gateway, tab, problem, form)
        return RedirectResponse(then, 303)

    return do


async def confirm_deletion(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """What goes with an environment, and a field for its name."""
    return await _deletion_page(request, visitor, gateway)


async def delete(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Take it away, if its name was typed."""
    form, name = await forms.posted(request), str(request.path_params["name"])
    try:
        if form.get("confirm", "").strip() != name:
            raise InvalidError([BrokenRule("confirm", f"must be the environment's name, {name}")])
        answered = await gateway.asking.delete(visitor.principal, name, forms.key_of(form))
    except RefusalError as error:
        problem = problems.of(error, request.url.path).problem
        if problem.status in {403, 404}:
            raise
        return await _deletion_page(request, visitor, gateway, problem=problem, typed=form)
    return RedirectResponse(f"/runs/{answered.request.event_id}", 303)


async def _deletion_page(request: Request, visitor: Visitor, gateway: Gateway, **more: Any) -> Response:
    seen = await see(visitor, gateway, str(request.path_params["name"]))
    visitor.principal.require_in(seen.view, "admin")
    drawn = await gateway.reading.graph(visitor.principal, seen.view.name)
    problem = more.get("problem")
    return page(
        request,
        visitor,
        gateway,
        "delete.html",
        here="catalogue",
        title=f"Delete {seen.answer.name}",
        status=problem.status if problem is not None else 200,
        env=seen.answer,
        may=seen.may,
        affected=drawn.affected,
        affected_unseen=drawn.affected_unseen,
        problem=problem,
        typed=more.get("typed", {}),
    )


_ONE: Final = "/environments/{name}"
PAGES: Final = (
    Page("POST", f"{_ONE}/extend", _form("timeline", _extend), "developer"),
    Page("POST", f"{_ONE}/keep", _form("timeline", _keep), "developer"),
    Page("POST", f"{_ONE}/let-go", _form("timeline", _let_go), "developer"),
    Page("POST", f"{_ONE}/access", _form("access", _grant), "developer"),
    Page("POST", f"{_ONE}/access/revoke", _form("access", _revoke), "developer"),
    Page("POST", f"{_ONE}/repair", _form("drift", _repair), "developer"),
    Page("POST", f"{_ONE}/rollback", _form("deployments", _roll_back), "developer"),
    Page("GET", f"{_ONE}/delete", confirm_deletion, "developer"),
    Page("POST", f"{_ONE}/delete", delete, "developer"),
)

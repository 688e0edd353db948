"""What is shown where a page cannot be: not there, not allowed, not now."""

from fastapi import Request, Response

from services.gateway.api import html
from services.gateway.api.browser import Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.problems import Problem
from services.gateway.portal.rendering import frame


async def show_problem(
    request: Request,  # noqa: ARG001 - as the door gives it
    visitor: Visitor | None,
    gateway: Gateway,
    problem: Problem,
) -> Response:
    """A problem as a page."""
    return html.page("problem.html", problem.status, **frame(visitor, gateway), title=problem.title, problem=problem)

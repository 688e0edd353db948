"""Two tabs of an environment's page: what is live there and how it came about, and what the application prints."""

from typing import Any, Final

from fastapi import Request

from chassis.failures import TransientError
from contracts.deployments import OutputLine
from services.gateway.api.browser import Visitor
from services.gateway.api.context import Gateway
from services.gateway.domain.deployments import NoRuntimeError
from services.gateway.domain.people import reaches
from services.gateway.portal.seeing import Seen

LINES: Final = 300
"""So many lines of the application's log are on the page before live ones come."""


async def deployments(
    request: Request,  # noqa: ARG001 - every tab takes the same
    visitor: Visitor,
    gateway: Gateway,
    seen: Seen,
) -> dict[str, Any]:
    """What is live, what can be gone back to, and the latest deployments."""
    found: dict[str, Any] = {"slot": None, "elsewhere": False, "unanswered": False}
    try:
        found["slot"] = await gateway.deploying.slot(visitor.principal, seen.view.name)
    except NoRuntimeError:
        found["elsewhere"] = True
    except TransientError:
        found["unanswered"] = True
    return found


async def logs(
    request: Request,  # noqa: ARG001 - every tab takes the same
    visitor: Visitor,
    gateway: Gateway,
    seen: Seen,
) -> dict[str, Any]:
    """The last lines that the application printed, for whoever is a developer in the environment."""
    may_read = reaches(visitor.principal.role_in(seen.view) or "viewer", "developer")
    found: dict[str, Any] = {"may_read": may_read, "lines": [], "elsewhere": False, "unanswered": False}
    if not may_read:
        return found
    try:
        lines: list[OutputLine] = []
        async for line in await gateway.deploying.output(visitor.principal, seen.view.name, LINES):
            lines.append(line)  # noqa: PERF401 - what has come so far is shown where the rest does not come
        found["lines"] = lines
    except NoRuntimeError:
        found["elsewhere"] = True
    except TransientError:
        found["unanswered"] = True
    return found

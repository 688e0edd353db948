"""An environment as every page of it sees it."""

from dataclasses import dataclass

from contracts.golden_path import GoldenPath
from contracts.queries import EnvironmentView
from services.gateway.api import views
from services.gateway.api.answers import EnvironmentAnswer
from services.gateway.api.browser import Visitor
from services.gateway.api.context import Gateway
from services.gateway.portal import abilities


@dataclass(frozen=True)
class Seen:
    """An environment, and everything that its page shows of it whatever the tab."""

    view: EnvironmentView
    answer: EnvironmentAnswer
    path: GoldenPath | None
    may: abilities.Abilities


async def see(visitor: Visitor, gateway: Gateway, name: str) -> Seen:
    """Look at an environment. Raises as `Reading.environment`."""
    view = await gateway.reading.environment(visitor.principal, name)
    path = await gateway.golden_paths.find(view.spec.golden_path)
    answer = views.environment(view, path, gateway.links, visitor.principal)
    return Seen(view, answer, path, abilities.of_environment(visitor.principal, view, path))

"""`:plan`: what would happen, before anybody agrees to it."""

from typing import Final

from services.gateway.api import views
from services.gateway.api.answers import API, PlanAnswer
from services.gateway.api.auth import DEVELOPER
from services.gateway.api.context import Deeds
from services.gateway.api.environments import Name
from services.gateway.api.routing import Asker, Endpoint
from services.gateway.domain.admission import CreateEnvironment
from services.gateway.domain.changes import ChangeEnvironment


async def plan_environment(body: CreateEnvironment, asker: Asker, gateway: Deeds) -> PlanAnswer:
    """What a new environment would be: every change, its cost, how long it takes, what is left of the quota. Takes up
    to half a minute; nothing is changed."""
    return views.plan(await gateway.planning.of_new(asker, body))


async def plan_change(name: Name, body: ChangeEnvironment, asker: Asker, gateway: Deeds) -> PlanAnswer:
    """What another state of an environment would change. Takes up to half a minute; nothing is changed."""
    return views.plan(await gateway.planning.of_change(asker, name, body))


ENDPOINTS: Final = (
    Endpoint("POST", f"{API}/environments:plan", plan_environment, DEVELOPER, 200, PlanAnswer, "plans"),
    Endpoint("POST", f"{API}/environments/{{name}}:plan", plan_change, DEVELOPER, 200, PlanAnswer, "plans"),
)

"""How long an environment lives, and who else may use it: `:extend`, `:keep`, `:unkeep`, `/access`."""

from typing import Annotated, Final

from fastapi import Query

from contracts.events import AccessChange
from contracts.names import PersonName, TeamName
from services.gateway.api import views
from services.gateway.api.answers import API, AccessAnswer, AccessChanged, EnvironmentAnswer
from services.gateway.api.auth import DEVELOPER, VIEWER
from services.gateway.api.context import Deeds
from services.gateway.api.environments import Name, shown
from services.gateway.api.routing import Asker, Endpoint, IdempotencyKey
from services.gateway.domain.admission import ChangeAccess
from services.gateway.domain.lifetime import ExtendEnvironment, KeepEnvironment
from services.gateway.domain.people import Role


async def extend_environment(
    name: Name, body: ExtendEnvironment, asker: Asker, key: IdempotencyKey, gateway: Deeds
) -> EnvironmentAnswer:
    """Give it more time, counted from now; a preview lives 30 days at most unless its golden path says otherwise."""
    return await shown(await gateway.living.extend(asker, name, body, key), asker, gateway)


async def keep_environment(
    name: Name, body: KeepEnvironment, asker: Asker, key: IdempotencyKey, gateway: Deeds
) -> EnvironmentAnswer:
    """Take its end away, and say why."""
    return await shown(await gateway.living.keep(asker, name, body, key), asker, gateway)


async def unkeep_environment(name: Name, asker: Asker, key: IdempotencyKey, gateway: Deeds) -> EnvironmentAnswer:
    """Give it an end again: what is usual for its kind, and a day at least."""
    return await shown(await gateway.living.let_go(asker, name, key), asker, gateway)


async def get_access(name: Name, asker: Asker, gateway: Deeds) -> AccessAnswer:
    """Who may use an environment: its owner's team, and everybody who was granted a role in it."""
    view = await gateway.reading.environment(asker, name)
    return AccessAnswer(owner=view.spec.owner, items=views.grants(view))


async def grant_access(
    name: Name, body: ChangeAccess, asker: Asker, key: IdempotencyKey, gateway: Deeds
) -> AccessChanged:
    """Grant a person or a team a role in one environment. It takes effect when the secrets service has done it."""
    change = await gateway.living.change_access("grant", asker, name, body, key)
    return _changed(name, change, granted=True)


async def revoke_access(
    *,
    name: Name,
    asker: Asker,
    key: IdempotencyKey,
    gateway: Deeds,
    role: Annotated[Role, Query()],
    person: Annotated[PersonName | None, Query()] = None,
    team: Annotated[TeamName | None, Query()] = None,
) -> AccessChanged:
    """Take a role away again; name the person or the team."""
    ask = ChangeAccess(role=role, person=person, team=team)
    return _changed(name, await gateway.living.change_access("revoke", asker, name, ask, key), granted=False)


def _changed(name: str, change: AccessChange, *, granted: bool) -> AccessChanged:
    return AccessChanged(
        environment=name,
        role=change.role,
        person=change.person,
        team=change.team,
        change="granted" if granted else "revoked",
    )


_ONE = f"{API}/environments/{{name}}"
_ACCESS = f"{_ONE}/access"
ENDPOINTS: Final = (
    Endpoint("POST", f"{_ONE}:extend", extend_environment, DEVELOPER, 200, EnvironmentAnswer, "environments"),
    Endpoint("POST", f"{_ONE}:keep", keep_environment, DEVELOPER, 200, EnvironmentAnswer, "environments"),
    Endpoint("POST", f"{_ONE}:unkeep", unkeep_environment, DEVELOPER, 200, EnvironmentAnswer, "environments"),
    Endpoint("GET", _ACCESS, get_access, VIEWER, 200, AccessAnswer, "access"),
    Endpoint("POST", _ACCESS, grant_access, DEVELOPER, 202, AccessChanged, "access"),
    Endpoint("DELETE", _ACCESS, revoke_access, DEVELOPER, 202, AccessChanged, "access"),
)

"""What the gateway hears on the bus: request -> deed. It hears no events; what it needs to know it asks the catalog.

The routes of HTTP are in `api.application.ENDPOINTS`; these rows lead to the same deeds.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from services.gateway.api import views
from services.gateway.api.auth import DEVELOPER, VIEWER
from services.gateway.api.bus import BusRequest
from services.gateway.api.context import Gateway
from services.gateway.api.facts import FactAnswer
from services.gateway.domain.admission import Ask, CreateEnvironment, DeleteEnvironment
from services.gateway.domain.changes import ChangeNamedEnvironment
from services.gateway.domain.facts import TellNamedFact
from services.gateway.domain.people import Principal
from services.gateway.handlers.settling import Answered


class NamedRun(Ask):
    """Names a run."""

    id: str


BODIES: Final[Mapping[str, type[BaseModel]]] = {
    "create_environment": CreateEnvironment,
    "update_environment": ChangeNamedEnvironment,
    "delete_environment": DeleteEnvironment,
    "cancel_run": NamedRun,
    "get_run": NamedRun,
    "tell_fact": TellNamedFact,
}
"""What each request takes, to be published."""


def requests(gateway: Gateway) -> tuple[BusRequest[Any], ...]:
    """The table."""

    async def create_environment(asker: Principal, ask: CreateEnvironment, key: str | None) -> BaseModel:
        return views.accepted(await gateway.asking.create(asker, ask, key), gateway.links)

    async def update_environment(asker: Principal, ask: ChangeNamedEnvironment, key: str | None) -> BaseModel:
        found = await gateway.asking.update(asker, ask.name, ask.change(), key)
        if isinstance(found, Answered):
            return views.accepted(found, gateway.links)
        path = await gateway.golden_paths.find(found.spec.golden_path)
        return views.environment(found, path, gateway.links, asker)

    async def delete_environment(asker: Principal, ask: DeleteEnvironment, key: str | None) -> BaseModel:
        return views.accepted(await gateway.asking.delete(asker, ask.name, key), gateway.links)

    async def cancel_run(asker: Principal, ask: NamedRun, key: str | None) -> BaseModel:
        return views.run(await gateway.steering.cancel(asker, ask.id, key), gateway.links)

    async def get_run(asker: Principal, ask: NamedRun, _: str | None) -> BaseModel:
        return views.run(await gateway.reading.run(asker, ask.id), gateway.links)

    async def tell_fact(asker: Principal, told: TellNamedFact, key: str | None) -> BaseModel:
        signal = await gateway.telling.tell(asker, told.name, told.fact(), key)
        return FactAnswer(id=signal.id, environment=told.name, kind=signal.kind, time=signal.time)

    return (
        BusRequest("create_environment", DEVELOPER, CreateEnvironment, create_environment, 202),
        BusRequest("update_environment", DEVELOPER, ChangeNamedEnvironment, update_environment, 202),
        BusRequest("delete_environment", DEVELOPER, DeleteEnvironment, delete_environment, 202),
        BusRequest("cancel_run", DEVELOPER, NamedRun, cancel_run, 202),
        BusRequest("get_run", VIEWER, NamedRun, get_run),
        BusRequest("tell_fact", DEVELOPER, TellNamedFact, tell_fact, 202),
    )

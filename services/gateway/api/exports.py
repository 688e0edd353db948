"""The catalogue for other programs: as CSV, as JSON, and as entities of Backstage.

Whatever is long is sent a page at a time: nothing of it is held as a whole.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal

import yaml
from fastapi import Query, Response
from fastapi.responses import StreamingResponse

from contracts.queries import EnvironmentView
from services.gateway.api import views
from services.gateway.api.answers import API, EnvironmentAnswer
from services.gateway.api.auth import VIEWER
from services.gateway.api.context import Deeds, Gateway
from services.gateway.api.environments import Name, Searched
from services.gateway.api.routing import Asker, Endpoint
from services.gateway.api.spreadsheets import MEDIA_TYPE, disposition, written
from services.gateway.domain.entities import entities
from services.gateway.domain.people import Principal
from services.gateway.handlers.reading import Search

PAGE: Final = 200
_COLUMNS: Final = (
    "name",
    "state",
    "deployment",
    "running",
    "kind",
    "golden_path",
    "golden_path_version",
    "team",
    "owner",
    "repository",
    "branch",
    "url",
    "created_at",
    "updated_at",
    "expires_at",
    "last_activity_at",
    "commit",
    "currency",
    "cost_per_month",
    "cost_so_far",
)
_YAML: Final = "application/yaml"


async def export_environments(
    asker: Asker,
    gateway: Deeds,
    search: Searched,
    format: Annotated[Literal["csv", "json"], Query()] = "csv",  # noqa: A002 - what it is called in the address
) -> Response:
    """Every environment that a list with the same filters would show, at once: as CSV (RFC 4180), or as a JSON array of
    what a list has."""
    # The first page is read before the answer begins, so that a refusal is one.
    first = await gateway.reading.environments(asker, search.model_copy(update={"limit": PAGE}))
    pages = _pages(gateway, asker, search, first.items, first.next_cursor)
    if format == "csv":
        return StreamingResponse(
            _csv(pages, gateway, asker),
            media_type=MEDIA_TYPE,
            headers=disposition("environments.csv"),
        )
    return StreamingResponse(_json(pages, gateway, asker), media_type="application/json")


async def get_catalog_info(name: Name, asker: Asker, gateway: Deeds) -> Response:
    """One environment as entities of Backstage: a Component, and a Resource for each thing that it has."""
    view = await gateway.reading.environment(asker, name)
    return Response(_documents(view, gateway), media_type=_YAML)


async def list_catalog_info(asker: Asker, gateway: Deeds) -> Response:
    """Every environment that you see, as entities of Backstage in one file of many documents."""
    search = Search(limit=PAGE)
    first = await gateway.reading.environments(asker, search)

    async def documents() -> AsyncIterator[str]:
        async for page in _pages(gateway, asker, search, first.items, first.next_cursor):
            yield "".join(_documents(view, gateway) for view in page)

    return StreamingResponse(documents(), media_type=_YAML)


async def _pages(
    gateway: Gateway, asker: Principal, search: Search, first: tuple[EnvironmentView, ...], cursor: str | None
) -> AsyncIterator[tuple[EnvironmentView, ...]]:
    yield first
    while cursor is not None:
        asked = search.model_copy(update={"limit": PAGE, "after": cursor})
        page = await gateway.reading.environments(asker, asked)
        yield page.items
        cursor = page.next_cursor


async def _answers(
    pages: AsyncIterator[tuple[EnvironmentView, ...]], gateway: Gateway, asker: Principal
) -> AsyncIterator[list[EnvironmentAnswer]]:
    paths = {path.name: path for path in await gateway.golden_paths.all()}
    async for page in pages:
        yield [views.environment(view, paths.get(view.spec.golden_path), gateway.links, asker) for view in page]


async def _json(
    pages: AsyncIterator[tuple[EnvironmentView, ...]], gateway: Gateway, asker: Principal
) -> AsyncIterator[str]:
    before = "["
    async for answers in _answers(pages, gateway, asker):
        for answer in answers:
            yield before + answer.model_dump_json()
            before = ",\n"
    yield "[]" if before == "[" else "]\n"


async def _csv(
    pages: AsyncIterator[tuple[EnvironmentView, ...]], gateway: Gateway, asker: Principal
) -> AsyncIterator[str]:
    yield written([_COLUMNS])
    async for answers in _answers(pages, gateway, asker):
        yield written(_row(answer) for answer in answers)


def _row(answer: EnvironmentAnswer) -> list[Any]:
    deployed, cost = answer.last_successful_deployment, answer.cost
    return [
        answer.name,
        answer.state,
        answer.deployment,
        answer.running,
        answer.kind,
        answer.golden_path,
        answer.golden_path_version,
        answer.owner.team,
        answer.owner.person,
        answer.repository,
        answer.branch,
        answer.url,
        views.rfc3339(answer.created_at),
        views.rfc3339(answer.updated_at),
        views.rfc3339(answer.expires_at) if answer.expires_at else None,
        views.rfc3339(answer.last_activity_at) if answer.last_activity_at else None,
        deployed.commit if deployed else None,
        cost.currency if cost else None,
        cost.per_month if cost else None,
        cost.so_far if cost else None,
    ]


def _documents(view: EnvironmentView, gateway: Gateway) -> str:
    page = gateway.links.environment_page(view.name)
    return "".join(
        f"---\n{yaml.safe_dump(entity, sort_keys=False, allow_unicode=True)}" for entity in entities(view, page)
    )


_CSV_TOO: Final = {"responses": {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}}
_YAML_ONLY: Final = {"response_class": Response, "responses": {200: {"content": {_YAML: {}}}}}
ENDPOINTS = (
    # Before the route of one environment: it would take this for a name.
    Endpoint(
        "GET",
        f"{API}/environments/export",
        export_environments,
        VIEWER,
        200,
        list[EnvironmentAnswer],
        "catalogue",
        options=_CSV_TOO,
    ),
    Endpoint(
        "GET",
        f"{API}/environments/{{name}}/catalog-info.yaml",
        get_catalog_info,
        VIEWER,
        tag="catalogue",
        options=_YAML_ONLY,
    ),
    Endpoint("GET", f"{API}/catalog-info.yaml", list_catalog_info, VIEWER, tag="catalogue", options=_YAML_ONLY),
)

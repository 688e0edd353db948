"""The client's file is that of the API as it is."""

import ast
import inspect
import json
from typing import Any

import pytest

from contracts import subjects
from deploy.schemas import documents, openapi
from deploy.sdk.operations import NOT_WRITTEN
from deploy.sdk.shapes import annotation, in_order
from deploy.sdk.writing import CLIENT, client_source
from services.gateway.subscriptions import BODIES, requests
from slipway.client import AsyncClient, Client
from tests.unit.gateway.rig import Rig


def test_the_client_is_that_of_the_api() -> None:
    assert CLIENT.read_text(encoding="utf-8") == client_source(), "run `python -m deploy.sdk`"


def test_every_operation_has_a_documented_method_in_both_clients() -> None:
    named = {said["operationId"] for methods in openapi()["paths"].values() for said in methods.values()}
    for client in (Client, AsyncClient):
        assert {name for name in named if not hasattr(client, name)} == set(NOT_WRITTEN)
        assert all(inspect.getdoc(getattr(client, name)) for name in named - NOT_WRITTEN.keys())


def test_every_request_of_the_bus_is_published_with_what_it_takes() -> None:
    document = documents()["asyncapi.json"]
    rows = requests(Rig().gateway)
    assert {row.name: row.body for row in rows} == BODIES
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert {subjects.request(row.name) for row in rows} <= addresses
    named = {part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]}
    assert named == set(document["components"]["schemas"])


def test_the_client_stands_alone() -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(CLIENT.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported & {"contracts", "chassis", "services", "cli", "deploy", "slipway"} == set()
    assert {"anyio", "httpx", "pydantic", "pydantic_core"} <= imported


@pytest.mark.parametrize(
    ("schema", "asked", "answered"),
    [
        ({"type": "string", "enum": ["a", "b"]}, 'Literal["a", "b"]', 'Literal["a", "b"] | str'),
        ({"anyOf": [{"$ref": "#/components/schemas/A"}, {"type": "null"}]}, "A | None", "A | None"),
        ({"type": "array", "items": {"type": "string", "format": "uuid"}}, "list[UUID]", "list[UUID]"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "dict[str, float]", "dict[str, float]"),
        ({"type": "object", "additionalProperties": True}, "dict[str, Any]", "dict[str, Any]"),
        ({}, "Any", "Any"),
    ],
)
def test_a_schema_is_the_type_of_what_fits_it(schema: dict[str, Any], asked: str, answered: str) -> None:
    assert annotation(schema, asked=True) == asked
    assert annotation(schema, asked=False) == answered


def test_a_schema_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"teach deploy\.sdk\.shapes"):
        annotation({"type": "tuple"}, asked=True)


def test_what_a_shape_speaks_of_stands_before_it() -> None:
    schemas: dict[str, dict[str, Any]] = {
        "A": {"anyOf": [{"$ref": "#/components/schemas/C"}]},
        "B": {},
        "C": {"$ref": "#/components/schemas/B"},
    }
    assert in_order({"A", "B", "C"}, schemas) == ["B", "C", "A"]

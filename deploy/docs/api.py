"""The pages of the API and its errors, from the OpenAPI document."""

from collections.abc import Iterator, Mapping
from typing import Any

from deploy.docs.markdown import cell, code, paragraph, table
from deploy.schemas import openapi
from deploy.sdk.operations import NOT_WRITTEN
from deploy.sdk.shapes import annotation
from services.gateway.api.problems import known

_TEXT = (
    "[OpenAPI 3.1](published/openapi.json) is all of it, with every shape. `GET /api/v1/openapi.json` serves the same."
)


def api_page() -> str:
    """Every operation by its subject."""
    document = openapi()
    parts = ["# HTTP API", _TEXT, _INTRODUCTION]
    for tag in dict.fromkeys(said["tags"][0] for _, _, said in _operations(document)):
        parts.append(f"## {tag.capitalize()}")
        for method, path, said in _operations(document):
            if said["tags"][0] == tag:
                parts += [f"### {method} {path}", paragraph(said["description"]), _parameters(said), _body(said)]
                parts.append(f"Answers: {', '.join(_answers(said))}.{_in_client(said['operationId'])}")
    return "\n\n".join(part for part in parts if part) + "\n"


_INTRODUCTION = """\
Show a token as `Authorization: Bearer slw_…`. Bodies are JSON, 64 KiB at most, without fields that are not known here.
Times are RFC 3339 in UTC. What changes something takes an `Idempotency-Key` (1 to 255 visible ASCII characters): the
same key and the same request get the same answer and happen once. Every answer has the header `Slipway-Trace-Id` where
tracing is on. Ignore fields that you do not know: more are added within v1, and none is taken away. What is refused is
a [problem](errors.md)."""


def _in_client(name: str) -> str:
    return "" if name in NOT_WRITTEN else f" In the client: {code(name)}."


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            yield method.upper(), path, said


def _parameters(said: Mapping[str, Any]) -> str:
    rows = [
        (code(one["name"]), one["in"], _type(one["schema"]), one.get("description", ""))
        for one in said.get("parameters", ())
    ]
    return table(("parameter", "in", "type", "what it is"), rows)


def _type(schema: Mapping[str, Any]) -> str:
    parts = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    if any("enum" in part for part in parts):
        return " or ".join(code(str(value)) for part in parts for value in part.get("enum", ()))
    return " or ".join(f"{part.get('format') or part.get('type', 'any')}" for part in parts)


def _body(said: Mapping[str, Any]) -> str:
    content = said.get("requestBody", {}).get("content", {})
    kinds = [f"{code(kind)} {code(_shape(found.get('schema', {})))}".strip() for kind, found in content.items()]
    return f"Body: {', '.join(kinds)}" if kinds else ""


def _answers(said: Mapping[str, Any]) -> Iterator[str]:
    for status, response in said["responses"].items():
        if status != "default":
            shapes = [_shape(found.get("schema", {})) or kind for kind, found in response.get("content", {}).items()]
            yield " ".join([status, *(code(cell(shape)) for shape in shapes)])


def _shape(schema: Mapping[str, Any]) -> str:
    named = schema.keys() & {"$ref", "anyOf", "items"}
    return annotation(schema, asked=True).removesuffix(" | None") if named else ""


def errors_page() -> str:
    """Every problem."""
    rows = [(code(name), str(status), title) for name, (status, title) in known().items()]
    return "\n\n".join(("# Errors", _PROBLEMS, table(("code", "status", "title"), rows)))


_PROBLEMS = """\
Every status from 400 on is a problem (RFC 9457, `application/problem+json`), over HTTP and on the bus alike. `type` is
`urn:slipway:problem:<code>`, and the code is stable. `detail` says what happened and what to do next. `errors` names
each field and the rule that its value breaks; never the value. `trace_id` is what the platform team wants to know. With
a 409, `environment` says what is in the way, where you may see it; with `quota_exceeded`, `quota` says what is used up.

429 and 503 come with `Retry-After`. Repeat with the same `Idempotency-Key`: what was recorded is carried out once, also
where you did not hear the answer."""

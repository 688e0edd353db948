"""Writes the published language to `contracts/published/`: one JSON Schema a message, `asyncapi.json` for the bus, and
`openapi.json` for HTTP.

Run as `python -m deploy.schemas` after a change of contracts. A change that breaks what is published fails
`tests/contract/test_compatibility.py`, which is run before the new files are committed.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chassis.clock import SystemClock
from contracts import subjects
from contracts.schemas import asyncapi, json_schemas
from services.gateway.adapters.memory import MemoryTokens
from services.gateway.adapters.memory_sessions import MemorySessions
from services.gateway.api.application import description
from services.gateway.api.auth import Gate
from services.gateway.api.bus import QUEUE
from services.gateway.api.limits import RateLimiter
from services.gateway.handlers.sessions import Sessions
from services.gateway.handlers.tokens import Tokens
from services.gateway.subscriptions import BODIES

PUBLISHED = Path(__file__).parent.parent / "contracts" / "published"


def documents() -> dict[str, dict[str, Any]]:
    """Every published document by file name."""
    found = {f"{name}.json": schema for name, schema in json_schemas().items()}
    found["asyncapi.json"] = with_requests(asyncapi(version("slipway")))
    found["openapi.json"] = openapi()
    return found


def with_requests(document: dict[str, Any]) -> dict[str, Any]:
    """An AsyncAPI document, with the requests that the gateway answers on the bus."""
    channels, operations = dict(document["channels"]), dict(document["operations"])
    components = {"schemas": {}, **document["components"]}
    messages, schemas = dict(components["messages"]), dict(components["schemas"])
    channels["Answer"] = {
        "address": None,
        "title": "Answer",
        "description": "The inbox that a request names; below the inbox prefix of whoever asks.",
        "messages": {"Answer": {"$ref": "#/components/messages/Answer"}},
    }
    messages["Answer"] = {
        "summary": "What HTTP answers, a problem (RFC 9457) included: openapi.json has the shapes.",
        "headers": _headers("Slipway-Status", "Content-Type", "Slipway-Trace-Id"),
        "payload": {"type": "object"},
    }
    for name, body in BODIES.items():
        key = "".join(part.title() for part in name.split("_"))
        shape = body.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= {**shape.pop("$defs", {}), body.__name__: shape}
        channels[key] = {
            "address": subjects.request(name),
            "title": key,
            "messages": {key: {"$ref": f"#/components/messages/{key}"}},
            "bindings": {"nats": {"queue": QUEUE, "bindingVersion": "0.1.0"}},
        }
        messages[key] = {
            "name": name,
            "contentType": "application/json",
            "headers": {**_headers("Authorization", "Idempotency-Key"), "required": ["Authorization"]},
            "payload": {"$ref": f"#/components/schemas/{body.__name__}"},
        }
        operations[f"gateway_answers_{name}"] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{key}"},
            "summary": f"The gateway answers {name}.",
            "reply": {"channel": {"$ref": "#/channels/Answer"}},
            "tags": [{"name": "gateway"}],
        }
    components = {**components, "messages": messages, "schemas": schemas}
    return {**document, "channels": channels, "operations": operations, "components": components}


def _headers(*names: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}}


def openapi() -> dict[str, Any]:
    """The description of the gateway's API (OpenAPI 3.1), as it is served at `/api/v1/openapi.json`."""
    clock = SystemClock()
    nobody = Gate(Tokens(MemoryTokens(), clock), RateLimiter(1, 1), Sessions(MemorySessions(), clock))
    return description(version("slipway"), nobody)


def main() -> None:
    """Write what has changed."""
    PUBLISHED.mkdir(exist_ok=True)
    for name, document in documents().items():
        (PUBLISHED / name).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

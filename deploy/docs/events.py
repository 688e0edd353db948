"""The page of events and facts, from the contracts."""

from collections.abc import Mapping
from typing import Any

from contracts import subjects
from contracts.envelope import Event
from contracts.schemas import MESSAGES, json_schemas, message_name
from contracts.topology import HEARS, SAYS
from deploy.docs.markdown import code, paragraph, table

_INTRODUCTION = f"""\
Events are CloudEvents 1.0 in JSON. Those of an environment are in the stream `{subjects.ENVIRONMENTS}`, for ever; facts
from outside are in `{subjects.SIGNALS}`. [AsyncAPI 3](published/asyncapi.json) describes all channels; each message has
a JSON Schema of its own. Programs of teams do not read these streams: they read a
[feed](../how-to/read-events.md) of their team.

A reader ignores fields that it does not know. A change that would break one fails a test before it is released; older
versions are brought up to date on reading."""


def events_page() -> str:
    """Every message: where it is, who says it, who hears it, and what it says."""
    schemas = json_schemas()
    parts = ["# Events and facts", _INTRODUCTION]
    for message in MESSAGES:
        name = message_name(message)
        said = [service for service, kinds in SAYS.items() if message in kinds]
        heard = [service for service, kinds in HEARS.items() if message in kinds]
        prefix = "environment" if issubclass(message, Event) else "signal"
        rows = [
            ("subject", code(f"{prefix}.<name>.{message.kind}")),
            ("said by", ", ".join(said) or "gateway, cicd"),
            ("heard by", ", ".join([*heard, "catalog"])),
            ("schema", f"[{name}.json](published/{name}.json)"),
        ]
        first = (message.__doc__ or "").strip().split("\n\n")[0]
        parts += [f"## {message.__name__}", paragraph(first), table(("", ""), rows), _data(schemas[name])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _data(schema: Mapping[str, Any]) -> str:
    data = schema["properties"].get("data", {})
    shape = schema.get("$defs", {}).get(str(data.get("$ref", "")).rpartition("/")[2], {})
    required = shape.get("required", ())
    rows = [
        (code(field), _kind(said), said.get("description", ""), "" if field in required else "optional")
        for field, said in shape.get("properties", {}).items()
    ]
    return table(("data", "type", "what it is", ""), rows)


def _kind(said: Mapping[str, Any]) -> str:
    if "$ref" in said:
        return code(str(said["$ref"]).rpartition("/")[2])
    if "anyOf" in said:
        return " or ".join(_kind(part) for part in said["anyOf"])
    if said.get("type") == "array":
        return f"array of {_kind(said.get('items', {}))}"
    return code(str(said.get("type", "any")))

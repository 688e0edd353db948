"""The published language as documents: JSON Schema (2020-12) of each event and signal, and one AsyncAPI 3 document.

Pure functions: `python -m deploy.schemas` writes what they return to `contracts/published/`, and a test compares.
"""

from typing import Any, Final

from contracts import subjects
from contracts.envelope import Event
from contracts.events import EVENT_TYPES
from contracts.signals import SIGNAL_TYPES, Signal
from contracts.topology import HEARS, SAYS, SERVICES

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
Document = dict[str, Any]
MESSAGES: Final[tuple[type[Event] | type[Signal], ...]] = (*EVENT_TYPES, *SIGNAL_TYPES)


def message_name(message: type[Event] | type[Signal]) -> str:
    """`InfraReady.v1` for the type `slipway.InfraReady.v1`."""
    return str(message.model_fields["type"].default).removeprefix("slipway.")


def json_schemas() -> dict[str, Document]:
    """A JSON Schema by message name."""
    return {
        message_name(message): {
            "$schema": DIALECT,
            **message.model_json_schema(by_alias=True, mode="validation"),
        }
        for message in MESSAGES
    }


def asyncapi(version: str) -> Document:
    """The AsyncAPI 3.0 document: a channel for each kind of message, who sends and who receives it."""
    channels: Document = {}
    operations: Document = {}
    messages: Document = {}
    for message in MESSAGES:
        name = message_name(message)
        key = message.__name__
        stream, prefix = ("ENVIRONMENTS", "environment") if issubclass(message, Event) else ("SIGNALS", "signal")
        channels[key] = {
            "address": f"{prefix}.{{name}}.{message.kind}",
            "title": key,
            "description": _first_line(message),
            "parameters": {"name": {"description": "The environment's name."}},
            "messages": {key: {"$ref": f"#/components/messages/{key}"}},
            "bindings": {"nats": {"bindingVersion": "0.1.0"}},
            "x-jetstream-stream": stream,
        }
        messages[key] = {
            "name": name,
            "title": key,
            "summary": _first_line(message),
            "contentType": "application/json",
            "payload": {"$ref": f"./{name}.json"},
        }
    for service in SERVICES:
        for action, said in (("send", SAYS[service]), ("receive", HEARS[service])):
            for event in said:
                operations[f"{service}_{action}_{event.kind}"] = {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{event.__name__}"},
                    "summary": f"The {service} {'says' if action == 'send' else 'hears'} {event.__name__}.",
                    "tags": [{"name": service}],
                }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Slipway events",
            "version": version,
            "description": "CloudEvents 1.0 in structured JSON mode on NATS JetStream. A program of a team reads those"
            f" of its environments on the stream {subjects.FEEDS}, where they are at `{subjects.feed_of('<team>')}`,"
            " with a credential and a durable consumer of its own.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _first_line(message: type[Event] | type[Signal]) -> str:
    return (message.__doc__ or "").strip().splitlines()[0]

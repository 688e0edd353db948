"""Messages of another release: an older one is lifted to what today's models say, a newer one is told from what is no
message of ours.

A type carries its version (`slipway.InfraReady.v1`). Within a version only optional fields are added, which the models
do not mind. Where a version ends, its type gets a lift here, and every reader, of the bus as of what was stored long
ago, sees the version after it. Nothing is paid by a message of today: lifts are looked at where a model refused.

While a release replaces the one before, processes of both read the same stream. What the older one cannot read is
nothing to be laid aside: it is left to the newer one. An event of the platform's own is known by its id, which follows
from its cause and its kind under the platform's key, whatever else it says (`is_genuine`).
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import from_json

T = TypeVar("T")
Lift = Callable[[dict[str, Any]], dict[str, Any]]
"""Gives a message of one version as the next version says it, with that version's `type`."""

LIFTS: Final[Mapping[str, Lift]] = {}
"""By the type that ended. What was published once is among today's types or here, says a test."""

_TYPE: Final = re.compile(r"^slipway\.([A-Z][A-Za-z]*)\.v([1-9][0-9]*)$")


def read(validate: Callable[[bytes], T], body: bytes, lifts: Mapping[str, Lift] = LIFTS) -> T:
    """What `validate` makes of a message, or of what it says in today's version. Raises as `validate`."""
    try:
        return validate(body)
    except ValidationError:
        lifted = _lifted(body, lifts)
        if lifted is None:
            raise
        return validate(lifted)


def is_genuine(body: bytes, subject: str, derive: Callable[[UUID, str], UUID]) -> bool:
    """Whether the message on `environment.<name>.<kind>` is an event that a process of the platform said, also where
    its type, its version or its data are none that this release knows."""
    _, _, rest = subject.partition(".")
    name, _, kind = rest.partition(".")
    message = _object(body)
    try:
        said, cause = UUID(str(message.get("id"))), UUID(str(message.get("causationid")))
    except ValueError:
        return False
    return message.get("subject") == name and said == derive(cause, kind)


def is_newer(body: bytes, subject: str, known: Mapping[str, int]) -> bool:
    """Whether the message claims to be newer (`claims_newer`) and stands on the `signal.<name>.<kind>` of what it
    claims to be."""
    message = _object(body)
    found = _TYPE.match(str(message.get("type")))
    if found is None or not claims_newer(body, known):
        return False
    _, _, rest = subject.partition(".")
    name, _, kind = rest.partition(".")
    return kind == _snake(found[1]) and (message.get("subject") or "platform") == name


def claims_newer(body: bytes, known: Mapping[str, int]) -> bool:
    """Whether a message has a type, or a version of a type, that comes after those that are `known` (the version of
    each name). Facts have no key, so a claim is all there is."""
    message = _object(body)
    found = _TYPE.match(str(message.get("type")))
    return found is not None and message.get("specversion") == "1.0" and int(found[2]) > known.get(found[1], 0)


def versions(types: Iterable[str]) -> dict[str, int]:
    """The version of each name among types such as `slipway.InfraReady.v1`."""
    return {found[1]: int(found[2]) for one in types if (found := _TYPE.match(one))}


def _lifted(body: bytes, lifts: Mapping[str, Lift]) -> bytes | None:
    message = _object(body)
    was_lifted = False
    while (lift := lifts.get(str(message.get("type")))) is not None:
        message, was_lifted = lift(message), True
    return json.dumps(message).encode() if was_lifted else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        message = from_json(body)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()

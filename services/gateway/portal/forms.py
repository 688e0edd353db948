"""Forms: the fields that follow from a golden path's JSON Schema, and what somebody typed into them.

Invariant: whatever was typed is shown again as it was typed; what it means is decided by the same rules as the API's.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from services.gateway.api import limits, problems
from services.gateway.domain.refusals import BrokenRule, InvalidError
from services.gateway.portal.rendering import KEY_FIELD

PARAMETER: Final = "parameters."
"""Prefix of a parameter's field, as the API names it in its errors."""
_LONGEST: Final = 2_000
"""Of one field."""
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Field:
    """One field for a parameter."""

    name: str
    """`parameters.<name>`."""
    label: str
    widget: str
    """checkbox, select, number or text."""
    value: str
    hint: str
    options: tuple[str, ...] = ()
    limits: tuple[tuple[str, str], ...] = ()
    """More attributes of the input."""

    @property
    def is_on(self) -> bool:
        """Whether a checkbox is ticked."""
        return self.value == "true"


def fields(
    schema: Mapping[str, Any], typed: Mapping[str, str], current: Mapping[str, Any] | None = None
) -> list[Field]:
    """The fields for a form's schema: what was typed over what there is over the defaults."""
    found = []
    for name, rule in schema["properties"].items():
        key = f"{PARAMETER}{name}"
        value = (current or {}).get(name, rule["default"])
        found.append(
            Field(
                name=key,
                label=str(rule.get("title", name)),
                widget=_widget(rule),
                value=typed.get(key, _text(value)),
                hint=str(rule.get("description", "")),
                options=tuple(_text(option) for option in rule.get("enum", ())),
                limits=_limits(rule),
            )
        )
    return found


def parameters(schema: Mapping[str, Any], typed: Mapping[str, str]) -> dict[str, Any]:
    """The values that were typed, of the types that the schema names where they can be read as such; the golden path's
    own rules say what is wrong with the others. A field that is not there says nothing, but a checkbox says no."""
    found: dict[str, Any] = {}
    for name, rule in schema["properties"].items():
        text = typed.get(f"{PARAMETER}{name}")
        if text is not None:
            found[name] = _value(rule["type"], text)
    return found


def read(form: Mapping[str, Any], names: Iterable[str], schema: Mapping[str, Any] | None = None) -> dict[str, str]:
    """What was typed into these fields, and into those of `schema`, without blanks around it."""
    typed = {name: _cut(form.get(name)) for name in names if isinstance(form.get(name), str)}
    for name, rule in (schema or {"properties": {}})["properties"].items():
        key = f"{PARAMETER}{name}"
        if rule["type"] == "boolean":
            typed[key] = "true" if form.get(key) == "true" else "false"
        elif isinstance(form.get(key), str):
            typed[key] = _cut(form[key])
    return typed


async def posted(request: Request) -> dict[str, str]:
    """Every text field of the form that was sent; of a field that was sent twice, the last one."""
    form = await request.form()
    return {name: value for name, value in form.items() if isinstance(value, str)}


def key_of(form: Mapping[str, str]) -> str:
    """The key that makes a form that is sent twice one request. Raises `InvalidError` where it is missing."""
    key = form.get(KEY_FIELD, "")
    if not re.fullmatch(limits.KEY_PATTERN, key):
        raise InvalidError([BrokenRule(KEY_FIELD, "is missing; open the page again")])
    return key


def understood(model: type[M], values: Mapping[str, Any]) -> M:
    """A request of the API, from what was typed. Raises `InvalidError`."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise InvalidError(problems.broken_rules(error.errors())) from error


def _cut(text: Any) -> str:
    return str(text).strip()[:_LONGEST]


def _widget(rule: Mapping[str, Any]) -> str:
    if rule["type"] == "boolean":
        return "checkbox"
    if rule.get("enum"):
        return "select"
    return "number" if rule["type"] in {"integer", "number"} else "text"


def _limits(rule: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    known = {"minimum": "min", "maximum": "max", "maxLength": "maxlength"}
    found = [(attribute, _text(rule[key])) for key, attribute in known.items() if key in rule]
    if rule["type"] == "number":
        found.append(("step", "any"))
    return tuple(found)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(kind: str, text: str) -> Any:
    try:
        if kind == "boolean":
            return text == "true"
        if kind == "integer":
            return int(text) if len(text) <= limits.INTEGER_DIGITS else text
        if kind == "number":
            return float(text)
    except ValueError:
        return text
    return text

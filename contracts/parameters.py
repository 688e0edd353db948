"""The parameters of a golden path: a small part of JSON Schema (2020-12), enough for a form and for a check.

Invariant: a parameter has a default that keeps its own rule, so nobody has to answer anything; and a value that
`check` lets through is a scalar of exactly the declared type.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    field_validator,
    model_validator,
)

ParameterName = Annotated[str, StringConstraints(pattern=r"\A[a-z][a-z0-9_]{0,39}\z")]
ParameterValue = StrictBool | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)] | StrictStr

_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
}

_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that have no place in one visible line: controls, invisible formats (bidirectional overrides
among them), lone surrogates, line and paragraph separators."""


class ParameterError(ValueError):
    """A value that may not be used. The message names the parameter and its rule, never the value."""

    def __init__(self, parameter: str, rule: str) -> None:
        super().__init__(f"{parameter}: {rule}")
        self.parameter = parameter
        self.rule = rule


class Parameter(BaseModel):
    """One thing a golden path lets itself be told; spelled as in JSON Schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    type: Literal["boolean", "integer", "number", "string"]
    title: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    description: Annotated[str, StringConstraints(max_length=400)] = ""
    default: ParameterValue
    enum: tuple[ParameterValue, ...] = Field(default=(), max_length=50)
    minimum: StrictInt | StrictFloat | None = Field(default=None, allow_inf_nan=False)
    maximum: StrictInt | StrictFloat | None = Field(default=None, allow_inf_nan=False)
    min_length: int = Field(default=0, ge=0, alias="minLength")
    max_length: int = Field(default=200, ge=1, le=2000, alias="maxLength")
    pattern: str | None = Field(default=None, max_length=200)
    """A regular expression that the whole value must match."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"the pattern is no regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _keeps_its_own_rule(self) -> Self:
        if self.type not in {"integer", "number"} and (self.minimum is not None or self.maximum is not None):
            raise ValueError("minimum and maximum belong to integer and number")
        about_text = {"pattern", "min_length", "max_length"}
        if self.type != "string" and about_text & self.model_fields_set:
            raise ValueError("pattern, minLength and maxLength belong to string")
        for value in (self.default, *self.enum):
            if broken := self.broken_rule(value):
                raise ValueError(f"the value {value!r} breaks the parameter's own rule: {broken}")
        return self

    def broken_rule(self, value: JsonValue) -> str | None:
        """What is wrong with `value`, or None where it may be used. `true` is no integer, and neither is `1.0`."""
        if not isinstance(value, _TYPES[self.type]) or (isinstance(value, bool) and self.type != "boolean"):
            return f"must be of type {self.type}"
        if self.enum and value not in self.enum:
            return f"must be one of {', '.join(str(allowed) for allowed in self.enum)}"
        if isinstance(value, str):
            return self._broken_text_rule(value)
        return self._broken_number_rule(value) if isinstance(value, int | float) else None

    def _broken_number_rule(self, value: float) -> str | None:
        if isinstance(value, float) and not math.isfinite(value):
            return "must be a finite number"
        if self.minimum is not None and value < self.minimum:
            return f"must be {self.minimum:g} or more"
        if self.maximum is not None and value > self.maximum:
            return f"must be {self.maximum:g} or less"
        return None

    def _broken_text_rule(self, value: str) -> str | None:
        if not self.min_length <= len(value) <= self.max_length:
            return f"must have {self.min_length} to {self.max_length} characters"
        if any(unicodedata.category(character) in _UNPRINTABLE for character in value):
            return "must be one line without control characters"
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            return f"must match {self.pattern}"
        return None


class Parameters(BaseModel):
    """The parameters of a golden path, by name: a JSON Schema of an object that takes nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    type: Literal["object"] = "object"
    additional_properties: Literal[False] = Field(default=False, alias="additionalProperties")
    properties: dict[ParameterName, Parameter] = Field(default_factory=dict, max_length=30)

    def defaults(self) -> dict[str, ParameterValue]:
        """Every parameter's own default."""
        return {name: parameter.default for name, parameter in self.properties.items()}

    def check(self, values: Mapping[str, JsonValue]) -> dict[str, ParameterValue]:
        """`values`, every one of them allowed. Raises `ParameterError` for the first that is not."""
        checked: dict[str, ParameterValue] = {}
        for name, value in values.items():
            parameter = self.properties.get(name)
            if parameter is None:
                declared = ", ".join(self.properties) or "none"
                raise ParameterError("parameters", f"there is no such parameter; there are: {declared}")
            if broken := parameter.broken_rule(value):
                raise ParameterError(name, broken)
            if isinstance(value, bool | int | float | str):
                checked[name] = value
        return checked

    def json_schema(self, *, only: Iterable[str], defaults: Mapping[str, ParameterValue]) -> dict[str, Any]:
        """JSON Schema of the parameters named in `only`, with `defaults` in place of their own."""
        properties = {}
        for name in only:
            rule = self.properties[name].model_dump(mode="json", by_alias=True, exclude_defaults=True)
            rule["default"] = defaults.get(name, self.properties[name].default)
            if self.properties[name].pattern is not None:
                # JSON Schema's `pattern` searches; ours must match the whole value.
                rule["pattern"] = f"^(?:{self.properties[name].pattern})$"
            properties[name] = rule
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "additionalProperties": False,
            "properties": properties,
        }

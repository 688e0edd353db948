"""Terraform's machine-readable output (`-json`), folded into what happened.

The format is Terraform's "machine readable UI", one JSON object a line; unknown kinds of line are passed over, as its
documentation asks. Invariant: no value of an attribute leaves this module except identifiers and outputs that are not
sensitive; of a diagnostic its summary, detail and address, never its snippet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.values import Resource
from services.provisioner.ports import Level, Line

_LEVELS: Final[Mapping[str, Level]] = {"debug": "debug", "info": "info", "warn": "warning", "error": "error"}
_TOLD: Final = frozenset({"apply_start", "apply_progress", "apply_complete", "apply_errored", "change_summary"})


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem, as Terraform tells it; `address` is the resource's, empty where it is nobody's."""

    severity: str
    summary: str
    detail: str
    address: str

    def __str__(self) -> str:
        """In one sentence or two."""
        return f"{self.address + ': ' if self.address else ''}{self.summary}{'. ' + self.detail if self.detail else ''}"


@dataclass(frozen=True, slots=True)
class Done:
    """Something that was done to a resource."""

    address: str
    action: str
    resource: Resource


@dataclass
class Transcript:
    """A fold over the lines of one command; `add` takes one and returns what to tell people, if anything."""

    planned: dict[str, str] = field(default_factory=dict)
    """Action by address; what stays as it is is not in it."""
    done: list[Done] = field(default_factory=list)
    found: dict[str, Resource] = field(default_factory=dict)
    """Everything that the state had, by address."""
    outputs: dict[str, Any] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def add(self, text: str) -> Line | None:
        """Take a line in. Text that is no JSON object (a Go panic, a wrapper's words) is told as it is."""
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            line = None
        if not isinstance(line, dict):
            return Line(text.strip(), "warning") if text.strip() else None
        kind = str(line.get("type", ""))
        self._take(kind, line)
        level = _LEVELS.get(str(line.get("@level")), "info")
        if kind == "diagnostic":
            return Line(str(self.diagnostics[-1]), level)
        return Line(str(line.get("@message", "")), level) if kind in _TOLD else None

    @property
    def errors(self) -> list[Diagnostic]:
        """The diagnostics that made the command fail."""
        return [diagnostic for diagnostic in self.diagnostics if diagnostic.severity == "error"]

    def of(self, *actions: str) -> tuple[Resource, ...]:
        """What was done, by action, in the order in which it ended."""
        return tuple(done.resource for done in self.done if done.action in actions)

    def _take(self, kind: str, line: dict[str, Any]) -> None:
        match kind:
            case "planned_change":
                change = line["change"]
                if change["action"] not in {"noop", "read"}:
                    self.planned[change["resource"]["addr"]] = change["action"]
            case "refresh_start" | "refresh_complete" | "apply_start":
                self._see(line["hook"])
            case "apply_complete":
                self._see(line["hook"])
                self._finish(line["hook"])
            case "outputs":
                self.outputs |= open_outputs(line["outputs"])
            case "diagnostic":
                told = line["diagnostic"]
                fields = {name: str(told.get(name, "")) for name in ("severity", "summary", "detail", "address")}
                self.diagnostics.append(Diagnostic(**fields))

    def _see(self, hook: dict[str, Any]) -> None:
        """Remember what a resource is called where it lives."""
        resource = hook["resource"]
        if hook.get("id_value") and not resource["resource"].startswith("data."):
            address = resource["addr"]
            self.found[address] = resource_of(address, resource["resource_type"], str(hook["id_value"]))

    def _finish(self, hook: dict[str, Any]) -> None:
        address = hook["resource"]["addr"]
        if hook["action"] != "read":
            unseen = resource_of(address, hook["resource"]["resource_type"], "")
            self.done.append(Done(address, hook["action"], self.found.get(address, unseen)))


def resource_of(address: str, resource_type: str, identifier: str) -> Resource:
    """A resource in the platform's words: `slipway_dns_record` is a `dns_record`."""
    return Resource(kind=resource_type.removeprefix("slipway_"), id=identifier or address)


def open_outputs(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The values of the outputs that may be seen."""
    return {
        name: output["value"]
        for name, output in outputs.items()
        if not output.get("sensitive", False) and "value" in output
    }

"""One anatomy, repeated: who learns one service knows six. What a service hears and says stands in its table, in the
topology and nowhere else."""

import dataclasses
import importlib
import inspect
import re
import typing
from pathlib import Path
from typing import Any, Final

import pytest

from chassis.consuming import Subscription
from contracts.envelope import Event, ServiceName
from contracts.events import EVENT_TYPES, RUN_REQUESTS, EnvironmentExtended
from contracts.topology import HEARS, SAYS, SERVICES

PROJECT: Final = Path(__file__).resolve().parents[2]

ANATOMY: Final = {
    "README.md",
    "__init__.py",
    "__main__.py",
    "adapters",
    "app.py",
    "domain",
    "handlers",
    "ports",
    "settings.py",
    "subscriptions.py",
}
"""What every service has; `domain`, `handlers` and `ports` are packages where one file would be too long."""

MORE: Final[dict[ServiceName, dict[str, str]]] = {
    "gateway": {
        "api": "what speaks HTTP: routes, sign-in, live streams",
        "portal": "what people see: pages, their templates, styles and scripts",
    },
}
"""What one service has besides, and why."""

HEADINGS: Final = ["Hears", "Says", "Owns", "Promises"]

NOT_YET_SAID: Final[dict[str, str]] = {
    "RunRetryRequested": "the catalog folds it; a failed run is begun anew, by a request of its own",
}
"""Events whose place in the language is fixed and which no service says yet, with the reason."""


def _directory(service: ServiceName) -> Path:
    return PROJECT / "services" / service


def _table(service: ServiceName) -> tuple[Subscription[Any], ...]:
    """A service's table. It only names deeds, so handlers without any port will do."""
    module = importlib.import_module(f"services.{service}.subscriptions")
    hints = typing.get_type_hints(module.subscriptions)
    arguments = [_without_ports(hints[name]) for name in inspect.signature(module.subscriptions).parameters]
    table: tuple[Subscription[Any], ...] = tuple(module.subscriptions(*arguments))
    return table


def _without_ports(handlers: type[Any]) -> Any:
    return handlers(**{field.name: None for field in dataclasses.fields(handlers) if field.init})


def _code(service: ServiceName) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in _directory(service).rglob("*.py"))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_same_parts_as_every_other(service: ServiceName) -> None:
    parts = {path.name for path in _directory(service).iterdir() if path.name != "__pycache__"}
    parts = {name.removesuffix(".py") if name in {"domain.py", "handlers.py", "ports.py"} else name for name in parts}
    expected = ANATOMY | MORE.get(service, {}).keys()

    assert sorted(parts) == sorted(expected)


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_twins_ship_with_it(service: ServiceName) -> None:
    assert (_directory(service) / "adapters" / "memory.py").is_file()


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_readme_has_four_headings_on_one_screen_or_two(service: ServiceName) -> None:
    text = (_directory(service) / "README.md").read_text(encoding="utf-8")

    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert len(text.splitlines()) <= 100


@pytest.mark.parametrize("service", [service for service in SERVICES if HEARS[service]])
def test_a_service_hears_what_the_topology_says(service: ServiceName) -> None:
    heard = [row.hears for row in _table(service)]

    assert len(heard) == len(set(heard))
    assert set(heard) == set(HEARS[service])


@pytest.mark.parametrize("service", [service for service in SERVICES if HEARS[service]])
def test_a_service_says_nothing_the_topology_does_not_allow(service: ServiceName) -> None:
    assert {kind for row in _table(service) for kind in row.outcomes} <= set(SAYS[service])


@pytest.mark.parametrize("service", [service for service in SERVICES if HEARS[service]])
def test_a_failure_that_is_said_is_explained(service: ServiceName) -> None:
    for row in _table(service):
        assert (row.or_else is None) == (row.explain is None)


@pytest.mark.parametrize("event", EVENT_TYPES, ids=lambda event: event.__name__)
def test_an_event_is_described_and_has_a_home(event: type[Event]) -> None:
    assert event.__doc__
    homes = [service for service in SERVICES if event in SAYS[service]]
    # What begins a run or moves an end for people the gateway says; what the clock, drift or a deployment brings about,
    # the catalog.
    assert len(homes) == 1 or (homes == ["gateway", "catalog"] and event in (*RUN_REQUESTS, EnvironmentExtended))
    for home in homes:
        code, name = _code(home), event.__name__
        if name in NOT_YET_SAID:
            said = re.search(rf"(?:says=|or_else=|\bsay\(|\bcompose\(|\bbegin_run\()\s*{name}\b", code)
            assert not said, f"{home} says it: take it out of NOT_YET_SAID"
        else:
            assert re.search(rf"\b{name}\b", code), f"{home} never says it: tell why in NOT_YET_SAID"


def test_every_event_not_yet_said_exists() -> None:
    assert set(NOT_YET_SAID) <= {event.__name__ for event in EVENT_TYPES}

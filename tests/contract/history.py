"""Lives of environments as a release says them, for the log that is recorded with it: created, opened to others,
deployed to, upgraded, drifted, extended, failed, called off, expired and deleted."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from contracts import events, signals, subjects
from contracts.envelope import Event
from contracts.queries import EnvironmentView, RunView
from contracts.values import Resource
from services.catalog.domain.records import EMPTY, examine, project
from services.catalog.domain.signals import Facts, hear, life_of, project_signals
from tests import samples
from tests.every_message import KEY
from tests.stories import Story

_NAMES = UUID("0c6e6a4e-6d1c-4b1f-9a77-1f5e2c9f0a11")


class Line(NamedTuple):
    """A message of one of the two streams, in the order of its stream."""

    sequence: int
    subject: bytes
    body: bytes


def events_told() -> list[Event]:
    """Everything that is on the log, one environment after the other."""
    return [event for story in _stories() for event in story.events]


def facts_told() -> list[signals.Signal]:
    """Everything from outside, about what is on the log."""
    at = samples.AT + timedelta(minutes=30)
    deployment: dict[str, Any] = {"deployment_id": "7", "commit": "0123456789abcdef", "branch": "main", "author": "ada"}

    def fact(kind: type[signals.Signal], name: str, minutes: int, data: dict[str, Any]) -> signals.Signal:
        common = {
            "id": uuid5(_NAMES, f"{kind.kind} {name} {minutes}"),
            "source": "cicd",
            "type": kind.model_fields["type"].default,
            "subject": name,
            "time": at + timedelta(minutes=minutes),
        }
        return kind.model_validate({**common, "data": data})

    month = {"period_start": samples.AT, "period_end": samples.AT + timedelta(days=1)}
    return [
        fact(signals.DeploymentRecorded, "shop", 0, {**deployment, "state": "started"}),
        fact(signals.DeploymentRecorded, "shop", 1, {**deployment, "state": "succeeded", "duration_seconds": 41.5}),
        fact(signals.DeploymentRecorded, "till", 2, {**deployment, "deployment_id": "8", "state": "failed"}),
        fact(signals.HealthChanged, "shop", 3, {"state": "degraded", "reason": "slow", "check": "latency"}),
        fact(signals.HealthChanged, "till", 4, {"state": "healthy"}),
        fact(signals.CostRecorded, "shop", 5, {"amount": 1.25, "currency": "EUR", **month}),
    ]


def lines(told: Sequence[Event | signals.Signal]) -> list[Line]:
    """Messages as their stream has them."""

    def subject(one: Event | signals.Signal) -> bytes:
        return (subjects.of(one) if isinstance(one, Event) else subjects.of_signal(one)).encode()

    return [Line(number, subject(one), one.to_json()) for number, one in enumerate(told, start=1)]


class Views(NamedTuple):
    """What a log folds to, and why messages of it were not believed."""

    environments: dict[str, EnvironmentView]
    runs: dict[str, RunView]
    facts: dict[str, Facts]
    rejections: list[str]

    def document(self) -> dict[str, Any]:
        """The views as plain values."""
        return {
            "environments": _plain(self.environments),
            "runs": _plain(self.runs),
            "facts": _plain(self.facts),
        }


def folded(log: Sequence[Line], facts: Sequence[Line]) -> Views:
    """What today's catalog makes of a log and its facts."""
    troubles: list[str] = []

    def note(what: object, error: Exception) -> None:
        troubles.append(f"{what}: {error!r}")

    batch = project(EMPTY, {}, [examine(line, KEY.derive) for line in log], on_error=note)
    lives = {name: life_of(known.environment) for name, known in batch.known.items()}
    heard = project_signals(EMPTY, lives, {}, [hear(line) for line in facts], on_error=note)
    rejections = [f"{one.subject!r}: {one.rejection}" for one in batch.records if one.rejection is not None]
    rejections += [f"{one.subject!r}: {one.rejection}" for one in heard.records if one.rejection is not None]
    runs = [*batch.closed, *(known.run for known in batch.known.values())]
    return Views(
        {name: known.environment for name, known in batch.known.items()},
        {str(run.id): run for run in runs},
        heard.facts,
        rejections + troubles,
    )


def _plain(views: dict[str, Any]) -> dict[str, Any]:
    return {name: json.loads(view.model_dump_json(exclude_none=True)) for name, view in sorted(views.items())}


def _stories() -> Iterator[Story]:
    def story(name: str, **changes: Any) -> Story:
        return Story(KEY, name, cause=uuid5(_NAMES, name), **changes)

    def access(person: str) -> events.AccessChange:
        return events.AccessChange(requested_by="ada", role="developer", person=person)

    shop = story("shop", kind="staging", parameters={"instances": 2}).create().ready()
    for person in ("bob", "cleo"):
        shop.add(events.AccessRequested, access(person), source="gateway")
        shop.add(events.AccessGranted, access(person), source="secrets")
    shop.add(events.AccessRevocationRequested, access("bob"), source="gateway")
    shop.add(events.AccessRevoked, access("bob"), source="secrets")
    yield shop
    # A rollout: many upgrades; one that works, one that is put back.
    yield story("till").create().ready().update(golden_path_version="1.1.0").create().ready()
    yield story("desk").create().ready().update(golden_path_version="1.1.0").create("infrastructure").fail("secrets")
    drifted = story("lamp").create().ready()
    spec = samples.spec("lamp")
    drift = events.Drift(spec=spec, differing=(Resource(kind="dns_record", id="lamp"),))
    drifted.add(events.DriftDetected, drift, source="catalog")
    extended = events.Expiry(spec=spec, expires_at=samples.AT + timedelta(days=9), requested_by="ada", reason="fair")
    drifted.add(events.EnvironmentExtended, extended, source="gateway")
    yield drifted
    yield story("vase").fail("infrastructure").failed("infrastructure")
    stopped = story("door").create("infrastructure")
    stopped.add(events.RunCancelRequested, events.RunCommand(requested_by="ada"), source="gateway")
    yield stopped.fail("secrets").failed("secrets")
    stalled = story("rope").create("secrets")
    waits = events.Stalled(spec=samples.spec("rope"), step="pipeline", waiting_seconds=301)
    stalled.add(events.RunStalled, waits, source="catalog")
    yield stalled
    ended = story("tent", expires_at=samples.AT + timedelta(hours=1)).create().ready()
    expiry = events.Expiry(spec=samples.spec("tent"), expires_at=samples.AT + timedelta(hours=1))
    ended.add(events.EnvironmentExpiring, expiry, source="catalog")
    ended.add(events.EnvironmentExpired, expiry, source="catalog")
    yield ended.delete().deleted()
    yield story("kite").create().ready().delete().deleted()

"""Messages of other releases: older ones are lifted, newer ones are told from junk."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from contracts import events, upcasting
from contracts.events import ANY_EVENT, EVENT_TYPES, EVENT_VERSIONS, parse
from contracts.signals import SIGNAL_TYPES, SIGNAL_VERSIONS
from tests.every_message import KEY, every_event, every_signal


def stalled(**changes: Any) -> dict[str, Any]:
    event = next(event for event in every_event() if isinstance(event, events.RunStalled))
    found: dict[str, Any] = json.loads(event.to_json())
    return found | changes


def from_minutes(message: dict[str, Any]) -> dict[str, Any]:
    """What a first version may have said in minutes, today's says in seconds."""
    data = dict(message["data"])
    data["waiting_seconds"] = data.pop("waiting_minutes") * 60
    return message | {"type": "slipway.RunStalled.v1", "data": data}


def from_nothing(message: dict[str, Any]) -> dict[str, Any]:
    return message | {"type": "slipway.RunStalled.v0", "data": message["data"] | {"waiting_minutes": 2}}


LIFTS: dict[str, upcasting.Lift] = {
    "slipway.RunStalled.v0": from_minutes,
    "slipway.RunWaiting.v1": from_nothing,
}


@pytest.mark.parametrize("ended", LIFTS)
def test_an_older_version_is_lifted_step_by_step(ended: str) -> None:
    message = stalled(type=ended)
    message["data"].pop("waiting_seconds")
    if ended.endswith("v0"):
        message["data"]["waiting_minutes"] = 2

    event = upcasting.read(ANY_EVENT.validate_json, json.dumps(message).encode(), LIFTS)

    assert isinstance(event, events.RunStalled)
    assert event.data.waiting_seconds == 120


def test_what_is_wrong_with_a_message_of_today_is_said_of_it() -> None:
    with pytest.raises(ValidationError):
        upcasting.read(ANY_EVENT.validate_json, json.dumps(stalled(data={})).encode(), LIFTS)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"type": []}'])
def test_junk_is_neither_lifted_nor_newer(body: bytes) -> None:
    with pytest.raises(ValidationError):
        parse(body)
    assert not upcasting.is_genuine(body, "environment.demo-api.run_stalled", KEY.derive)
    assert not upcasting.is_newer(body, "signal.demo-api.cost_recorded", SIGNAL_VERSIONS)


def test_an_event_of_the_platform_is_known_by_its_id_whatever_it_says() -> None:
    for event in every_event():
        subject = f"environment.{event.subject}.{event.kind}"
        newer = json.loads(event.to_json()) | {"type": "slipway.Unheard.v7", "data": None}
        body = json.dumps(newer).encode()
        assert upcasting.is_genuine(body, subject, KEY.derive)
        assert not upcasting.is_genuine(body, subject + "_too", KEY.derive)
        assert not upcasting.is_genuine(body.replace(b"demo", b"memo"), subject, KEY.derive)


def test_a_fact_is_newer_by_its_version_or_its_name() -> None:
    for signal in every_signal():
        known = json.loads(signal.to_json())
        subject = f"signal.{signal.subject or 'platform'}.{signal.kind}"
        newer = json.dumps(known | {"type": known["type"].replace(".v1", ".v2")}).encode()
        assert upcasting.is_newer(newer, subject, SIGNAL_VERSIONS)
        assert not upcasting.is_newer(signal.to_json(), subject, SIGNAL_VERSIONS)
        assert not upcasting.is_newer(newer, subject + "s", SIGNAL_VERSIONS)
    unheard = json.dumps({"specversion": "1.0", "type": "slipway.MoonRose.v1"}).encode()
    assert upcasting.is_newer(unheard, "signal.platform.moon_rose", SIGNAL_VERSIONS)


def test_every_type_says_its_version() -> None:
    assert len(EVENT_VERSIONS) == len(EVENT_TYPES)
    assert len(SIGNAL_VERSIONS) == len(SIGNAL_TYPES)


def test_what_a_newer_release_adds_to_a_spec_is_carried_on() -> None:
    message = json.loads(next(iter(every_event())).to_json())
    message["data"]["spec"]["accelerator"] = {"kind": "gpu", "count": 2}
    event = parse(json.dumps(message).encode())
    assert isinstance(event, events.EnvironmentRequested)
    said = events.RunStalled.model_validate(
        stalled(data={"spec": event.data.spec, "step": "secrets", "waiting_seconds": 1})
    )
    assert json.loads(said.to_json())["data"]["spec"]["accelerator"] == {"kind": "gpu", "count": 2}

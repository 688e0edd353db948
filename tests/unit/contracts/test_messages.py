"""What is written can be read, whatever was left out; what nobody published cannot."""

import json

import pytest
from pydantic import ValidationError

from contracts import subjects
from contracts.envelope import Event
from contracts.events import BY_KIND, EVENT_TYPES, EnvironmentRequested, parse
from contracts.signals import ANY_SIGNAL, SIGNAL_TYPES, Signal
from contracts.topology import CONSUMERS, HEARS, SAYS, SERVICES, permissions
from tests.every_message import KEY, every_event, every_signal
from tests.samples import requested

EVENTS = list(every_event())


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert parse(event.to_json()) == event


@pytest.mark.parametrize("signal", list(every_signal()), ids=lambda signal: signal.kind)
def test_a_signal_is_read_as_it_was_written(signal: Signal) -> None:
    assert ANY_SIGNAL.validate_json(signal.to_json()) == signal


def test_optional_fields_may_be_absent() -> None:
    event = requested(KEY)
    assert b"traceparent" not in event.to_json()
    assert parse(event.to_json()) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_older_reader_survives_what_a_newer_writer_adds(event: Event) -> None:
    newer = json.loads(event.to_json()) | {"added": 1}
    newer["data"]["added"] = {"deep": True}
    assert parse(json.dumps(newer).encode()) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_cannot_be_changed(event: Event) -> None:
    with pytest.raises(ValidationError):
        event.subject = "other"  # type: ignore[misc]  # the claim of this test


def test_an_unknown_type_is_no_event() -> None:
    unknown = json.loads(requested(KEY).to_json()) | {"type": "slipway.Unknown.v1"}
    with pytest.raises(ValidationError):
        parse(json.dumps(unknown).encode())


def test_every_kind_has_its_own_subject_and_a_version_in_its_type() -> None:
    assert len(BY_KIND) == len(EVENT_TYPES)
    for kind in (*EVENT_TYPES, *SIGNAL_TYPES):
        assert str(kind.model_fields["type"].default) == f"slipway.{kind.__name__}.v1"


def test_a_subject_names_the_environment_and_the_kind() -> None:
    assert subjects.of(requested(KEY, "shop")) == "environment.shop.environment_requested"


def test_nobody_but_the_provisioning_job_may_make_or_delete_a_consumer_or_a_stream() -> None:
    for service in SERVICES:
        allowed = permissions(service).publish
        assert not [
            subject for subject in allowed if ".CREATE" in subject or ".DELETE" in subject or ".PURGE" in subject
        ]
        assert ">" not in allowed
        assert "$JS.API.>" not in allowed


def test_an_event_is_said_by_the_services_that_the_table_names_only() -> None:
    for service in SERVICES:
        may = {subject for subject in permissions(service).publish if subject.startswith("environment.")}
        assert may == {subjects.every_event_of_kind(kind.kind) for kind in SAYS[service]}


def test_what_a_service_hears_it_can_fetch() -> None:
    for service, heard in HEARS.items():
        if heard:
            [spec] = [c for c in CONSUMERS if c.durable == service and c.stream == subjects.ENVIRONMENTS]
            assert set(spec.filter_subjects) == {subjects.every_event_of_kind(kind.kind) for kind in heard}
    assert EnvironmentRequested in HEARS["provisioner"]

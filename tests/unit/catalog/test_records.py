"""What is kept of messages, believed or not."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.identity import EventKey
from chassis.pulling import LogMessage
from contracts import subjects
from contracts.envelope import Event
from contracts.events import InfraReady
from services.catalog.domain.folding import Known
from services.catalog.domain.records import EMPTY, Batch, Examined, Head, examine, name_in, project
from tests.stories import Story

KEY = EventKey(b"k" * 32)


def messages(events: Iterable[Event], first: int = 1) -> list[LogMessage]:
    return [LogMessage(n, subjects.of(event).encode(), event.to_json()) for n, event in enumerate(events, first)]


def _no_errors(event: Event, error: Exception) -> None:
    raise AssertionError(event) from error


def projected(found: Sequence[LogMessage], head: Head = EMPTY, known: dict[str, Known] | None = None) -> Batch:
    return project(head, known or {}, [examine(one, KEY.derive) for one in found], on_error=_no_errors)


def test_every_message_is_chained_to_all_before_it() -> None:
    found = messages(Story(KEY).create().events)
    batch = projected(found)

    expected = b""
    for one, record in zip(found, batch.records, strict=True):
        expected = hashlib.sha256(expected + one.sequence.to_bytes(8, "big") + one.subject + b"\0" + one.body).digest()
        assert record.hash == expected
    assert batch.head == Head(4, expected)


def test_versions_have_no_gap_whatever_lies_between() -> None:
    a, b = messages(Story(KEY, "a-one").create().events), messages(Story(KEY, "b-two").create().events)
    junk = LogMessage(0, b"environment.a-one.infra_ready", b"junk")
    mixed = list(chain.from_iterable(zip(a, b, [junk] * 4, strict=True)))
    batch = projected([LogMessage(n, one.subject, one.body) for n, one in enumerate(mixed, 1)])

    for name in ("a-one", "b-two"):
        assert [r.version for r in batch.records if r.environment == name] == [1, 2, 3, 4]
    assert [r.rejection for r in batch.records].count("malformed") == 4


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"null", b"[]", b"\xff\xfe", b'{"type": "slipway.Nothing.v1"}', b"[" * 100_000, b'"\\ud800"'],
)
def test_what_is_no_event_is_kept_as_malformed(body: bytes) -> None:
    record = projected([LogMessage(1, b"environment.demo-api.infra_ready", body)]).records[0]

    assert (record.rejection, record.body, record.version) == ("malformed", body, None)


def test_an_event_on_a_foreign_subject_is_misplaced() -> None:
    event = Story(KEY).request
    for subject in ("environment.other.environment_requested", "environment.demo-api.infra_ready"):
        batch = projected([LogMessage(1, subject.encode(), event.to_json())])
        assert batch.records[0].rejection == "misplaced"
        assert batch.known == {}


def test_an_id_that_does_not_follow_from_its_cause_is_forged() -> None:
    event = Story(KEY).request
    by_somebody_else = Story(EventKey(b"e" * 32)).request
    for forged in (event.model_copy(update={"id": uuid4()}), by_somebody_else):
        batch = projected(messages([forged]))
        assert batch.records[0].rejection == "forged"
        assert batch.records[0].event_id is None
        assert batch.known == {}


def test_a_duplicate_is_kept_and_moves_only_what_a_publisher_expects() -> None:
    events = Story(KEY).create().events
    once = projected(messages(events))
    twice = projected(messages([*events, *events]))

    assert [record.rejection for record in twice.records] == [None] * 4 + ["duplicate"] * 4
    expected, found = once.known["demo-api"], twice.known["demo-api"]
    assert found.environment == expected.environment.model_copy(update={"last_sequence": 8})
    assert found.run == expected.run
    assert len(twice.verdicts) == 1


def test_a_duplicate_of_what_the_store_has_is_found() -> None:
    story = Story(KEY)
    first = projected(messages(story.events))
    again = examine(messages(story.events, 2)[0], KEY.derive)
    batch = project(first.head, first.known, [again], {story.request.id}, on_error=_no_errors)

    assert batch.records[0].rejection == "duplicate"


def test_an_event_about_nothing_known_is_kept_as_orphaned() -> None:
    batch = projected(messages(Story(KEY).create().events[1:]))

    assert [record.rejection for record in batch.records] == ["orphaned"] * 3
    assert batch.known == {}


def test_an_event_that_folding_cannot_digest_stops_nobody() -> None:
    story = Story(KEY, "poison").create("infrastructure")
    whole = story.last
    poison = InfraReady.model_construct(**{name: value for name, value in whole if name != "data"})
    good = messages([story.request, Story(KEY, "good").request])
    examined = [examine(one, KEY.derive) for one in good]
    examined.insert(1, Examined(LogMessage(3, subjects.of(whole).encode(), whole.to_json()), poison))
    reported: list[Event] = []
    batch = project(EMPTY, {}, examined, on_error=lambda event, _: reported.append(event))

    assert [record.rejection for record in batch.records] == [None, "unfoldable", None]
    assert {name: known.environment.state for name, known in batch.known.items()} == dict.fromkeys(
        ("poison", "good"), "creating"
    )
    assert reported == [poison]


def test_runs_that_others_followed_are_not_lost_within_one_batch() -> None:
    story = Story(KEY).create().ready().delete().deleted()
    batch = projected(messages(story.events))

    assert [(run.kind, run.state) for run in batch.closed] == [("create", "succeeded")]
    assert batch.known["demo-api"].run.kind == "delete"


@pytest.mark.parametrize(
    ("subject", "name"),
    [(b"environment.demo-api.x", "demo-api"), (b"environment.a\0b.x", ""), ("environment.é.x".encode(), "")],
)
def test_a_subject_gives_a_name_only_where_an_environment_can_have_it(subject: bytes, name: str) -> None:
    assert name_in(subject) == name


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 16), min_size=1, max_size=8), st.data())
def test_batches_of_any_size_and_duplicates_anywhere_give_the_same_views(sizes: list[int], data: st.DataObject) -> None:
    stories = [
        Story(KEY, "one").create().ready().delete().deleted(),
        Story(KEY, "two").create("secrets").fail("pipeline").failed("pipeline"),
    ]
    events = [event for pair in zip(*(story.events for story in stories), strict=False) for event in pair]
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(events) - 1))
        events.insert(data.draw(st.integers(at + 1, len(events))), events[at])
    found = messages(events)
    whole = projected(found)

    head, known, hashes, ids = EMPTY, dict[str, Known](), list[bytes](), set[UUID]()
    rest, turn = found, 0
    while rest:
        size = sizes[turn % len(sizes)]
        batch = project(head, known, [examine(one, KEY.derive) for one in rest[:size]], ids, on_error=_no_errors)
        head, known, rest, turn = batch.head, known | batch.known, rest[size:], turn + 1
        hashes += [record.hash for record in batch.records]
        ids |= {record.event_id for record in batch.records if record.event_id is not None}

    assert known == whole.known
    assert hashes == [record.hash for record in whole.records]

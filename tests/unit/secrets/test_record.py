"""What is remembered of an environment: order, bounds, and reading back what was kept."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.failures import PermanentError
from contracts.events import AccessChange
from services.secrets.domain import ROLES, Grantee, LastRun, Record, Standing, grantee_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ANN = Grantee("developer", "person", "ann")
LATER = NOON + timedelta(seconds=1)

_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,98}", fullmatch=True)
_GRANTEES = st.builds(Grantee, st.sampled_from(ROLES), st.sampled_from(["person", "team"]), _NAMES)
_STANDINGS = st.builds(Standing, st.booleans(), st.datetimes(timezones=st.just(UTC)), st.booleans())
_DATABASES = st.sampled_from([None, "", "apps"])
_RUNS = st.none() | st.builds(LastRun, st.uuids(), _DATABASES, st.sampled_from(["", "apps"]))


@given(st.builds(Record, st.dictionaries(_GRANTEES, _STANDINGS, max_size=10), _DATABASES, _RUNS))
def test_a_record_is_read_back_from_its_labels(record: Record) -> None:
    labels = record.labels()
    assert Record.of(labels) == record
    assert all(0 < len(key) <= 128 and 0 < len(value) <= 512 for key, value in labels.items())


def test_labels_that_somebody_wrote_by_hand_are_passed_over() -> None:
    by_hand = {
        "environment": "shop",
        "grant.root.person.eve": f"given asked {NOON.isoformat()}",
        "grant.admin.person.eve": "given asked yesterday",
        "grant.admin.person.eva": "given asked 2026-11-23T12:00:00",
        "grant.admin.robot.eve": f"given asked {NOON.isoformat()}",
        "run": "not-a-run",
        "run_database": "apps",
    }
    assert Record.of(by_hand) == Record()


def test_what_was_asked_for_later_counts_whatever_is_heard_first() -> None:
    given_then_taken = Record().with_grant(ANN, given=True, at=NOON).with_grant(ANN, given=False, at=LATER)
    taken_heard_first = Record().with_grant(ANN, given=False, at=LATER).with_grant(ANN, given=True, at=NOON)
    assert given_then_taken == taken_heard_first
    assert given_then_taken.holders("developer") == ()


def test_hearing_the_same_twice_changes_nothing() -> None:
    once = Record().with_grant(ANN, given=True, at=NOON)
    assert once.with_grant(ANN, given=True, at=NOON) == once


def test_roles_are_given_one_by_one() -> None:
    record = Record().with_grant(ANN, given=True, at=NOON)
    record = record.with_grant(Grantee("admin", "person", "ann"), given=True, at=NOON)
    record = record.with_grant(ANN, given=False, at=LATER)
    assert [bool(record.holders(role)) for role in ROLES] == [False, False, True]


def test_an_owner_has_the_role_until_somebody_else_owns_the_environment() -> None:
    record = Record().owned_by("ann", NOON)
    assert record.holders("developer") == (ANN,)
    assert record.owned_by("ann", LATER) == record
    assert [who.name for who in record.owned_by("bob", LATER).holders("developer")] == ["bob"]


def test_an_owner_whose_role_was_taken_away_does_not_get_it_back_by_the_next_run() -> None:
    record = Record().owned_by("ann", NOON).with_grant(ANN, given=False, at=LATER)
    assert record.owned_by("ann", LATER).holders("developer") == ()


def test_a_role_that_was_asked_for_outlives_ownership() -> None:
    record = Record().owned_by("ann", NOON).with_grant(ANN, given=True, at=LATER)
    assert {who.name for who in record.owned_by("bob", LATER).holders("developer")} == {"ann", "bob"}


def test_a_run_is_remembered_with_what_was_before_it_however_often_it_is_repeated() -> None:
    first, second = uuid4(), uuid4()
    record = Record()
    for run_id, place in ((first, "apps"), (second, ""), (second, "")):
        record, _ = record.moved_by(run_id, place)
    assert record.last_run == LastRun(second, "apps", "")
    assert record.moved_back(second).database == "apps"
    assert record.moved_back(second).moved_back(second) == record.moved_back(second)
    assert record.moved_back(first) == record


def test_the_memory_of_the_oldest_withdrawals_goes_first_and_a_grant_never() -> None:
    record = Record()
    for number in range(100):
        gone = Grantee("viewer", "person", f"gone-{number:03}")
        record = record.with_grant(gone, given=False, at=NOON + timedelta(seconds=number))
    assert len(record.labels()) <= 64
    assert Grantee("viewer", "person", "gone-099") in record.grants
    for number in range(56):
        who = Grantee("viewer", "person", f"here-{number:03}")
        record = record.with_grant(who, given=True, at=NOON)
    assert len(record.holders("viewer")) == 56
    with pytest.raises(PermanentError) as refused:
        record.with_grant(ANN, given=True, at=LATER)
    assert refused.value.code == "too_many_grants"
    assert "team" in refused.value.next_step


@pytest.mark.parametrize("whom", [{}, {"person": "ann", "team": "web"}])
def test_a_request_names_exactly_one(whom: dict[str, str]) -> None:
    with pytest.raises(PermanentError) as refused:
        grantee_of(AccessChange.model_validate({"requested_by": "ada", "role": "viewer", **whom}))
    assert refused.value.code == "unclear_access_request"


def test_labels_have_room_for_everything_but_grants() -> None:
    full = Record(database="apps", last_run=LastRun(UUID(int=1), "apps", "apps"))
    for number in range(56):
        full = full.with_grant(Grantee("viewer", "person", f"p{number}"), given=True, at=NOON)
    # Beside them stand the environment, its incarnation and whose all this is.
    assert len(full.labels()) + 3 <= 64

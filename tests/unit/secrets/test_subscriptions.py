"""The table: what the service hears, says and explains, against the platform's topology."""

from uuid import uuid4

from chassis.consuming import GaveUp
from chassis.failures import RETRY_DELAYS_SECONDS, PermanentError
from contracts.events import (
    AccessRequested,
    AccessRevocationRequested,
    PipelineRemoved,
    SecretsFailed,
    SecretsRevoked,
)
from contracts.topology import HEARS, SAYS
from services.secrets.adapters.memory import MemoryHistory, MemoryJournal, MemoryVault
from services.secrets.handlers import Handlers
from services.secrets.subscriptions import explain_failure, explain_left_behind, subscriptions
from tests.unit.secrets.events import infra_ready, pipeline_removed

TABLE = subscriptions(Handlers(MemoryVault(), MemoryHistory(), MemoryJournal()))


def test_it_hears_and_says_what_the_topology_says() -> None:
    assert {row.hears for row in TABLE} == set(HEARS["secrets"])
    assert {kind for row in TABLE for kind in row.outcomes} == set(SAYS["secrets"])


def test_a_change_of_access_belongs_to_no_run() -> None:
    for row in TABLE:
        assert row.of_run == (row.hears not in {AccessRequested, AccessRevocationRequested})


def test_undoing_is_tried_longer_than_doing_and_always_ends_in_the_same_event() -> None:
    undoing = [row for row in TABLE if row.hears in (SecretsFailed, PipelineRemoved)]
    assert len(undoing) == 2
    for row in undoing:
        assert row.says is row.or_else is SecretsRevoked
        assert len(row.retry_delays_seconds) > len(RETRY_DELAYS_SECONDS)
        assert sum(row.retry_delays_seconds) > sum(RETRY_DELAYS_SECONDS)


def test_a_failure_is_told_in_words_for_a_person() -> None:
    error = PermanentError("openbao_denied", "OpenBao does not let us", next_step="ask the platform team")

    said = explain_failure(infra_ready("demo-api", uuid4()), GaveUp(error, attempts=3))

    assert said.failure.model_dump() == {
        "step": "secrets",
        "code": "openbao_denied",
        "message": "OpenBao does not let us",
        "next_step": "ask the platform team",
        "attempts": 3,
    }


def test_an_undo_given_up_still_goes_on_along_the_road_back() -> None:
    error = PermanentError("gave_up", "OpenBao is sealed or starting", next_step="wait")

    said = explain_left_behind(pipeline_removed("demo-api", uuid4()), GaveUp(error, attempts=9))

    assert said.receipt.removed == ()
    assert {left.resource.id for left in said.receipt.left_behind} >= {
        "kv/env/demo-api/app",
        "sys/policies/acl/env-demo-api",
    }

"""Deliberate bugs, by which the checker is checked: each must be caught, by the claim that it breaks.

Invariant: a bug exists only in a process that `tests.faults.process` started with it; its code is in
`tests.faults.wrong`. A bug names the story and the death that bring it out, and the claims of which at least one must
see it.
"""

from dataclasses import dataclass
from typing import Final

from chassis.faults import Point
from contracts.envelope import ServiceName
from tests.faults.points import Story

VARIABLE: Final = "SLIPWAY_FAULTS_BUG"
CREATION: Final = Story("create")
DELETION: Final = Story("delete")
FAILURE: Final = Story("create", "cicd")


@dataclass(frozen=True)
class Bug:
    """Something that a service does wrong."""

    name: str
    service: ServiceName
    story: Story
    """The run in which it shows."""
    caught_by: tuple[str, ...]
    """Claims of `tests.faults.invariants`, of which one must see it."""
    dies: tuple[str, Point] | None = None
    """The death that brings it out: the event's kind and the point; None where it shows by itself."""
    ends: bool = True
    """Whether the run comes to an end with it."""
    is_quick: bool = False
    """Whether it is tried by every `make test`, on the twins of the saga tests."""


_ALL: Final = (
    Bug(
        "ack-before-effect", "secrets", CREATION, ("every_run_ends",),
        dies=("infra_ready", "before_effect"), ends=False, is_quick=True,
    ),
    Bug("underived-id", "cicd", CREATION, ("every_id_follows_from_its_cause",), ends=False),
    Bug("skipped-undo", "secrets", FAILURE, ("gone_is_clean",), is_quick=True),
    Bug(
        "skipped-look", "provisioner", FAILURE, ("gone_is_clean",),
        dies=("infra_ready", "after_publish"), is_quick=True,
    ),
    Bug("told-twice", "notifier", CREATION, ("every_verdict_is_told_once",)),
    Bug(
        "secret-in-event", "secrets", CREATION, ("no_secret_is_anywhere_else",),
    ),
    Bug("secret-in-log", "secrets", CREATION, ("no_secret_is_anywhere_else",)),
    Bug("record-left-behind", "provisioner", DELETION, ("gone_is_clean",)),
    Bug("lease-not-revoked", "secrets", DELETION, ("gone_is_clean",)),
    Bug("commit-missing", "provisioner", CREATION, ("intent_comes_before_effect", "ready_is_whole")),
    Bug(
        "verdict-without-a-run", "catalog", CREATION, ("every_verdict_has_its_run",),
        ends=False,
    ),
    Bug(
        "forgotten-fold", "catalog", CREATION,
        ("a_rebuilt_projection_is_the_live_one", "the_gateway_shows_the_log"),
    ),
    Bug("said-twice", "cicd", CREATION, ("every_event_is_there_once",)),
    Bug("never-confirmed", "gateway", CREATION, ("nothing_waits",)),
    Bug("stray-process", "provisioner", CREATION, ("no_process_is_left",)),
    Bug("trace-broken", "secrets", CREATION, ("every_run_is_one_trace",)),
)  # fmt: skip
BUGS: Final = {bug.name: bug for bug in _ALL}

"""The checker is worth something: it has nothing to say of a sound platform, and it sees what a bug breaks.

All of the bugs are tried on a whole platform by `python -m tests.faults --check-the-checker`.
"""

from dataclasses import replace

import pytest

from chassis.identity import EventKey
from tests.faults.bugs import BUGS, Bug
from tests.faults.cheap import CheapPlatform, live
from tests.faults.evidence import Evidence, Recovery
from tests.faults.invariants import INVARIANTS, Violation, judge
from tests.faults.wrong import INSTALLERS
from tests.saga.driver import Driver

QUICK = [bug for bug in BUGS.values() if bug.is_quick]


async def test_of_a_sound_platform_no_claim_is_broken(cheap: CheapPlatform, driver: Driver) -> None:
    assert judge(await live(cheap, driver, None)) == []


@pytest.mark.parametrize("bug", QUICK, ids=lambda bug: bug.name)
async def test_a_bug_is_caught_by_the_claim_that_it_breaks(cheap: CheapPlatform, driver: Driver, bug: Bug) -> None:
    found = judge(await live(cheap, driver, bug))
    assert {violation.claim for violation in found} & set(bug.caught_by), found


def test_a_run_that_ends_too_late_after_a_restart_is_caught() -> None:
    nothing = Evidence((), (), EventKey(b"k" * 32).derive, frozenset(), {})
    late = replace(nothing, recoveries=[Recovery("late", "it died", 60.5), Recovery("soon", "it died", 59.5)])
    told = "it died: 60 s from the restart to the end"
    assert judge(late) == [Violation("every_run_ends_in_time", "late", told)]


def test_every_bug_has_its_code_and_breaks_a_claim_that_there_is() -> None:
    assert BUGS.keys() == INSTALLERS.keys()
    assert {claim for bug in BUGS.values() for claim in bug.caught_by} <= {claim.__name__ for claim in INVARIANTS}
    assert len(BUGS) >= 8


def test_every_claim_is_said() -> None:
    for claim in INVARIANTS:
        number, _, text = (claim.__doc__ or "").partition(". ")
        assert number.isdigit(), claim.__name__
        assert text.endswith(".")

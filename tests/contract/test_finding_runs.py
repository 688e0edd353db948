"""Finding runs, asked of the twin in memory and of a real Postgres."""

from datetime import timedelta
from typing import Any, Final

from contracts.queries import FindRuns, GrantedTo
from contracts.values import Owner
from tests.contract.catalogs import KEY, NOW, World, stored
from tests.stories import Story

DAY: Final = timedelta(days=1)
PAYMENTS, SEARCH = Owner(person="ada", team="payments"), Owner(person="bob", team="search")
EVERY: Final = ["create stock", "create pay", "delete ledger", "create ledger", "create shop", "create old-shop"]
FOUND: Final[list[tuple[dict[str, Any], list[str]]]] = [
    ({}, EVERY),
    ({"state": "failed"}, ["create shop"]),
    ({"state": "running"}, ["create stock", "delete ledger"]),
    ({"state": "undoing"}, ["create pay"]),
    ({"kind": "delete"}, ["delete ledger"]),
    ({"person": "ada"}, EVERY),
    ({"person": "bob"}, []),
    ({"name_contains": "shop"}, ["create shop", "create old-shop"]),
    ({"name_contains": "%"}, []),
    ({"since": NOW - 2 * DAY, "until": NOW}, ["create pay", "delete ledger", "create ledger", "create shop"]),
    ({"golden_path": "worker"}, []),
    ({"teams": ("payments",)}, ["create pay", "create shop", "create old-shop"]),
    ({"teams": ("payments",), "granted_to": GrantedTo(person="bob"), "state": "succeeded"}, ["create old-shop"]),
    ({"teams": ()}, []),
    ({"state": "succeeded", "limit": 1}, ["create ledger"]),
]
COUNTED: Final[list[tuple[dict[str, Any], dict[str, int]]]] = [
    ({}, {"running": 2, "undoing": 1, "succeeded": 2, "failed": 1}),
    ({"state": "failed", "before_sequence": 1}, {"running": 2, "undoing": 1, "succeeded": 2, "failed": 1}),
    ({"kind": "delete"}, {"running": 1, "undoing": 0, "succeeded": 0, "failed": 0}),
    ({"teams": ("payments",)}, {"running": 0, "undoing": 1, "succeeded": 1, "failed": 1}),
]


async def test_runs_keep_every_condition_and_are_counted_by_state(world: World) -> None:
    await stored(
        world,
        Story(KEY, "old-shop", owner=PAYMENTS, time=NOW - 9 * DAY).create().ready(),
        Story(KEY, "shop", owner=PAYMENTS, time=NOW - DAY).create("secrets").fail("pipeline").failed("pipeline"),
        Story(KEY, "ledger", owner=SEARCH, time=NOW - DAY).create().ready().delete(),
        Story(KEY, "pay", owner=PAYMENTS, time=NOW - DAY).create("secrets").fail("pipeline"),
        Story(KEY, "stock", owner=SEARCH, time=NOW).create("infrastructure"),
    )

    for conditions, found in FOUND:
        runs = (await world.views.runs(FindRuns.model_validate(conditions))).items
        assert (conditions, [f"{run.kind} {run.environment}" for run in runs]) == (conditions, found)
    for conditions, counts in COUNTED:
        states = (await world.views.runs(FindRuns.model_validate({**conditions, "counts": True}))).states
        assert (conditions, {one.value: one.count for one in states}) == (conditions, counts)

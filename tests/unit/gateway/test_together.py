"""Statements that serve many callers at once: who hears what."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from chassis.failures import TransientError
from services.gateway.adapters.together import Together


@dataclass
class Store:
    """Doubles numbers; waits where `gate` is closed; refuses what is in `bad`, and everything while it is `away`."""

    bad: frozenset[int] = frozenset()
    away: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[list[int]] = field(default_factory=list)

    async def write(self, given: Sequence[int]) -> list[int]:
        self.calls.append(list(given))
        self.asked.set()
        await self.gate.wait()
        if self.away:
            raise TransientError("the store is away")
        if broken := self.bad & set(given):
            raise ValueError(f"cannot take {sorted(broken)}")
        return [2 * number for number in given]


async def _ask(store: Store, numbers: Sequence[int]) -> list[int | BaseException]:
    together = Together(store.write)
    first = asyncio.create_task(together(numbers[0]))
    await store.asked.wait()
    others = [asyncio.create_task(together(number)) for number in numbers[1:]]
    await asyncio.sleep(0)
    store.gate.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


async def test_what_comes_while_one_is_under_way_goes_together_and_each_hears_of_its_own() -> None:
    store = Store()
    assert await _ask(store, [1, 2, 3, 4]) == [2, 4, 6, 8]
    assert store.calls == [[1], [2, 3, 4]]


async def test_a_fault_of_one_is_told_to_that_one_alone() -> None:
    store = Store(bad=frozenset({3}))
    one, two, three, four = await _ask(store, [1, 2, 3, 4])
    assert (one, two, four) == (2, 4, 8)
    assert isinstance(three, ValueError)


async def test_a_store_that_is_away_is_asked_once_and_everybody_told() -> None:
    store = Store(away=True)
    answers = await _ask(store, [1, 2, 3])
    assert [type(answer) for answer in answers] == [TransientError] * 3
    assert store.calls == [[1], [2, 3]]


async def test_who_gives_up_takes_nobody_with_them() -> None:
    store = Store()
    together = Together(store.write)
    leaver, stayer = asyncio.create_task(together(1)), asyncio.create_task(together(2))
    await store.asked.wait()
    leaver.cancel()
    store.gate.set()
    assert await stayer == 4
    with pytest.raises(asyncio.CancelledError):
        await leaver


async def test_no_statement_grows_without_end() -> None:
    store = Store()
    assert await _ask(store, range(301)) == [2 * number for number in range(301)]
    assert max(map(len, store.calls)) <= 100

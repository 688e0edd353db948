"""Reading in batches: what is answered to the bus, and when."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from chassis.bus import Bus
from chassis.failures import TransientError
from chassis.reading import ACK, BatchReader, Found, later
from contracts.topology import CONSUMERS
from tests.waiting import until


@dataclass
class Told:
    """A bus that keeps what is answered, by the subject of the answer."""

    answers: dict[str, bytes] = field(default_factory=dict)

    async def publish(self, reply: str, answer: bytes) -> None:
        self.answers[reply] = answer


@asynccontextmanager
async def reading(deed: Callable[[Sequence[Found]], Awaitable[None]], *names: str) -> AsyncIterator[Told]:
    """A reader to which these messages have come at once, until each is answered."""
    told = Told()
    bus = cast("Bus", SimpleNamespace(client=told))
    reader = BatchReader(bus, CONSUMERS[0], deed, batch=10, linger_seconds=0.01, later_seconds=2)
    for name in names:
        message: Any = SimpleNamespace(subject=f"environment.{name}.environment_ready", reply=name, data=b"{}")
        reader._receive(message)
    working = asyncio.create_task(reader._work())
    await until(lambda: len(told.answers) == len(names), what="the answers")
    working.cancel()
    yield told


async def test_what_has_come_is_handled_together_and_then_acknowledged() -> None:
    batches: list[list[str]] = []

    async def deed(found: Sequence[Found]) -> None:
        batches.append([one.subject for one in found])

    async with reading(deed, "a", "b") as told:
        assert batches == [["environment.a.environment_ready", "environment.b.environment_ready"]]
        assert told.answers == {"a": ACK, "b": ACK}


async def test_where_something_is_away_all_of_it_comes_again_later() -> None:
    tried = 0

    async def deed(_: Sequence[Found]) -> None:
        nonlocal tried
        tried += 1
        raise TransientError("away")

    async with reading(deed, "a", "b") as told:
        assert told.answers == {"a": later(2), "b": later(2)}
        assert tried == 1


async def test_a_message_that_breaks_the_deed_does_not_hold_up_its_neighbours() -> None:
    async def deed(found: Sequence[Found]) -> None:
        if any(one.reply == "bad" for one in found):
            raise ValueError("broken")

    async with reading(deed, "a", "bad", "b") as told:
        assert told.answers == {"a": ACK, "bad": later(2), "b": ACK}


def test_a_message_knows_its_kind_and_its_place() -> None:
    found = Found("environment.demo-api.environment_ready", b"", "$JS.ACK.ENVIRONMENTS.notifier-outward.1.42.7.0.0")

    assert (found.kind, found.sequence) == ("environment_ready", 42)

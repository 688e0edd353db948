"""Facts on the bus: hearing what people say, and saying what came of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog
from pydantic import ValidationError

from chassis import tracing
from chassis.bus import Bus
from chassis.failures import PermanentError, TransientError
from chassis.pulling import Pull
from contracts import subjects
from contracts.signals import FeedbackGiven, Signal
from contracts.topology import ConsumerSpec

_log = structlog.get_logger(__name__)

_BATCH: Final = 10
_LATER: Final = b"-NAK " + json.dumps({"delay": 60_000_000_000}).encode()
"""A minute: a ticket can wait for the forge, and it waits as long as it takes."""


class BusFacts:
    """Fulfils `ports.Facts`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def say(self, signal: Signal) -> None:
        """See the port."""
        await self._bus.publish(
            subjects.of_signal(signal), signal.to_json(), stream=subjects.SIGNALS, message_id=str(signal.id)
        )


class _Message(Protocol):
    reply: str
    data: bytes


class FeedbackReader:
    """Hands each feedback to `deed`, one after the other; a message is acknowledged when that returns, and comes again
    where it cannot. What is no feedback of ours changes nothing: the catalog keeps it with the reason."""

    def __init__(self, bus: Bus, spec: ConsumerSpec, deed: Callable[[FeedbackGiven], Awaitable[None]]) -> None:
        self._bus = bus
        self._deed = deed
        self._waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._pull = Pull(bus, spec, self._receive, lambda: _BATCH - self._waiting.qsize())

    async def run(self) -> None:
        """Hear until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pull.run())
            tasks.create_task(self._work())

    def _receive(self, message: _Message) -> None:
        self._waiting.put_nowait((message.reply, message.data))

    async def _work(self) -> None:
        while True:
            reply, body = await self._waiting.get()
            await self._bus.client.publish(reply, await self._handle(body))
            self._pull.go_on()

    async def _handle(self, body: bytes) -> bytes:
        try:
            feedback = FeedbackGiven.model_validate_json(body)
        except ValidationError as error:
            _log.error("what was heard is no feedback of ours", errors=error.error_count())
            return b"+ACK"
        try:
            with tracing.span("cicd open ticket", parent=feedback.traceparent):
                await self._deed(feedback)
        except TransientError as error:
            _log.warning("a ticket waits", feedback_id=str(feedback.id), error=str(error))
            return _LATER
        except PermanentError as error:
            _log.error("a ticket cannot be opened", feedback_id=str(feedback.id), error=str(error))
        return b"+ACK"

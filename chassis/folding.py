"""Folds a stream, in its order, into a store of one's own: the loop of a service that keeps a complete copy of a log.

Invariants
- Messages reach the projection as a run that follows its position without a hole, whatever order and however often
  they arrive; what did not arrive is read from the log itself. So any number of replicas share one durable.
- A message is acknowledged only when the projection holds it.
- What the log holds at the projection's position is what was folded there; where it is not (the stream was lost or
  exchanged), nothing is folded and the process is not ready until somebody has mended it.

Plain nats-py: FastStream's subscriber would cost such a loop more than everything else in it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js.errors import APIError, NotFoundError
from prometheus_client import Counter, Gauge, Histogram

from chassis.bus import Bus
from chassis.failures import TransientError
from chassis.pulling import LogMessage, Pull, read, stream_sequence
from contracts.topology import ConsumerSpec

_log = structlog.get_logger(__name__)

FOLDED: Final = Counter("slipway_folded_messages_total", "Messages folded", ["service"])
REJECTED: Final = Counter(
    "slipway_rejected_messages_total", "Messages kept but not believed, by reason", ["service", "reason"]
)
BATCH: Final = Histogram(
    "slipway_fold_messages", "Messages in one fold", ["service"], buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500)
)
SECONDS: Final = Histogram(
    "slipway_fold_seconds",
    "Seconds of one fold, to its commit",
    ["service"],
    buckets=(0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
POSITION: Final = Gauge("slipway_fold_position", "The last sequence folded", ["service"])
LAG: Final = Gauge("slipway_fold_lag_seconds", "Age of the oldest message that is not folded", ["service"])

_FOLD_BYTES: Final = 8 << 20
_RETRY_SECONDS: Final = 0.5
_CROWDED_SECONDS: Final = 1.0
"""How long replicas take turns after one was late. Without turns short folds would beat long ones again and again, and
most work would be done in vain; with one replica a turn would be a round trip for nothing."""
_COMPANY_SECONDS: Final = 0.02
"""How long messages that nobody waits for wait for more of them: one transaction then serves them all."""
_POLL_SECONDS: Final = (0.005, 0.01, 0.02, 0.05)


class Projection(Protocol):
    """What messages are folded into. Raises `TransientError` where its store is away; any other error ends the
    process."""

    async def position(self, *, fresh: bool = False) -> int:
        """The last sequence folded; without `fresh`, as far as this process knows."""
        ...

    async def fold(self, after: int, messages: Sequence[LogMessage]) -> bool:
        """Fold, in one transaction, messages that follow the position `after`. False, with nothing changed, where
        the position is another by now."""
        ...

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait for this replica's turn, for a moment at most: to save work, not for correctness."""
        ...

    async def holds(self, message: LogMessage) -> bool:
        """Whether this very message was folded under its sequence."""
        ...


@dataclass(frozen=True)
class Lag:
    """How far the projection is behind the log."""

    sequence: int
    stream_sequence: int
    seconds: float
    """Age of the oldest message that is not folded."""


class Folder:
    """Feeds one projection from one durable. `name` is its label among the metrics, by default the service's."""

    def __init__(
        self,
        bus: Bus,
        spec: ConsumerSpec,
        projection: Projection,
        *,
        batch: int = 500,
        look_seconds: float = 2.0,
        max_lag_seconds: float = 60.0,
        name: str = "",
        can_wait: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`can_wait` says of a subject that nothing follows from its messages but the views: such a message waits a
        moment for others, so that one fold takes them all, unless somebody asks for it."""
        self._bus = bus
        self._name = name or spec.service
        self._spec = spec
        self._projection = projection
        self._batch = batch
        self._look_seconds = look_seconds
        self._max_lag_seconds = max_lag_seconds
        self._waiting: dict[int, tuple[LogMessage, str]] = {}
        """By sequence: messages that arrived and are not acknowledged, with where to acknowledge each."""
        self._position = 0
        self._lag_seconds: float | None = None
        self._fault = ""
        self._behind = True  # whatever was acknowledged before: the log decides what is missing
        self._crowded_until = 0.0
        self._stopping = False
        self._can_wait = can_wait
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()
        self._folding = asyncio.Lock()
        self._reached: dict[asyncio.Future[None], int] = {}
        self._pull = Pull(bus, spec, self._receive, lambda: batch if len(self._waiting) < batch else 0)

    async def run(self) -> None:
        """Fold until cancelled, beginning with whatever the log has after the position."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fold_for_ever())
            tasks.create_task(self._pull.run())
            tasks.create_task(self._watch())

    async def stop(self) -> None:
        """Take no more messages, finish the fold under way, and hand back what was not begun."""
        self._stopping = True
        self._work.set()
        self._hurry.set()
        await self._pull.stop()
        async with self._folding:
            replies = [reply for _, reply in self._waiting.values()]
            self._waiting.clear()
            await self._answer(replies, b"-NAK")

    async def wait_for(self, sequence: int, timeout_seconds: float = 2.0) -> None:
        """Return when `sequence` is folded. Raises `TransientError` where that takes longer than it may."""
        deadline = time.monotonic() + timeout_seconds
        polls = iter(_POLL_SECONDS)
        poll_seconds = 0.0
        while self._position < sequence:
            if time.monotonic() >= deadline:
                raise TransientError(f"message {sequence} is not folded yet; the last one is {self._position}")
            reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._reached[reached] = sequence
            self._hurry.set()
            poll_seconds = next(polls, poll_seconds)
            done, _ = await asyncio.wait({reached}, timeout=poll_seconds)
            self._reached.pop(reached, None)
            if not done:  # another replica may have folded it
                self._reach(await self._projection.position(fresh=True))

    async def lag(self) -> Lag:
        """How far behind the log the projection is at this moment."""
        sequence = await self._projection.position(fresh=True)
        try:
            last = (await self._bus.jetstream.stream_info(self._spec.stream)).state.last_seq
            seconds = 0.0
            if sequence < last:
                waiting = await self._bus.jetstream.get_msg(self._spec.stream, seq=sequence + 1, direct=True)
                if waiting.time is not None:
                    seconds = max(0.0, (datetime.now(UTC) - waiting.time).total_seconds())
        except NotFoundError as error:
            raise TransientError(f"the stream {self._spec.stream} lacks message {sequence + 1}") from error
        except (nats.errors.Error, APIError, TimeoutError) as error:
            raise TransientError(f"the stream {self._spec.stream} does not answer") from error
        return Lag(sequence, last, seconds)

    async def check(self) -> None:
        """Raise where the copy cannot be trusted to be up to date."""
        if self._lag_seconds is None:
            raise LookupError("the log has not been looked at yet")
        if self._fault:
            raise LookupError(self._fault)
        if self._lag_seconds > self._max_lag_seconds:
            raise TimeoutError(f"the oldest message that is not folded is {self._lag_seconds:.0f} s old")

    async def _read(self, first: int, count: int) -> list[LogMessage]:
        return await read(self._bus, self._spec.stream, first, count)

    # -- folding -------------------------------------------------------------------------------------------------------

    async def _fold_for_ever(self) -> None:
        while not self._stopping:
            self._work.clear()
            self._hurry.clear()
            try:
                async with self._folding:
                    await self._fold_what_there_is()
            except TransientError as error:
                _log.warning("folding waits", error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                await self._work.wait()
                await self._wait_for_company()

    async def _wait_for_company(self) -> None:
        """Let what can wait, wait for what comes with it."""
        if not self._behind and not self._stopping:
            try:
                async with asyncio.timeout(_COMPANY_SECONDS):
                    await self._hurry.wait()
            except TimeoutError:
                return

    async def _fold_what_there_is(self) -> None:
        if self._behind and not self._fault:
            await self._catch_up()
        while self._waiting and not self._fault and not self._stopping:
            if time.monotonic() < self._crowded_until:
                async with self._projection.turn():
                    await self._fold_next(fresh=True)
            else:
                await self._fold_next(fresh=False)
            await self._settle()
            if self._waiting and len(self._waiting) < self._batch and not self._hurry.is_set():
                self._work.set()  # what is left comes together with what comes meanwhile
                return

    async def _fold_next(self, *, fresh: bool) -> None:
        position = await self._projection.position(fresh=fresh)
        run: Sequence[LogMessage] = self._run_after(position)
        last = max(self._waiting)
        if position + len(run) < last and len(run) < self._batch:
            # A hole. Another replica has folded what is missing, is about to, or died with it. Where replicas take
            # turns every other message is missing, and one read brings them all.
            position = await self._projection.position(fresh=True)
            if position < last:
                run = await self._read_what_arrived(position + 1, min(self._batch, last - position))
        if run and run[0].sequence > position:
            await self._fold(position, run)
        else:
            self._reach(position)

    async def _read_what_arrived(self, first: int, count: int) -> Sequence[LogMessage]:
        """Read messages of which a later one has arrived already. On a cluster the server that answers may be a moment
        behind the one that delivered it."""
        for pause_seconds in _POLL_SECONDS:
            if found := await self._read(first, count):
                return found
            await asyncio.sleep(pause_seconds)
        raise TransientError(f"the log does not show message {first} yet")

    async def _catch_up(self) -> None:
        """Fold from the log itself until it has no more."""
        while not self._stopping:
            async with self._projection.turn():
                position = await self._projection.position(fresh=True)
                self._reach(position)
                missing = await self._read(position + 1, self._batch)
                if not missing:
                    self._behind = False
                    return
                await self._fold(position, missing)

    async def _fold(self, after: int, run: Sequence[LogMessage]) -> None:
        started = time.perf_counter()
        if await self._projection.fold(after, run):
            SECONDS.labels(self._name).observe(time.perf_counter() - started)
            BATCH.labels(self._name).observe(len(run))
            FOLDED.labels(self._name).inc(len(run))
            self._reach(run[-1].sequence)
        else:
            self._crowded_until = time.monotonic() + _CROWDED_SECONDS
            self._reach(await self._projection.position(fresh=True))

    def _run_after(self, position: int) -> list[LogMessage]:
        """What has arrived of the messages that follow `position` without a hole, as far as one fold takes them."""
        run: list[LogMessage] = []
        size = 0
        while len(run) < self._batch and size < _FOLD_BYTES:
            found = self._waiting.get(position + 1 + len(run))
            if found is None:
                break
            run.append(found[0])
            size += len(found[0].body)
        return run

    def _reach(self, position: int) -> None:
        if position == self._position:
            return
        self._position = position
        POSITION.labels(self._name).set(position)
        for future, sequence in list(self._reached.items()):
            if sequence <= position and not future.done():
                future.set_result(None)

    async def _settle(self) -> None:
        """Acknowledge what is folded, by whomever."""
        settled = [sequence for sequence in self._waiting if sequence <= self._position]
        await self._answer([self._waiting.pop(sequence)[1] for sequence in settled], b"+ACK")
        self._pull.go_on()

    async def _answer(self, replies: Iterable[str], word: bytes) -> None:
        client = self._bus.client
        try:
            for reply in replies:
                await client.publish(reply, word)
        except nats.errors.Error as error:  # what is not acknowledged comes again
            _log.warning("could not acknowledge", error_type=type(error).__name__)

    def _receive(self, message: Msg) -> None:
        sequence = stream_sequence(message.reply)
        subject = message.subject.encode(errors="surrogateescape")
        self._waiting[sequence] = (LogMessage(sequence, subject, message.data), message.reply)
        if not self._can_wait(message.subject):
            self._hurry.set()
        self._work.set()

    # -- watching ------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look now and then whether the copy is up to date and the log still the one that was copied."""
        previous = -1
        while True:
            try:
                lag = await self.lag()
                await self._compare(lag)
                self._lag_seconds = lag.seconds
                LAG.labels(self._name).set(lag.seconds)
            except TransientError as error:
                _log.warning("could not look at the log", error=str(error))
            else:
                if lag.sequence == previous < lag.stream_sequence:
                    self._behind = True  # nothing came of what is there: somebody died with it, or it was acknowledged
                    self._work.set()
                previous = lag.sequence
            await asyncio.sleep(self._look_seconds)

    async def _compare(self, lag: Lag) -> None:
        fault = ""
        if lag.stream_sequence < lag.sequence:
            fault = f"the stream {self._spec.stream} ends at {lag.stream_sequence}; {lag.sequence} are folded"
        elif lag.sequence > 0:
            found = await self._read(lag.sequence, 1)
            if not found:  # the leader has it, so whoever answered is behind
                raise TransientError(f"a server of the bus is behind: it has no message {lag.sequence} yet")
            if not await self._projection.holds(found[0]):
                fault = f"message {lag.sequence} of the stream {self._spec.stream} is not the one that was folded"
        if fault:
            fault += ": the log was lost or exchanged; restore it from this copy (`slipway admin restore-log`)"
        if fault and not self._fault:
            _log.critical("nothing is folded any more", reason=fault)
        if self._fault and not fault:
            _log.info("the log is the one that was copied again")
            self._behind = True
            self._work.set()
        self._fault = fault

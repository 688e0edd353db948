"""Points at which a process can be made to die: what `make faults` kills it at.

Invariant: they exist only in a process that was started with `SLIPWAY_FAULTS=<directory>`. In any other, composition
hands back what it was given, so the ordinary path has not even a branch for them.

A fault is a file `<name>.armed` of JSON in that directory (see `Fault`). Whoever reaches the point first renames it to
`<name>.fired`, durably, and only then dies: so it fires once, whatever happens after. Where several faults wait for
what one call is about, or for what is under way at that moment and is not done twice, all of them fire: one death is
the death of each.
"""

import asyncio
import fnmatch
import functools
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict

from chassis.consuming import Subscription
from chassis.pulling import LogMessage
from contracts import subjects
from contracts.envelope import Event, Value

VARIABLE: Final = "SLIPWAY_FAULTS"
Point = Literal["before_effect", "after_effect", "after_publish"]
About = tuple[str, str]
"""The kind of an event, and the environment that it is about."""
T = TypeVar("T")
_OTHERS_COME_SECONDS: Final = 1.0


class Fault(BaseModel):
    """Where a process dies: at this point of handling (or, after a publish, of saying) an event of this kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: str
    kind: str
    point: Point
    environment: str
    """A name, or a pattern of names (`fnmatch`)."""
    action: Literal["die", "tell"] = "die"
    """`tell` only marks the fault as fired: somebody else is killed then, while this process goes on."""

    def matches(self, service: str, point: Point, about: About) -> bool:
        """Whether this is the point."""
        kind, environment = about
        here = (self.service, self.point, self.kind) == (service, point, kind)
        return here and fnmatch.fnmatchcase(environment, self.environment)


class Faults:
    """The points of one process."""

    def __init__(self, service: str, directory: Path | None) -> None:
        self._service = service
        self._directory = directory
        self._due: dict[Path, Fault] = {}
        """Whose point was reached, by their files."""
        self._under_way: dict[asyncio.Future[None], tuple[Point, Sequence[About]]] = {}
        """What is being done and cannot be done again, by what is settled when it is over: the point after it."""

    @classmethod
    def of_process(cls, service: str) -> "Faults":
        """As the environment of this process asks; without `SLIPWAY_FAULTS` there are none."""
        named = os.environ.get(VARIABLE)
        return cls(service, Path(named) if named else None)

    def around_deeds(self, rows: Sequence[Subscription[Any]]) -> Sequence[Subscription[Any]]:
        """The table, with points before and after each deed."""
        if self._directory is None:
            return rows
        return [replace(row, deed=self._around_deed(row.deed)) for row in rows]

    def around(
        self,
        thing: T,
        method: str,
        about: Callable[..., Iterable[About]],
        *,
        before: Point | None = "before_effect",
        after: Point | None = "after_effect",
    ) -> T:
        """`thing`, with points around one of its asynchronous methods. `about` gets the arguments; a result of False
        means that nothing was done, so there is no point after it."""
        if self._directory is None:
            return thing
        call = getattr(thing, method)

        @functools.wraps(call)
        async def pointed(*arguments: Any, **options: Any) -> Any:
            concerned = list(about(*arguments, **options))
            await self._reach(before, concerned)
            with self._doing(after, concerned):
                result = await call(*arguments, **options)
            if result is not False:
                await self._reach(after, concerned)
            return result

        return cast("T", _Pointed(thing, method, pointed))

    def _around_deed(self, deed: Callable[[Event], Awaitable[Value | None]]) -> Callable[[Event], Awaitable[Any]]:
        @functools.wraps(deed)
        async def pointed(event: Event) -> Value | None:
            concerned = [(event.kind, event.subject)]
            await self._reach("before_effect", concerned)
            data = await deed(event)
            await self._reach("after_effect", concerned)
            return data

        return pointed

    @contextmanager
    def _doing(self, after: Point | None, concerned: Sequence[About]) -> Iterator[None]:
        if after is None:
            yield
            return
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way[over] = (after, concerned)
        try:
            yield
        finally:
            del self._under_way[over]
            over.set_result(None)

    async def _reach(self, point: Point | None, concerned: Iterable[About]) -> None:
        if self._directory is None or point is None:
            return
        abouts = list(concerned)
        due = {armed: fault for armed, fault in self._armed() if self._is_at(fault, point, abouts)}
        if not due:
            return
        # One death is everybody's whose point this is: a fold takes many events, and what it committed is not folded
        # again, so a fault that was left armed here would wait for ever.
        self._due |= due
        if any(fault.action == "die" for fault in due.values()):
            await self._let_others_come()
        fired = [fault for armed, fault in self._due.items() if _mark(armed)]
        self._due.clear()
        if fired:
            self._make_durable()
        if any(fault.action == "die" for fault in fired):
            os.kill(os.getpid(), signal.SIGKILL)

    async def _let_others_come(self) -> None:
        """Wait for effects under way here after which another fault waits: they may be done already, though nobody has
        said so yet, and would not be done again."""
        armed = self._armed()
        others = [
            over
            for over, (point, abouts) in self._under_way.items()
            if any(self._is_at(fault, point, abouts) for _, fault in armed)
        ]
        if others:
            await asyncio.wait(others, timeout=_OTHERS_COME_SECONDS)

    def _armed(self) -> list[tuple[Path, Fault]]:
        found = ((armed, _read(armed)) for armed in sorted(cast("Path", self._directory).glob("*.armed")))
        return [(armed, fault) for armed, fault in found if fault is not None]

    def _is_at(self, fault: Fault, point: Point, abouts: Sequence[About]) -> bool:
        return any(fault.matches(self._service, point, about) for about in abouts)

    def _make_durable(self) -> None:
        directory = os.open(cast("Path", self._directory), os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _read(armed: Path) -> Fault | None:
    """The fault; None where another process was there first."""
    try:
        return Fault.model_validate_json(armed.read_bytes())
    except FileNotFoundError:
        return None


def _mark(armed: Path) -> bool:
    """Say that the fault fired; False where another process was there first."""
    try:
        armed.rename(armed.with_suffix(".fired"))
    except FileNotFoundError:
        return False
    return True


class _Pointed:
    """Stands for a thing of which one method is another."""

    def __init__(self, thing: object, method: str, pointed: Callable[..., Awaitable[Any]]) -> None:
        self._thing = thing
        setattr(self, method, pointed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._thing, name)


def of_publish(subject: str, *_: object, **__: object) -> list[About]:
    """What a publish is about; nothing where it is no event of an environment."""
    found = subjects.kind_and_environment(subject)
    return [found] if found is not None else []


def of_fold(_after: int, messages: Sequence[LogMessage]) -> list[About]:
    """What a fold is about: every event in it."""
    found = (subjects.kind_and_environment(one.subject.decode(errors="replace")) for one in messages)
    return [about for about in found if about is not None]

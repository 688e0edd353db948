"""What the provisioner needs from outside, in its own words.

Each port has a twin in `adapters/memory.py` and one contract suite that both the twin and the real thing pass
(`tests/contract/test_infrastructure.py`, `test_environments_repository.py`).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from contracts.envelope import Event
from contracts.plans import PlannedChange
from contracts.values import Receipt, Resource

Files = Mapping[str, bytes]
"""Content by path relative to the environment's directory, with `/` between the parts."""

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of output for the person who waits. Nothing secret is ever in `text`."""

    text: str
    level: Level = "info"


Report = Callable[[Line], None]
"""Called from the event loop, in order, while the work goes on."""


@dataclass(frozen=True, slots=True)
class Author:
    """In whose name a commit is made."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Change:
    """Why a commit is made."""

    author: Author
    summary: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Committed:
    """An environment's directory as a commit has it."""

    commit: str
    files: Files


@dataclass(frozen=True, slots=True)
class Applied:
    """What exists after an apply whose following plan was empty.

    `outputs` are the root module's, without the sensitive ones. `created`, `changed` and `destroyed` are what this
    apply did; all three are empty when everything was already as it should be.
    """

    outputs: Mapping[str, Any]
    resources: tuple[Resource, ...]
    created: tuple[Resource, ...] = ()
    changed: tuple[Resource, ...] = ()
    destroyed: tuple[Resource, ...] = ()


class Infrastructure(Protocol):
    """Makes real what a directory of Terraform says, and takes it away again.

    Every method may be called again after any interruption. All raise `TransientError` where a later call may work
    and `PermanentError` where it cannot.
    """

    async def plan(self, environment: str, files: Files, *, new: bool) -> tuple[PlannedChange, ...]:
        """What an apply of `files` would change, in the order of the resources' names; changes nothing itself, and
        waits for nobody. `new` plans against nothing, whatever exists under that name."""
        ...

    async def apply(self, environment: str, files: Files, report: Report, *, keep_data: bool = False) -> Applied:
        """Make or adopt what `files` describe; returns when a plan after it finds nothing to do.

        With `keep_data` an apply that would destroy or replace what holds data is refused (`would_lose_data`) before
        anything is changed; without, it is told to `report` and done.
        """
        ...

    async def restore(self, environment: str, failed: Files, before: Files, run_id: str, report: Report) -> Receipt:
        """Bring everything back to what `before` says after a run that was to make it what `failed` says.

        The receipt tells what is gone again because only `failed` had it, and what could not be put back: destroyed
        data among it, even where an empty thing stands in its place. What `before` has is never destroyed. A repeat for
        the same run after an interruption tells of what the interrupted call did as well.
        """
        ...

    async def destroy(self, environment: str, files: Files, report: Report) -> Receipt:
        """Remove what `files` made, and say what is gone and what had to be left; never touches what is not ours.

        A repeat after an interruption tells of what the interrupted call removed as well.
        """
        ...

    async def forget(self, environment: str) -> None:
        """Drop the records about an environment that has been destroyed, unless something of it is left."""
        ...


class EnvironmentsRepository(Protocol):
    """The Git repository that holds every environment's desired state, one directory each.

    Raises `TransientError` while the forge is away and `PermanentError` when it refuses us.
    """

    async def write(self, environment: str, files: Files, change: Change) -> Committed:
        """Make the environment's directory exactly `files`, in one pushed commit; no commit where it already is."""
        ...

    async def read(self, environment: str, commit: str | None = None) -> Committed | None:
        """The environment's directory as the newest commit has it, or as `commit` of the same branch does; None where
        there is no directory, or no such commit. What is answered names the commit that last changed the directory."""
        ...

    async def earlier(self, environment: str, commit: str | None) -> Committed | None:
        """The environment's directory before `commit` changed it, or as it last was (None); None at its beginning.
        Versions without the directory are passed over."""
        ...

    async def remove(self, environment: str, receipt: Receipt, change: Change) -> None:
        """Remove the directory in one pushed commit that carries `receipt`; nothing where there is none."""
        ...

    async def receipt(self, environment: str, run_id: str) -> Receipt | None:
        """The receipt in the commit by which `run_id` removed the directory, or None where it did not."""
        ...


class GoldenPaths(Protocol):
    """The Terraform of the golden paths, and of the modules of this machine or cloud."""

    async def modules(self, golden_path: str) -> Files:
        """A snapshot: the golden path's module as `environment/` and the platform's modules beside it.

        Raises `PermanentError` for a golden path that this platform does not have.
        """
        ...


class StepLog(Protocol):
    """Where lines for the person who waits go (`chassis.step_log.StepLog` is one)."""

    def line(self, event: Event, text: str, level: Level = "info") -> Awaitable[None]:
        """Add a line to the run of `event`."""
        ...

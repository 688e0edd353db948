"""A release that runs: its login, its copies, its directory of files where it is a static site.

Invariant: it owns what it started. After `stop` none of its processes runs and its login is given back, in this order:
nothing of it is left that could use what was leased.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import httpx
from pydantic import SecretStr

from contracts.deployments import CopyView, RunningState
from deploy.embedded.ports import HOST
from deploy.embedded.runtime.copies import Copy, Patience, Plan
from deploy.embedded.runtime.logbook import Logbook
from deploy.embedded.runtime.records import KeptRelease, Mark
from deploy.embedded.runtime.variables import variables
from deploy.embedded.runtime.vault import Login, Logins, NoLogin, SecretsAwayError

COMMIT_DIGITS: Final = 8
_CRASHES: Final = 2
"""So many ends of a copy that never was ready, and it will not be."""
_SECRETS_PAUSE_SECONDS: Final = 0.5


class NotHealthyError(Exception):
    """A release did not come up. `code` is `not_healthy`, `crashed`, `secrets_away` or `unusable_release`."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class House:
    """What every application stands on."""

    http: httpx.AsyncClient
    logins: Logins
    patience: Patience
    logbook: Logbook
    url: str


class Application:
    """One release of one environment, running."""

    def __init__(
        self,
        release: KeptRelease,
        slot: Path,
        mark: Mark,
        house: House,
        *,
        moved: Callable[["Application"], None],
        replace: Callable[["Application"], Awaitable[None]],
    ) -> None:
        """`moved` is told that a copy now listens elsewhere, `replace` that its login cannot be kept."""
        self.release = release
        self.slot = slot
        self.mark = mark
        self.changed = asyncio.Event()
        """Something about it is new."""
        self._house = house
        self._moved = moved
        self._replace = replace
        self._login: Login = NoLogin()
        self._copies: list[Copy] = []
        self._work: list[asyncio.Task[None]] = []

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self.slot / "releases" / self.release.deployment_id

    @property
    def label(self) -> str:
        """How its lines are told from another release's."""
        return self.release.commit[:COMMIT_DIGITS]

    @property
    def targets(self) -> list[str]:
        """What the environment's pointers have to name while this is live; nothing for what does not listen."""
        static = self.release.runtime.static
        if static is not None:
            return [str(self.directory / static.directory)]
        return [f"{HOST}:{copy.port}" for copy in self._copies if copy.port is not None]

    @property
    def copies(self) -> tuple[CopyView, ...]:
        """Its processes."""
        return tuple(copy.view() for copy in self._copies)

    @property
    def crashes(self) -> int:
        """How often a process of it ended by itself."""
        return sum(copy.crashes for copy in self._copies)

    @property
    def state(self) -> tuple[RunningState, str]:
        """How it does, and why: healthy where every copy is, down where none is alive."""
        if self.release.runtime.static is not None:
            reason = self._missing_file()
            return ("down", reason) if reason else ("healthy", "")
        states = [copy.state for copy in self._copies]
        reason = next((copy.reason for copy in self._copies if copy.reason), "")
        if not states:
            return "unknown", "not started"
        if len(set(states)) == 1:
            return states[0], reason
        return ("degraded" if {"healthy", "degraded"} & set(states) else "down"), reason

    def say(self, text: str) -> None:
        """Leave a line of the runtime's own among the application's."""
        self._house.logbook.write(self.label, "run", text)

    async def open(self, *, patience_seconds: float) -> None:
        """Log in and start every copy; does not wait until they are ready. Raises `NotHealthyError`, and
        `SecretsRefusedError` where OpenBao does not let it in."""
        if reason := self._missing_file():
            raise NotHealthyError("unusable_release", reason)
        for name in ("home", "tmp", "run"):
            (self.slot / name).mkdir(mode=0o700, exist_ok=True)
        if self.release.runtime.static is not None:
            return
        self._login = await self._log_in(patience_seconds)
        self._work.append(asyncio.create_task(self._login.keep(lambda: self._replace(self))))
        self._copies = [self._copy(number) for number in range(self.mark.copies)]
        for copy in self._copies:
            copy.start()
            self._work.append(asyncio.create_task(self._listen(copy)))
        self.say(f"starting {self.release.deployment_id}")

    async def ready(self, within_seconds: float) -> int:
        """Wait until it is healthy; answers how often it had ended by then. Raises `NotHealthyError`."""
        try:
            async with asyncio.timeout(within_seconds):
                while self.state[0] != "healthy":
                    if self.crashes >= _CRASHES:
                        raise NotHealthyError("crashed", f"the release ends as soon as it is started: {self.state[1]}")
                    self.changed.clear()
                    await self.changed.wait()
            return self.crashes
        except TimeoutError:
            reason = self.state[1] or "it says nothing of its health"
            raise NotHealthyError("not_healthy", f"not ready after {within_seconds:g} s: {reason}") from None

    async def stop(self) -> None:
        """End every process, then give the login back."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await asyncio.gather(*(copy.stop() for copy in self._copies))
        await self._login.give_back()

    def _copy(self, number: int) -> Copy:
        runtime = self.release.runtime
        heartbeat = self.slot / "run" / f"{self.release.deployment_id}.{number}"

        def environment(port: int | None) -> dict[str, str]:
            return variables(
                runtime,
                slot=self.slot,
                environment=self.mark.environment,
                commit=self.release.commit,
                url=self._house.url,
                port=port,
                heartbeat_file=heartbeat,
                grace_seconds=self._house.patience.grace_seconds,
                secrets=self._login.environment,
            )

        plan = Plan(runtime, self.directory, heartbeat, environment, self.mark.memory_mib)
        return Copy(
            plan,
            self._house.patience,
            self._house.http,
            write=self._print,
            say=self.say,
            moved=lambda: self._moved(self),
        )

    def _print(self, stream: Literal["out", "err"], text: str) -> None:
        values: list[SecretStr] = [self._login.environment[name] for name in self._login.environment if _hides(name)]
        self._house.logbook.write(self.label, stream, text, [value.get_secret_value() for value in values])

    async def _log_in(self, patience_seconds: float) -> Login:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_seconds
        while True:
            try:
                return await self._house.logins.log_in(self.mark.environment, with_database=self.release.with_database)
            except SecretsAwayError as error:
                if loop.time() > deadline:
                    raise NotHealthyError("secrets_away", f"its secrets cannot be read: {error}") from error
            await asyncio.sleep(_SECRETS_PAUSE_SECONDS)

    async def _listen(self, copy: Copy) -> None:
        while True:
            await copy.changed.wait()
            copy.changed.clear()
            self.changed.set()

    def _missing_file(self) -> str:
        static = self.release.runtime.static
        if static is not None and not (self.directory / static.directory / "index.html").is_file():
            return f"the release has no {static.directory}/index.html: was it built?"
        return "" if self.directory.is_dir() else "the release's files are gone"


def _hides(name: str) -> bool:
    """Whether a variable's value is kept out of the log; an address or a port is no secret."""
    return name not in {"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGSSLMODE"}

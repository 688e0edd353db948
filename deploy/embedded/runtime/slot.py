"""An environment's place in the runtime: one release live, the next one beside it until it is ready, a few kept.

Invariants
- Requests go to the old release until the new one is ready, and come back to it where the new one ends right after the
  switch. A deployment that fails leaves everything as it was. Where the new one keeps ending soon afterwards, the old
  one is rolled back to, as a deployment of its own.
- One deployment at a time, and the newest wins: one that is overtaken before its switch ends as `superseded`.
- A deployment's id is one deployment: told again, it is answered and not done again.
"""

import asyncio
import contextlib
import hashlib
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog

from contracts.deployments import DeploymentOutcome, ReleaseView, Rollback, RunningState, SlotView
from deploy.embedded.runtime.application import COMMIT_DIGITS, Application, House, NotHealthyError
from deploy.embedded.runtime.failures import attempted
from deploy.embedded.runtime.ingress import Ingress, IngressError, Pointers
from deploy.embedded.runtime.minding import keeps_ending
from deploy.embedded.runtime.records import KeptRelease, Mark, Record, load, save
from deploy.embedded.runtime.stage import Stage
from deploy.embedded.runtime.turns import Turn
from deploy.embedded.runtime.unpacking import unpack_release
from deploy.embedded.runtime.vault import SecretsRefusedError

_log = structlog.get_logger(__name__)
SHOWN_LINES: Final = 20
_PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Between attempts to bring something back; the last one again and again."""
_SECRETS_PATIENCE_SECONDS: Final = 10.0
_WATCH_INTERVAL_SECONDS: Final = 0.05
_NOT_NOW = (NotHealthyError, SecretsRefusedError, IngressError)
_Attempt = Callable[[Turn], Awaitable[None]]


class NoSuchReleaseError(Exception):
    """There is no release to go back to."""


@dataclass(frozen=True)
class Times:
    """How long a deployment takes its parts, and how many releases are kept."""

    healthy_within_seconds: float
    watch_seconds: float
    mind_seconds: float
    drain_seconds: float
    kept_releases: int


class Slot:
    """One life of one environment."""

    def __init__(
        self,
        directory: Path,
        mark: Mark,
        *,
        house: House,
        ingress: Ingress,
        pointers: Pointers,
        times: Times,
        tell: Callable[["Slot"], None],
        tell_of: Callable[["Slot", DeploymentOutcome], None],
    ) -> None:
        """`tell` hears when the application's state may have changed, `tell_of` when a release was gone back from."""
        self.directory = directory
        self.mark = mark
        self.logbook = house.logbook
        self._house = house
        self._times = times
        self._tell_of = tell_of
        self._record = load(directory)
        self._stage = Stage(directory, mark.environment, ingress, pointers, lambda: tell(self))
        self._one_deployment = asyncio.Lock()
        self._turn = Turn()
        self._under_way: dict[str, asyncio.Task[DeploymentOutcome]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    # -- what is asked of it

    async def deploy(self, release: KeptRelease, archive: Path) -> DeploymentOutcome:
        """Make what is in the archive live. The archive is the slot's to remove."""

        async def attempt(turn: Turn) -> None:
            fresh = await turn.unless_overtaken(unpack_release(archive, self.directory, release.deployment_id))
            before = self._record.release(self._record.live)
            try:
                await self._bring_up(turn, release)
            except BaseException:
                await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
                raise
            if before is not None:
                self.begin(self._mind(release, before))

        try:
            return await self._once(release.deployment_id, release.author, release, attempt)
        finally:
            await asyncio.to_thread(archive.unlink, missing_ok=True)

    async def roll_back(self, rollback: Rollback) -> DeploymentOutcome:
        """Make a kept release live again. Raises `NoSuchReleaseError`."""
        known = self._record.outcome(rollback.deployment_id)
        release = self._record.to_go_back_to(rollback.to)
        if known is not None:
            return known
        if release is None:
            kept = ", ".join(one.commit[:12] for one in self._record.releases) or "none"
            raise NoSuchReleaseError(f"There is no such release to go back to. Kept are: {kept}.")

        async def attempt(turn: Turn) -> None:
            await self._bring_up(turn, release)

        return await self._once(rollback.deployment_id, rollback.author, release, attempt)

    async def restart(self) -> bool:
        """Start the live release anew, beside itself; whether there was one. Raises `NotHealthyError`,
        `SecretsRefusedError` and `IngressError`; then it runs on as it did."""
        async with self._one_deployment:
            live = self._stage.live
            if live is not None:
                await self._renew(live)
        return live is not None

    async def resume(self) -> None:
        """After a start of the runtime: bring what was live back, however long that takes."""
        release = self._record.release(self._record.live)
        if release is None:
            return
        self._stage.empty("unknown", "starting again")
        for pause_seconds in _for_ever(_PAUSES_SECONDS):
            async with self._one_deployment:
                if self._stage.live is not None or self._closing:
                    return
                application = self._application(release)
                try:
                    await application.open(patience_seconds=0)
                    await self._stage.show(application)
                    return
                except _NOT_NOW as error:
                    await application.stop()
                    self._stage.empty("down", f"cannot start again yet: {error}")
            await asyncio.sleep(pause_seconds)

    async def show_again(self) -> None:
        """The route was made anew. Raises `IngressError`."""
        if not self._one_deployment.locked():
            async with self._one_deployment:
                await self._stage.show_again()

    async def follow_labels(self, mark: Mark) -> None:
        """The environment's parameters may have changed: run as many copies, as large, as they say now."""
        before, self.mark = self.mark, mark
        if (before.copies, before.memory_mib) != (mark.copies, mark.memory_mib) and self._stage.live is not None:
            self.begin(self.restart())

    async def close(self) -> None:
        """End everything that runs here. Afterwards the slot may be taken away."""
        self._closing = True
        self._turn.overtake()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stage.close()

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something alongside, until the slot is closed."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    @property
    def state(self) -> tuple[RunningState, str]:
        """How the environment's application does, and why."""
        return self._stage.state

    def view(self) -> SlotView:
        """What to tell of it."""
        state, reason = self._stage.state
        live = self._record.release(self._record.live)
        return SlotView(
            environment=self.mark.environment,
            incarnation=self.mark.incarnation,
            state=state,
            reason=reason,
            since=self._stage.since,
            live=_shown(live) if live is not None else None,
            releases=tuple(_shown(release) for release in self._record.releases),
            copies=self._stage.copies,
            deployments=self._record.outcomes,
        )

    # -- how it does it

    async def _once(
        self, deployment_id: str, author: str, release: KeptRelease, attempt: _Attempt
    ) -> DeploymentOutcome:
        """The outcome of a deployment that is known, or under way, or begins now. It goes on where whoever asked is
        gone."""
        if (known := self._record.outcome(deployment_id)) is not None:
            return known
        task = self._under_way.get(deployment_id)
        if task is None:
            self._turn.overtake()
            turn = self._turn = Turn()
            if self._closing:
                turn.overtake()
            task = asyncio.create_task(self._carry_out(turn, deployment_id, author, release, attempt))
            self._under_way[deployment_id] = task
            task.add_done_callback(lambda _: self._under_way.pop(deployment_id, None))
        return await asyncio.shield(task)

    async def _carry_out(
        self, turn: Turn, deployment_id: str, author: str, release: KeptRelease, attempt: _Attempt
    ) -> DeploymentOutcome:
        begun, at = time.monotonic(), datetime.now(UTC)
        async with self._one_deployment:
            before = self._record.release(self._record.live)
            code, reason = await attempted(attempt(turn))
            lines = self.logbook.tail(SHOWN_LINES, release.commit[:COMMIT_DIGITS]) if code else []
            outcome = DeploymentOutcome(
                deployment_id=deployment_id,
                release_id=release.deployment_id,
                state="failed" if code else "succeeded",
                commit=release.commit,
                branch=release.branch,
                author=author,
                at=at,
                duration_seconds=round(time.monotonic() - begun, 3),
                previous=before.commit if before is not None else None,
                code=code,
                reason=reason,
                lines=tuple(line.text for line in lines if line.time >= at),
            )
            self._remember(self._record.with_outcome(outcome))
        _log.info("a deployment ended", environment=self.mark.environment, deployment=deployment_id, code=code or "ok")
        return outcome

    async def _bring_up(self, turn: Turn, release: KeptRelease) -> None:
        """Start a release beside the live one, switch to it when it is ready, watch it for a moment, and only then let
        go of the other. Raises where it does not work; then the other one is live as before."""
        old, remembered = self._stage.live, self._record
        fresh = self._application(release)
        try:
            await turn.unless_overtaken(fresh.open(patience_seconds=_SECRETS_PATIENCE_SECONDS))
            crashes = await turn.unless_overtaken(fresh.ready(self._times.healthy_within_seconds))
            await self._stage.show(fresh)
            self._remember(self._record.with_live(release, self._times.kept_releases))
            await self._watch(turn, fresh, crashes)
        except BaseException:
            if self._stage.live is fresh:
                self._remember(remembered.model_copy(update={"outcomes": self._record.outcomes}))
                if old is not None:
                    await self._stage.show(old)
                else:
                    self._stage.empty("down", "its first release ended right after the start")
            await fresh.stop()
            raise
        if old is not None:
            self.begin(self._retire(old))
        await self._forget_old_releases()

    async def _renew(self, live: Application) -> None:
        """Put a fresh start of the same release in the place of the live one."""
        if self._closing:
            return
        fresh = self._application(live.release)
        try:
            await fresh.open(patience_seconds=_SECRETS_PATIENCE_SECONDS)
            await fresh.ready(self._times.healthy_within_seconds)
            await self._stage.show(fresh)
        except BaseException:
            await fresh.stop()
            raise
        self.begin(self._retire(live))

    async def _watch(self, turn: Turn, fresh: Application, crashes: int) -> None:
        """Raise where it ends within its first moments as the live one. It had ended so often before it was ready."""
        deadline = time.monotonic() + self._times.watch_seconds
        while time.monotonic() < deadline and not turn.is_over:
            if fresh.crashes > crashes:
                raise NotHealthyError("crashed", f"the release ended right after the switch: {fresh.state[1]}")
            await asyncio.sleep(_WATCH_INTERVAL_SECONDS)

    async def _mind(self, release: KeptRelease, before: KeptRelease) -> None:
        """Go back to the release before where the new one keeps ending. The newest deployment wins over this."""

        def is_over() -> bool:
            return bool(self._under_way.keys() - {release.deployment_id}) or self._record.live != release.deployment_id

        if not await keeps_ending(lambda: self._stage.live, is_over, self._times.mind_seconds):
            return
        if self._stage.live is not None:
            self._stage.live.say(f"it keeps ending; going back to {before.commit[:12]}")
        identity = f"back-{hashlib.sha256(release.deployment_id.encode()).hexdigest()[:16]}"
        with contextlib.suppress(NoSuchReleaseError):  # it is not kept any more
            rollback = Rollback(deployment_id=identity, author=release.author, to=before.deployment_id)
            self._tell_of(self, await self.roll_back(rollback))

    async def _retire(self, old: Application) -> None:
        """Leave the requests that are under way to it, then end it."""
        try:
            await asyncio.sleep(self._times.drain_seconds)
        finally:
            await old.stop()

    def _application(self, release: KeptRelease) -> Application:
        self._stage.lock()
        return Application(
            release, self.directory, self.mark, self._house, moved=self._stage.moved, replace=self._replace
        )

    async def _replace(self, application: Application) -> None:
        """Its login cannot be kept: start it anew with another one, beside itself."""
        application.say("its login ends; starting again with a new one")
        self.begin(self._with_a_new_login(application))

    async def _with_a_new_login(self, application: Application) -> None:
        for pause_seconds in _for_ever(_PAUSES_SECONDS):
            async with self._one_deployment:
                if self._stage.live is not application:
                    return
                try:
                    await self._renew(application)
                    return
                except _NOT_NOW as error:
                    application.say(f"cannot start again with a new login yet: {error}")
            await asyncio.sleep(pause_seconds)

    async def _forget_old_releases(self) -> None:
        kept = {release.deployment_id for release in self._record.releases}
        for directory in (self.directory / "releases").iterdir():
            if directory.name not in kept:
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    def _remember(self, record: Record) -> None:
        self._record = record
        with contextlib.suppress(FileNotFoundError):  # the slot was just taken away, and its memory goes with it
            save(self.directory, record)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("work for a slot failed", environment=self.mark.environment, exc_info=error)


def _for_ever(pauses_seconds: tuple[float, ...]) -> Iterator[float]:
    yield from pauses_seconds
    while True:
        yield pauses_seconds[-1]


def _shown(release: KeptRelease) -> ReleaseView:
    return ReleaseView.model_validate(release.model_dump())

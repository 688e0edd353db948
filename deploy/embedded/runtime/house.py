"""The runtime as a whole: its slots, which come and go with the directories that the provisioner makes.

Invariant: a slot's directory is the word of the provisioner. Where it is gone, or another life's, what ran there is
ended; where there is one, what was live in it runs.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import httpx
import psutil
import structlog
from pydantic import SecretStr

from contracts.deployments import DeploymentOutcome
from deploy.embedded.runtime.application import House
from deploy.embedded.runtime.copies import Patience
from deploy.embedded.runtime.ingress import Ingress, IngressError, Pointers
from deploy.embedded.runtime.logbook import Logbook
from deploy.embedded.runtime.records import MARKER_FILE, Mark
from deploy.embedded.runtime.reporting import Reporter
from deploy.embedded.runtime.settings import RuntimeSettings
from deploy.embedded.runtime.slot import Slot, Times
from deploy.embedded.runtime.variables import SLOT_VARIABLE
from deploy.embedded.runtime.vault import Database, Logins, NoSecrets, OpenBaoLogins

_log = structlog.get_logger(__name__)
_LEFTOVERS_SECONDS: Final = 5.0
_Stamp = tuple[int, int]


class Runtime:
    """Every slot of one machine."""

    def __init__(self, settings: RuntimeSettings, logins: Logins, reporter: Reporter | None) -> None:
        self._settings = settings
        self._logins = logins
        self._reporter = reporter
        self._ingress = Ingress(settings.caddy_socket)
        self._http = httpx.AsyncClient(trust_env=False)
        self._slots: dict[str, Slot] = {}
        self._stamps: dict[str, _Stamp] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._work: list[asyncio.Task[None]] = []

    @classmethod
    def of(cls, settings: RuntimeSettings) -> "Runtime":
        """With a real OpenBao and a real gateway, as far as the settings name them."""
        logins: Logins = NoSecrets()
        if settings.openbao_url and settings.role_id_file and settings.secret_id_file:
            database = Database(settings.database_host, settings.database_port, settings.database_name)
            logins = OpenBaoLogins(settings.openbao_url, settings.role_id_file, settings.secret_id_file, database)
        reporter = None
        if settings.gateway_url and settings.webhook_secret_file:
            secret = SecretStr(settings.webhook_secret_file.read_text(encoding="ascii").strip())
            reporter = Reporter(settings.gateway_url, secret)
        return cls(settings, logins, reporter)

    async def start(self) -> None:
        """End what an earlier runtime left, take up every slot, and go on looking."""
        self._settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(end_leftovers, self._settings.data)
        await self.look()
        self._work = [asyncio.create_task(self._forever(self._settings.look_interval_seconds, self.look))]
        self._work.append(asyncio.create_task(self._forever(self._settings.mend_interval_seconds, self._mend_routes)))
        if self._reporter is not None:
            self._work.append(asyncio.create_task(self._reporter.run()))

    async def stop(self) -> None:
        """End every application and give every login back."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await asyncio.gather(*(slot.close() for slot in self._slots.values()), *self._ending)
        if isinstance(self._logins, OpenBaoLogins):
            await self._logins.close()
        if self._reporter is not None:
            await self._reporter.close()
        await self._http.aclose()

    async def slot(self, environment: str) -> Slot | None:
        """The slot of an environment, also one that was made just now."""
        if environment not in self._slots:
            await self.look()
        return self._slots.get(environment)

    async def look(self) -> None:
        """Take up new slots, and let go of those that are gone."""
        found = {name: stamp for name, stamp in _stamps(self._settings.data).items() if self._is_new(name, stamp)}
        gone = [name for name in self._slots if not (self._settings.data / name / MARKER_FILE).exists()]
        for name in gone:
            self._let_go(name)
        for name, stamp in found.items():
            mark = Mark.read(self._settings.data / name)
            if mark is None:
                continue
            self._stamps[name] = stamp
            known = self._slots.get(name)
            if known is not None and known.mark == mark:
                await known.follow_labels(mark)
                continue
            if known is not None:
                self._let_go(name)
            self._take_up(mark)

    def _is_new(self, name: str, stamp: _Stamp) -> bool:
        return self._stamps.get(name) != stamp

    def _take_up(self, mark: Mark) -> None:
        settings = self._settings
        directory = settings.data / mark.environment
        patience = Patience(
            settings.probe_interval_seconds,
            settings.restart_seconds,
            settings.grace_seconds,
            settings.healthy_within_seconds,
        )
        url = settings.url_template.replace("{name}", mark.environment)
        slot = Slot(
            directory,
            mark,
            house=House(self._http, self._logins, patience, Logbook(directory, settings.log_bytes), url),
            ingress=self._ingress,
            pointers=Pointers(settings.pointers, mark.environment, str(mark.incarnation)),
            times=Times(
                settings.healthy_within_seconds,
                settings.watch_seconds,
                settings.mind_seconds,
                settings.drain_seconds,
                settings.kept_releases,
            ),
            tell=self._tell,
            tell_of=self._tell_of,
        )
        self._slots[mark.environment] = slot
        slot.begin(slot.resume())

    def _let_go(self, name: str) -> None:
        slot = self._slots.pop(name)
        self._stamps.pop(name, None)
        if self._reporter is not None:
            self._reporter.forget(name)
        task = asyncio.create_task(slot.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _tell(self, slot: Slot) -> None:
        if self._reporter is not None:
            self._reporter.tell(slot.mark, *slot.state)

    def _tell_of(self, slot: Slot, went_back: DeploymentOutcome) -> None:
        if self._reporter is not None:
            self._reporter.tell_of(slot.mark, *slot.state, went_back)

    async def _mend_routes(self) -> None:
        try:
            for environment in await self._ingress.placeholders():
                if (slot := self._slots.get(environment)) is not None:
                    await slot.show_again()
        except IngressError as error:
            _log.warning("could not look at the ingress", error=str(error))

    async def _forever(self, interval_seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(interval_seconds)
            try:
                await work()
            except Exception:  # noqa: BLE001 - the next look is what mends it
                _log.exception("a look failed")


def _stamps(data: Path) -> dict[str, _Stamp]:
    """The slots that there are, each with what changes when its marker is written."""
    found: dict[str, _Stamp] = {}
    for entry in os.scandir(data):
        if entry.name.startswith("."):
            continue
        try:
            marker = (Path(entry.path) / MARKER_FILE).stat()
        except OSError:
            continue
        found[entry.name] = marker.st_ino, marker.st_mtime_ns
    return found


def end_leftovers(data: Path) -> None:
    """End what an earlier runtime's applications left: each process that carries one of our slots."""
    left = [process for process in psutil.process_iter() if _is_of(process, data)]
    for process in left:
        _kill(process)
    psutil.wait_procs(left, timeout=_LEFTOVERS_SECONDS)


def _is_of(process: psutil.Process, data: Path) -> bool:
    try:
        slot = process.environ().get(SLOT_VARIABLE, "")
    except (psutil.Error, OSError):
        return False  # gone meanwhile, or not ours to look at
    return slot.startswith(f"{data}{os.sep}")


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return  # it ended by itself, which is what we want

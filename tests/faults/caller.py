"""Somebody who asks the platform for things while it is being killed, and reads on the log how each run ends.

Invariant: as a careful client does, it asks again with the same key where there was no answer; so a request is made
once, whatever dies.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import nats.errors
import psycopg
from nats.js.errors import APIError
from pydantic import ValidationError

from chassis.bus import Bus
from chassis.failures import TransientError
from chassis.pulling import LogMessage
from contracts import subjects
from contracts.envelope import Event
from contracts.events import parse
from tests.faults.evidence import VERDICTS
from tests.faults.outside import Outside, connect, read_log
from tests.faults.platform import FaultPlatform
from tests.faults.points import Operation

API: Final = "/api/v1/environments"
METHODS: Final[Mapping[Operation, str]] = {"create": "POST", "update": "PATCH", "delete": "DELETE"}
ANSWER_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.1
_NOT_NOW: Final = frozenset({409, 429, 500, 502, 503, 504})


class Refused(Exception):  # noqa: N818 - the gateway's word for it
    """The gateway will not do it."""


@dataclass
class Caller:
    """One client of one platform, for one event loop."""

    on: FaultPlatform
    outside: Outside
    bus: Bus
    http: httpx.AsyncClient
    log: list[LogMessage] = field(default_factory=list)
    verdicts: dict[UUID, tuple[Event, float]] = field(default_factory=dict)
    """By run, how it ended and when that was seen (Unix time)."""

    @classmethod
    async def of(cls, on: FaultPlatform) -> "Caller":
        """With the platform's own token. Close it at the end."""
        bus = connect(on)
        await bus.connect()
        token = (on.home.keys / "admin.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        http = httpx.AsyncClient(base_url=on.ports.url("gateway"), headers=headers, timeout=10, trust_env=False)
        return cls(on, Outside(on), bus, http)

    async def close(self) -> None:
        """Disconnect."""
        await self.http.aclose()
        await self.bus.close()

    async def ask(self, operation: Operation, name: str, parameters: Mapping[str, Any] | None = None) -> UUID:
        """Ask for something; answers the run. Raises Refused, or TimeoutError without an answer."""
        path = API if operation == "create" else f"{API}/{name}"
        body: dict[str, Any] | None = {"parameters": dict(parameters)} if parameters else {}
        if operation == "create":
            body = {"name": name, "golden_path": "nodejs-api"} | (body or {})
        elif operation == "delete":
            body = None
        key = uuid4().hex
        answer: httpx.Response | None = None
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = await self.http.request(METHODS[operation], path, json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 202:
                return UUID(answer.json()["run"]["id"])
            if answer is not None and answer.status_code not in _NOT_NOW:
                raise Refused(f"{operation} {name}: {answer.status_code} {answer.text[:300]}")
            if answer is not None and answer.status_code == 409:
                key = uuid4().hex  # what was refused stays refused; asked anew, it may be possible by now
            await asyncio.sleep(_POLL_SECONDS)
        said = f"{answer.status_code} {answer.text[:300]}" if answer is not None else "nothing"
        raise TimeoutError(f"{operation} {name}: no answer in {ANSWER_SECONDS:.0f} s; the last was {said}")

    async def follow(self) -> None:
        """Read the log on until cancelled, whatever happens to the bus."""
        while True:
            with suppress(TransientError):  # the bus is away
                await self.read_on()
            await asyncio.sleep(_POLL_SECONDS)

    async def read_on(self) -> None:
        """Read what has come since."""
        new = await read_log(self.bus, len(self.log))
        self.log += new
        for message in new:
            event = _event(message)
            if isinstance(event, VERDICTS):
                self.verdicts.setdefault(event.run_id, (event, time.time()))

    def events(self, name: str) -> list[Event]:
        """The believable events of one environment that were read so far."""
        prefix = subjects.every_event_of(name).removesuffix(">").encode()
        return [one for message in self.log if message.subject.startswith(prefix) and (one := _event(message))]

    async def verdict(self, run_id: UUID, *, until: float) -> tuple[Event, float] | None:
        """How a run ended, and when; None where it has not at `until` (Unix time)."""
        while time.time() < until:
            if (found := self.verdicts.get(run_id)) is not None:
                return found
            await asyncio.sleep(_POLL_SECONDS)
        return self.verdicts.get(run_id)

    async def settled(self, names: Sequence[str], *, within_seconds: float) -> bool:
        """Wait until everything was delivered and acknowledged, and every request is confirmed; False where that
        takes longer."""
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            try:
                infos = await self.bus.jetstream.consumers_info(subjects.ENVIRONMENTS)
                waiting = sum((info.num_pending or 0) + (info.num_ack_pending or 0) for info in infos)
                pending = set(await asyncio.to_thread(self.outside.pending_requests)) & set(names)
            except (nats.errors.Error, APIError, psycopg.OperationalError, TimeoutError):
                waiting, pending = 1, set()  # something is still on its way up
            if not waiting and not pending:
                return True
            await asyncio.sleep(0.25)
        return False


def _event(message: LogMessage) -> Event | None:
    try:
        return parse(message.body)
    except ValidationError:
        return None  # the evidence will have it

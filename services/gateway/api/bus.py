"""The same requests from other company systems, over the bus (request/reply on `request.gateway.*`).

The message's headers are HTTP's: `Authorization`, `Idempotency-Key`. The reply's body is the body that HTTP would give;
its headers are `Slipway-Status`, `Content-Type` and `Slipway-Trace-Id`. The checks, their order and the deeds are those
of HTTP: same gate, same limits, same handlers, same problems.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from chassis import tracing
from chassis.bus import Bus
from contracts import subjects
from services.gateway.api import limits, problems
from services.gateway.api.answers import EnvironmentAnswer
from services.gateway.api.auth import Gate, Policy
from services.gateway.api.routing import TRACE_HEADER, linked_span
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import BrokenRule, InvalidError, UnauthenticatedError

_log = structlog.get_logger(__name__)

STATUS_HEADER: Final = "Slipway-Status"
QUEUE: Final = "gateway"
INBOXES: Final = "_INBOX."
"""Where replies go: no stream keeps what is published there."""
AT_ONCE: Final = 100
"""How many requests of the bus are answered at once; others wait their turn."""
_KEY: Final = re.compile(limits.KEY_PATTERN)

B = TypeVar("B", bound=BaseModel)


class Message(Protocol):
    """What arrives: a subject, bytes and headers, and a place for the reply."""

    @property
    def subject(self) -> str: ...
    @property
    def reply(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def headers(self) -> dict[str, str] | None: ...


@dataclass(frozen=True)
class BusRequest(Generic[B]):
    """One row of the table of requests: what it takes, who may send it, and what is done."""

    name: str
    policy: Policy
    body: type[B]
    deed: Callable[[Principal, B, str | None], Awaitable[BaseModel]]
    status: int = 200


@dataclass
class BusRequests:
    """Answers requests on the bus."""

    bus: Bus
    gate: Gate
    rows: Sequence[BusRequest[Any]]
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def listen(self) -> None:
        """Answer from now on, sharing the work with other replicas."""
        for row in self.rows:
            await self.bus.listen(subjects.request(row.name), self._receiving(row), queue=QUEUE)

    async def drain(self) -> None:
        """Finish what is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=5)

    def _receiving(self, row: BusRequest[Any]) -> Callable[[Message], Awaitable[None]]:
        async def receive(message: Message) -> None:
            # The client calls back one message at a time: one that waits must not hold up the next one.
            await self._slots.acquire()
            task = asyncio.create_task(self._reply(row, message))
            self._under_way.add(task)
            task.add_done_callback(self._finished)

        return receive

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()):
            _log.warning("could not reply to a request", error_type=type(error).__name__, error=str(error))

    async def _reply(self, row: BusRequest[Any], message: Message) -> None:
        # Nobody waits, or it is sent to where we may publish and who asks may not: a stream of the platform's. And what
        # nobody can be told the fate of is not begun.
        if not message.reply.startswith(INBOXES):
            _log.warning("a request on the bus has no inbox to answer to", request=row.name)
            return
        headers = {name.lower(): value for name, value in (message.headers or {}).items()}
        with linked_span(
            f"request {row.name}",
            headers.get("traceparent"),
            {"messaging.system": "nats", "messaging.destination.name": message.subject},
        ) as span:
            status, media_type, body = await self._answer(row, message, headers)
            span.set_attribute("slipway.status", status)
            answered = {STATUS_HEADER: str(status), "Content-Type": media_type}
            if trace_id := tracing.trace_id():
                answered[TRACE_HEADER] = trace_id
            await self.bus.client.publish(message.reply, body, headers=answered)

    async def _answer(self, row: BusRequest[Any], message: Message, headers: dict[str, str]) -> tuple[int, str, bytes]:
        try:
            authorization = [headers["authorization"]] if "authorization" in headers else []
            principal = await self.gate.admit(row.policy, authorization, "bus")
            if principal is None:
                raise UnauthenticatedError("Requests on the bus take a token.")
            if headers.get("content-type") is not None or headers.get("content-encoding") is not None:
                limits.check_type(headers.get("content-type"), headers.get("content-encoding"))
            key = headers.get("idempotency-key")
            if key is not None and not _KEY.fullmatch(key):
                raise InvalidError([BrokenRule("Idempotency-Key", "must be 1 to 255 visible ASCII characters")])
            answer = await row.deed(principal, _body(row, message.data), key)
        except Exception as error:  # noqa: BLE001 - whoever asks gets an answer, whatever went wrong here
            refused = problems.of(error, message.subject)
            _log.info("a request on the bus was refused", request=row.name, status=refused.problem.status)
            return refused.problem.status, problems.MEDIA_TYPE, refused.body
        # As over HTTP: who asks for what is there already is shown it.
        status = 200 if isinstance(answer, EnvironmentAnswer) else row.status
        _log.info("a request on the bus was answered", request=row.name, status=status, person=principal.person)
        return status, "application/json", answer.model_dump_json().encode()


def _body(row: BusRequest[B], data: bytes) -> B:
    try:
        return row.body.model_validate(limits.parse_json(data))
    except ValidationError as error:
        raise InvalidError(problems.broken_rules(error.errors(include_url=False))) from error

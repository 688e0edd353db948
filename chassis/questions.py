"""Questions and answers over the bus (request/reply), typed by `contracts.queries`. An answer carries either what was
asked for or the reason why not; a question nobody answers is a transient error."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from nats.aio.msg import Msg
from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from chassis import tracing
from chassis.bus import Bus
from chassis.failures import PermanentError, TransientError
from contracts import subjects
from contracts.envelope import Value
from contracts.queries import Query, Refused

_log = structlog.get_logger(__name__)

A = TypeVar("A", bound=Value)

REFUSED_HEADER = "Slipway-Refused"


async def ask(bus: Bus, question: Query[A], answer: type[A], *, timeout_seconds: float = 5.0) -> A:
    """The answer. Raises `TransientError` where whoever answers is away and `PermanentError` where it refuses."""
    reply = await bus.ask(
        subjects.query(question.name, question.service),
        question.model_dump_json().encode(),
        timeout_seconds=timeout_seconds,
    )
    if reply.headers and REFUSED_HEADER in reply.headers:
        refused = Refused.model_validate_json(reply.data)
        if reply.headers[REFUSED_HEADER] == "transient":
            raise TransientError(refused.error)
        raise PermanentError("refused", refused.error, next_step="Report this: it is a fault of the platform.")
    return answer.model_validate_json(reply.data)


async def answer_all(
    bus: Bus, service: str, answers: dict[type[Query[Any]], Callable[[Any], Awaitable[Value]]]
) -> None:
    """Answer each kind of question from now on, sharing the work with other replicas."""
    for kind, handler in answers.items():
        await bus.listen(
            subjects.query(kind.name, kind.service), _answering(bus, kind, handler, service), queue=service
        )


def _answering(
    bus: Bus, kind: type[Query[Any]], handler: Callable[[Any], Awaitable[Value]], service: str
) -> Callable[[Msg], Awaitable[None]]:
    async def answer(message: Msg) -> None:
        parent = message.headers.get("traceparent") if message.headers else None
        with tracing.span(f"{service} answer {kind.name}", kind=SpanKind.SERVER, parent=parent):
            try:
                found = await handler(kind.model_validate_json(message.data))
            except ValidationError as error:
                await _refuse(bus, message, "permanent", f"not a question of this kind: {error.error_count()} errors")
            except PermanentError as error:
                # These two are words for the person who asks.
                await _refuse(bus, message, "permanent", f"{error} {error.next_step}")
            except TransientError as error:
                await _refuse(bus, message, "transient", str(error))
            except Exception as error:  # noqa: BLE001 - the asker must get an answer, whatever went wrong here
                _log.warning("could not answer", question=kind.name, error_type=type(error).__name__, exc_info=True)
                await _refuse(bus, message, "transient", "this cannot be answered at the moment")
            else:
                await message.respond(found.model_dump_json().encode())

    under_way: set[asyncio.Task[None]] = set()

    async def receive(message: Msg) -> None:
        # nats-py calls back one message at a time: a question that waits must not hold up the next one.
        task = asyncio.create_task(answer(message))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    return receive


async def _refuse(bus: Bus, message: Msg, kind: str, reason: str) -> None:
    await bus.client.publish(
        message.reply, Refused(error=reason).model_dump_json().encode(), headers={REFUSED_HEADER: kind}
    )

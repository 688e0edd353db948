"""Questions and their answers over one inbox: what nearly everything on the bus consists of, so it costs little.

nats-py's own requests make a random token, a closure and a waiter for each, and JetStream's calls on top of them take
every answer apart that nobody looks at.
"""

import asyncio
from itertools import count
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

_NO_RESPONDERS: Final = "503"


class Requests:
    """Asks, and knows each answer by the subject on which it comes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._numbers = count()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}

    async def listen(self) -> None:
        """Hear answers from now on. Call once."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._answered)

    async def ask(self, subject: str, body: bytes, *, timeout_seconds: float, headers: dict[str, str] | None) -> Msg:
        """The first answer. Raises TimeoutError, `NoRespondersError`, or what nats-py raises where it cannot send."""
        loop = asyncio.get_running_loop()
        reply = f"{self._inbox}.{next(self._numbers)}"
        answer: asyncio.Future[Msg] = loop.create_future()
        self._waiting[reply] = answer
        timer = loop.call_later(timeout_seconds, _give_up, answer)
        try:
            await self._client.publish(subject, body, reply=reply, headers=headers)
            return await answer
        finally:
            timer.cancel()
            del self._waiting[reply]

    async def _answered(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject)
        if answer is None or answer.done():
            return
        if not message.data and (message.headers or {}).get("Status") == _NO_RESPONDERS:
            answer.set_exception(nats.errors.NoRespondersError())
        else:
            answer.set_result(message)


def _give_up(answer: asyncio.Future[Msg]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())

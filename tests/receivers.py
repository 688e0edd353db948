"""A receiver of webhooks: a real HTTP server on the loopback that keeps what it gets and answers what it is told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from standardwebhooks.webhooks import Webhook as Verifier

Answer = Callable[["Received"], Awaitable[bytes]]


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An HTTP answer."""
    named = {"Content-Length": str(len(body)), "Connection": "close", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


NO_CONTENT: Final = answer(204)


@dataclass(frozen=True)
class Received:
    """One request."""

    line: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str) -> dict[str, Any]:
        """The event, as a receiver that was given this secret takes it. Raises where it is not genuine."""
        event: dict[str, Any] = Verifier(secret).verify(self.body, self.headers)
        return event


@dataclass
class Receiver:
    """What it got, and what it answers: `answers` one after the other, then 204."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answers: list[bytes | Answer] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        """Where it listens, without TLS."""
        return f"http://127.0.0.1:{self.port}/hook?token=t"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request."""
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *named = head.rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in named)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            got = Received(line, headers, body)
            self.received.append(got)
            following = self.answers.pop(0) if self.answers else NO_CONTENT
            writer.write(following if isinstance(following, bytes) else await following(got))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return  # the caller has gone: nobody is to be answered
        finally:
            writer.close()


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver that listens until the end of this block."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()

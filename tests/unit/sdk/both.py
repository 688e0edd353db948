"""Both clients on the gateway's twins, called the same way; and a wire between them that can be told to break."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import anyio
import anyio.from_thread
import httpx

from slipway.client import AsyncClient, Client
from tests.unit.gateway.rig import Rig

Which = Literal["sync", "async"]
Trouble = httpx.Response | Exception
"""What happens to a request: a response comes instead of its effect, an exception after it."""


class _Broken(httpx.AsyncByteStream):
    """A body of which the connection breaks after `length` bytes."""

    def __init__(self, body: bytes, length: int) -> None:
        self._body, self._length = body, length

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body[: self._length]
        if self._length < len(self._body):
            raise httpx.ReadError("the connection broke")


@dataclass
class Wire(httpx.AsyncBaseTransport):
    """The way to the application, in this process."""

    app: Any
    trouble: Mapping[int, Trouble] = field(default_factory=dict)
    """By the number of the request, from 1; under 0 what happens to all others."""
    breaks_after: list[int] = field(default_factory=list)
    """After how many bytes each of the first streams breaks."""
    requests: list[httpx.Request] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        outcome = self.trouble.get(len(self.requests), self.trouble.get(0))
        if isinstance(outcome, httpx.Response):
            return outcome
        response = await httpx.ASGITransport(self.app, raise_app_exceptions=False).handle_async_request(request)
        if isinstance(outcome, Exception):
            raise outcome
        body = await response.aread()
        is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        body = body.replace(b"retry: 1000", b"retry: 1")  # whoever tests need not wait
        length = self.breaks_after.pop(0) if is_stream and self.breaks_after else len(body)
        return httpx.Response(response.status_code, headers=response.headers, stream=_Broken(body, length))


class _FromThread(httpx.BaseTransport):
    """The same wire for a client that blocks a thread of its own."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return anyio.from_thread.run(self._ask, request)

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        answer = await self._wire.handle_async_request(
            httpx.Request(request.method, request.url, headers=request.headers, content=request.content)
        )
        parts: list[bytes | Exception] = []
        if not isinstance(answer.stream, _Broken):
            return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())
        try:
            async for part in answer.stream:
                parts.append(part)  # noqa: PERF401 - what came before it broke counts
        except httpx.ReadError as error:
            parts.append(error)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=_Parts(parts))


class _Parts(httpx.SyncByteStream):
    def __init__(self, parts: list[bytes | Exception]) -> None:
        self._parts = parts

    def __iter__(self) -> Any:
        for part in self._parts:
            if isinstance(part, Exception):
                raise part
            yield part


@dataclass
class Caller:
    """Calls a method of either client."""

    client: Client | AsyncClient
    wire: Wire

    async def __call__(self, method: str, *arguments: Any, **more: Any) -> Any:
        call = partial(getattr(self.client, method), *arguments, **more)
        return await anyio.to_thread.run_sync(call) if isinstance(self.client, Client) else await call()

    async def all(self, method: str, *arguments: Any, **more: Any) -> list[Any]:
        """Everything that an iterator gives."""
        call = partial(getattr(self.client, method), *arguments, **more)
        if isinstance(self.client, Client):
            return await anyio.to_thread.run_sync(lambda: list(call()))
        return [item async for item in call()]


@asynccontextmanager
async def calling(which: Which, rig: Rig, token: str | None = None, **more: Any) -> AsyncIterator[Caller]:
    """A client for somebody of payments, or with this token."""
    wire = Wire(rig.app, **more)
    shown = await rig.token() if token is None else token
    if which == "sync":
        with Client("http://slipway.test", shown, transport=_FromThread(wire)) as client:
            yield Caller(client, wire)
    else:
        async with AsyncClient("http://slipway.test", shown, transport=wire) as other:
            yield Caller(other, wire)

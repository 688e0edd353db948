"""What a supervisor and a monitoring system ask of a process: `/livez` (is it alive: answers from the event loop
itself), `/readyz` (may it be given work: every dependency answers), `/metrics` (Prometheus)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chassis.metrics import READY

Check = Callable[[], Awaitable[None]]
"""Raises where a dependency cannot be used. Built where the dependency is built."""

CHECK_TIMEOUT_SECONDS = 3.0


def app(service: str, checks: Mapping[str, Check]) -> Starlette:
    """The three routes for a process with these dependencies."""

    async def livez(_: Request) -> Response:
        return JSONResponse({"service": service, "status": "alive"})

    async def readyz(_: Request) -> Response:
        names = list(checks)
        results = await asyncio.gather(*(_ask(checks[name]) for name in names))
        failed = {name: reason for name, reason in zip(names, results, strict=True) if reason}
        READY.labels(service).set(not failed)
        body = {"service": service, "status": "not ready" if failed else "ready", "failed": failed, "checked": names}
        return JSONResponse(body, status_code=503 if failed else 200)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])


async def _ask(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever a check raises is the answer
        return str(error) or type(error).__name__
    return None


class EmbeddedServer(uvicorn.Server):
    """uvicorn within a process that handles signals itself."""

    def __init__(
        self, application: Callable[..., Awaitable[None]] | Starlette, port: int, host: str = "127.0.0.1"
    ) -> None:
        config = uvicorn.Config(
            application,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        super().__init__(config)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to `chassis.service`."""
        yield

    async def run_until_cancelled(self) -> None:
        """Serve; on cancellation finish open requests for a moment."""
        serving = asyncio.create_task(self.serve())
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self.should_exit = True
            await serving
            raise

"""The runtime's HTTP API, for the gateway on this machine alone: one bearer token, one tar archive, a few questions."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar
from uuid import uuid4

import anyio
from pydantic import BaseModel, SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from contracts.deployments import MAX_RELEASE_BYTES, RELEASE_HEADER, ReleaseOrder, Rollback
from deploy.embedded.runtime.application import NotHealthyError
from deploy.embedded.runtime.house import Runtime
from deploy.embedded.runtime.ingress import IngressError
from deploy.embedded.runtime.records import KeptRelease
from deploy.embedded.runtime.settings import RuntimeSettings
from deploy.embedded.runtime.slot import NoSuchReleaseError, Slot
from deploy.embedded.runtime.vault import SecretsRefusedError
from deploy.embedded.web.guard import guards

_MOST_LINES: Final = 5000
M = TypeVar("M", bound=BaseModel)
_Endpoint = Callable[[Request], Awaitable[Response]]


class TokenFileError(RuntimeError):
    """The token file is missing or empty."""


def create_app(settings: RuntimeSettings) -> Starlette:
    """The application over the slots of `settings.data`. Raises TokenFileError."""
    token = _token(settings.token_file)
    runtime = Runtime.of(settings)
    endpoints = _Endpoints(runtime)

    def guarded(endpoint: _Endpoint) -> _Endpoint:
        async def answer(request: Request) -> Response:
            shown = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(shown.encode(), token.get_secret_value().encode()):
                raise HTTPException(401, "Show the runtime's token: it is in the platform's keys.")
            return await endpoint(request)

        return answer

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await runtime.start()
        try:
            yield
        finally:
            await runtime.stop()

    slot = "/slots/{name}"
    return Starlette(
        routes=[
            Route("/readyz", _ready),
            Route(f"{slot}/releases/{{deployment}}", guarded(endpoints.deploy), methods=["PUT"]),
            Route(f"{slot}/logs", guarded(endpoints.logs)),
            Route(f"{slot}:rollback", guarded(endpoints.roll_back), methods=["POST"]),
            Route(f"{slot}:restart", guarded(endpoints.restart), methods=["POST"]),
            Route(slot, guarded(endpoints.look)),
        ],
        middleware=guards(hosts=settings.hosts, body_limit_bytes=MAX_RELEASE_BYTES),
        exception_handlers={HTTPException: _refused},
        lifespan=lifespan,
    )


class _Endpoints:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def deploy(self, request: Request) -> Response:
        """Take a release, make it live, answer what came of it."""
        slot = await self._slot(request)
        order = _parsed(ReleaseOrder, request.headers.get(RELEASE_HEADER, ""))
        if order.deployment_id != request.path_params["deployment"]:
            raise HTTPException(422, "The address and the order name different deployments.")
        archive = slot.directory / f".incoming-{uuid4().hex}"
        try:
            digest, size = await _receive(request, archive)
            release = KeptRelease(**order.model_dump(), received_at=datetime.now(UTC), sha256=digest, size_bytes=size)
            return _document(await slot.deploy(release, archive))
        finally:
            archive.unlink(missing_ok=True)

    async def roll_back(self, request: Request) -> Response:
        """Make a kept release live again."""
        slot = await self._slot(request)
        rollback = _parsed(Rollback, (await request.body()).decode(errors="replace"))
        try:
            return _document(await slot.roll_back(rollback))
        except NoSuchReleaseError as error:
            raise HTTPException(409, str(error)) from error

    async def restart(self, request: Request) -> Response:
        """Start the live release anew, without an interruption."""
        slot = await self._slot(request)
        try:
            if not await slot.restart():
                raise HTTPException(409, "Nothing is deployed there.")
        except (NotHealthyError, SecretsRefusedError, IngressError) as error:
            raise HTTPException(409, f"It runs on as it did: {error}") from error
        return _document(slot.view())

    async def look(self, request: Request) -> Response:
        """What runs there."""
        return _document((await self._slot(request)).view())

    async def logs(self, request: Request) -> Response:
        """What the application printed, a JSON object a line; with `follow` for as long as one listens."""
        slot = await self._slot(request)
        text = request.query_params.get("lines", "100")
        lines = min(int(text), _MOST_LINES) if text.isascii() and text.isdigit() and len(text) < 9 else 100
        follow = request.query_params.get("follow") == "true"
        return StreamingResponse(_lines(slot, lines, follow=follow), media_type="application/x-ndjson")

    async def _slot(self, request: Request) -> Slot:
        slot = await self._runtime.slot(request.path_params["name"])
        if slot is None:
            raise HTTPException(404, "There is no such slot.")
        return slot


async def _lines(slot: Slot, lines: int, *, follow: bool) -> AsyncIterator[bytes]:
    if not follow:
        for line in slot.logbook.tail(lines):
            yield line.model_dump_json().encode() + b"\n"
        return
    async for line in slot.logbook.follow(lines):
        yield line.model_dump_json().encode() + b"\n"


async def _receive(request: Request, archive: Path) -> tuple[str, int]:
    """Write the body as it comes; its SHA-256 and its size."""
    digest, size = hashlib.sha256(), 0
    async with await anyio.open_file(archive, "xb") as file:
        async for chunk in request.stream():
            digest.update(chunk)
            size += len(chunk)
            await file.write(chunk)
    return digest.hexdigest(), size


def _parsed(model: type[M], text: str) -> M:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        wrong = ", ".join(".".join(str(step) for step in one["loc"]) for one in error.errors())
        raise HTTPException(422, f"This is no {model.__name__}: {wrong}") from error


def _document(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json")


async def _ready(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _refused(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"detail": error.detail}, error.status_code)


def _token(path: Path) -> SecretStr:
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise TokenFileError(f"cannot read the token file {path}") from error
    if not token:
        raise TokenFileError(f"the token file {path} is empty")
    return SecretStr(token)

"""Git's smart HTTP protocol (gitprotocol-http), by `git http-backend` (CGI, RFC 3875), streamed both ways.

Invariant: when a client hears that its push succeeded, the push is recorded. Only the four addresses of the smart
protocol reach Git; its path is made from the repository's number, its query from a fixed pair of words.
"""

import asyncio
import re
from contextlib import ExitStack
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, QueryParams
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from structlog import get_logger

from deploy.embedded.forge.accounts import RANK, Principal
from deploy.embedded.forge.git import Git
from deploy.embedded.forge.pushes import Pushes
from deploy.embedded.forge.records import Repositories, Repository
from deploy.embedded.forge.settings import ForgeSettings

_log = get_logger(__name__)
_UPLOAD: Final = "git-upload-pack"
_RECEIVE: Final = "git-receive-pack"
_PROTOCOL: Final = re.compile(r"version=[012]")
_CHUNK_BYTES: Final = 64 * 1024
_HEADERS_LIMIT_BYTES: Final = 16 * 1024


class SmartHttp:
    """An ASGI application for `/{owner}/{repo}/info/refs`, `/git-upload-pack` and `/git-receive-pack`."""

    def __init__(self, settings: ForgeSettings, git: Git, repositories: Repositories, pushes: Pushes) -> None:
        self._settings = settings
        self._git = git
        self._repositories = repositories
        self._pushes = pushes
        self._turns = asyncio.Semaphore(settings.git_processes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of a Git client."""
        action = str(scope["path"]).rsplit("/", 1)[1]
        service = QueryParams(scope["query_string"]).get("service", "") if action == "refs" else action
        refusal, repository = await run_in_threadpool(self._admit, scope, service)
        if repository is None:
            await refusal(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdigit() or len(length) > 15 or int(length) > self._settings.pack_limit_bytes:
            await PlainTextResponse("The pack is too large.\n", 413)(scope, receive, send)
            return
        async with self._turns:
            await self._serve(scope, receive, send, service=service, action=action, repository=repository)

    def _admit(self, scope: Scope, service: str) -> tuple[Response, Repository | None]:
        """The repository when the caller may do this to it; else what to answer."""
        parameters = scope["path_params"]
        principal: Principal = scope["state"]["principal"]
        name = str(parameters["repo"]).removesuffix(".git")
        missing = PlainTextResponse("Repository not found.\n", 404)
        repository = self._repositories.by_name(str(parameters["owner"]), name)
        if repository is None:
            return missing, None
        role = RANK[self._repositories.role(principal, repository)]
        if role < RANK["read"]:
            return missing, None
        if service not in (_UPLOAD, _RECEIVE):
            return PlainTextResponse("Only Git's smart protocol is served here.\n", 403), None
        if service == _RECEIVE and repository.archived:
            return PlainTextResponse("This repository was archived so it is read-only.\n", 403), None
        if service == _RECEIVE and role < RANK["write"]:
            denied = f"Write access to {repository.full_name} is not granted to your token.\n"
            return PlainTextResponse(denied, 403), None
        return missing, repository

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, *, service: str, action: str, repository: Repository
    ) -> None:
        principal: Principal = scope["state"]["principal"]
        with ExitStack() as stack:
            environment = self._environment(scope, service, action, repository)
            if action == _RECEIVE:
                environment |= stack.enter_context(self._pushes.spooled(repository, principal.account))
            exchange = _Exchange(self._git.executable, environment, receive, send, is_push=action == _RECEIVE)
            try:
                async with asyncio.timeout(self._settings.git_timeout_seconds):
                    await exchange.run(self._settings.pack_limit_bytes)
            except TimeoutError:
                _log.warning("git_exchange_timed_out", repository=repository.full_name, service=service)
            finally:
                await exchange.end()
                # Off the event loop: listeners run in it.
                await run_in_threadpool(stack.close)
        await exchange.finish()

    def _environment(self, scope: Scope, service: str, action: str, repository: Repository) -> dict[str, str]:
        headers = Headers(scope=scope)
        suffix = "info/refs" if action == "refs" else action
        principal: Principal = scope["state"]["principal"]
        environment = self._git.environment | {
            "GATEWAY_INTERFACE": "CGI/1.1",
            "GIT_PROJECT_ROOT": str(self._git.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{repository.id}.git/{suffix}",
            "QUERY_STRING": f"service={service}" if action == "refs" else "",
            "REQUEST_METHOD": str(scope["method"]),
            "CONTENT_TYPE": headers.get("content-type", "")[:200],
            "REMOTE_USER": principal.account.login,
            "REMOTE_ADDR": "127.0.0.1",
            "GIT_COMMITTER_NAME": principal.account.login,
            "GIT_COMMITTER_EMAIL": principal.account.email,
        }
        if "content-length" in headers:
            environment["CONTENT_LENGTH"] = headers["content-length"]
        if headers.get("content-encoding", "") in ("gzip", "x-gzip"):
            environment["HTTP_CONTENT_ENCODING"] = "gzip"
        protocol = headers.get("git-protocol", "")
        if _PROTOCOL.fullmatch(protocol):
            environment["GIT_PROTOCOL"] = protocol
        return environment


class _Exchange:
    """One run of `git http-backend` between a client and a repository."""

    def __init__(
        self, executable: str, environment: dict[str, str], receive: Receive, send: Send, *, is_push: bool
    ) -> None:
        self._executable = executable
        self._is_push = is_push
        self._environment = environment
        self._receive = receive
        self._send = send
        self._process: asyncio.subprocess.Process | None = None
        self._feeder: asyncio.Task[None] | None = None
        self._started = False
        self._too_large = False

    async def run(self, limit_bytes: int) -> None:
        """Copy the request in and the response out, up to but not including its end."""
        self._process = process = await asyncio.create_subprocess_exec(
            self._executable,
            "http-backend",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._environment,
        )
        if process.stdin is None or process.stdout is None:
            raise BrokenPipeError("git http-backend has no pipes")
        self._feeder = asyncio.create_task(self._feed(process, process.stdin, limit_bytes))
        status, headers = await _cgi_headers(process.stdout)
        if self._too_large:
            return
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        self._started = True
        while chunk := await process.stdout.read(_CHUNK_BYTES):
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await process.wait()

    async def _feed(self, process: asyncio.subprocess.Process, stdin: asyncio.StreamWriter, limit_bytes: int) -> None:
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                break
            size += len(message.get("body", b""))
            more = bool(message.get("more_body"))
            if size > limit_bytes:
                self._too_large = True
                break
            try:
                stdin.write(message.get("body", b""))
                await stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                # Git has read all it wants, and says why in its answer.
                break
        stdin.close()
        if not self._is_push and not self._too_large:
            # Nobody is left to send a pack to. (A push goes on: half of its refs may have moved.)
            while (await self._receive())["type"] != "http.disconnect":
                continue
            process.kill()

    async def end(self) -> None:
        """Leave no process. A push that has all its input is let finish: half of its refs may have moved."""
        if self._feeder is not None:
            self._feeder.cancel()
            await asyncio.gather(self._feeder, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        if self._is_push and process.stdout is not None:
            try:
                async with asyncio.timeout(10):
                    while await process.stdout.read(_CHUNK_BYTES):
                        pass
                    await process.wait()
                return
            except TimeoutError:
                _log.warning("git_push_killed", pid=process.pid)
        process.kill()
        await process.wait()

    async def finish(self) -> None:
        """The end of the response."""
        if not self._started:
            status, text = (413, b"The pack is too large.\n") if self._too_large else (500, b"Git failed.\n")
            headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
            await self._send({"type": "http.response.body", "body": text})
            return
        await self._send({"type": "http.response.body", "body": b""})


async def _cgi_headers(stdout: asyncio.StreamReader) -> tuple[int, list[tuple[bytes, bytes]]]:
    """The status and headers of a CGI response (RFC 3875 §6.2). Without any, Git has failed: 500."""
    status, headers, size = 200, [], 0
    while (line := (await stdout.readline()).strip()) and size < _HEADERS_LIMIT_BYTES:
        size += len(line)
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        else:
            headers.append((name.lower(), value.strip()))
    return (status, headers) if headers else (500, [(b"content-type", b"text/plain")])

"""OpenBao's API by hvac: one logged-in client, and what its errors mean.

Invariants: no value that is sent, and no token, is ever in an exception, a log line or a span; a span carries the
method and the path and nothing else, and one that looked for what is not there has not failed. Whatever went wrong
leaves here as `TransientError` (sealed, away, slow, overloaded) or `PermanentError` (refused), or as
`VersionConflictError`.
"""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio.to_thread
import hvac
import requests
import structlog
from anyio import CapacityLimiter
from hvac import exceptions
from opentelemetry.trace import SpanKind
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from chassis.settings import read_secret

_log = structlog.get_logger(__name__)
T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS: Final = 2.0
READ_TIMEOUT_SECONDS: Final = 10.0
RENEW_AT: Final = 2 / 3
"""When to renew a token, as a part of its time to live."""
RELOGIN_SECONDS: Final = 5.0
"""After a failed renewal or login, when to try again."""
_SHORT_TEXT: Final = 300
_VERBS: Final = {"GET": "read", "POST": "write", "PUT": "write", "DELETE": "delete"}
_NAMED: Final = re.compile(
    r"^(kv/\w+/env|sys/policies/acl|auth/approle/role|database/(?:roles|config|rotate-root)|identity/\w+/name"
    r"|sys/leases/revoke-prefix/database/creds)/[^/]+"
)
"""Paths in which the part after these words is a name."""


_WITH_VALUES: Final = ("kv/data/", "auth/approle/login", "database/config/", "database/rotate-root/")
"""Paths where values travel, so what is said of them is not passed on."""


class VersionConflictError(Exception):
    """A write on condition was refused: something else has been written since."""


class OpenBao:
    """Reads, writes and deletes paths of the API. Safe to share between tasks of one event loop."""

    def __init__(
        self,
        url: str,
        *,
        role_id_file: Path,
        secret_id_file: Path,
        ca_file: Path | None = None,
        parallel_calls: int = 16,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> None:
        self._role_id_file = role_id_file
        self._secret_id_file = secret_id_file
        self._session = _http_session(parallel_calls, ca_file)
        self._client = hvac.Client(url, timeout=(CONNECT_TIMEOUT_SECONDS, read_timeout_seconds), session=self._session)
        # Without this hvac would pick up whatever token the environment or the home directory holds.
        self._client.token = None
        self._limiter = CapacityLimiter(parallel_calls)
        self._login_lock = asyncio.Lock()
        self._ttl_seconds = 0.0

    async def read(self, path: str) -> dict[str, Any] | None:
        """The `data` at a path; None where there is nothing."""
        return await self._call("GET", path, missing_is_none=True)

    async def write(self, path: str, body: dict[str, Any], *, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Write; answers the `data` of the reply, if any. Raises `VersionConflictError` where the body's condition
        (`cas`, `metadata_cas`) does not hold."""
        return await self._call("POST", path, body, timeout_seconds=timeout_seconds) or {}

    async def write_wrapped(self, path: str, body: dict[str, Any], *, seconds: int) -> str:
        """Write, and have the reply kept by OpenBao: answers the token that opens it, once, within `seconds`."""
        request = partial(self._client.adapter.request, "POST", f"/v1/{path}", json=body, wrap_ttl=f"{seconds}s")
        if self._client.token is None:
            await self._log_in(None)
        try:
            answer = await self._request("POST", path, request)
        except exceptions.InvalidPath as error:
            raise _nothing_at(path) from error
        return str(answer["wrap_info"]["token"])

    async def delete(self, path: str) -> None:
        """Delete; a path that is gone already is no failure."""
        await self._call("DELETE", path, missing_is_none=True)

    async def check(self) -> None:
        """Raise where OpenBao is sealed, away or does not let this service in."""
        health = await self._in_thread("GET", "sys/health", partial(self._client.sys.read_health_status, method="GET"))
        if not isinstance(health, dict) or health.get("sealed"):
            raise TransientError("OpenBao is sealed or not ready")
        if self._client.token is None:
            await self._log_in(None)

    async def stay_logged_in(self) -> None:
        """Renew the token at two thirds of its time to live, for ever; log in anew where it cannot be renewed."""
        while True:
            try:
                pause_seconds = await self._refresh() * RENEW_AT
            except (TransientError, PermanentError) as error:
                _log.warning("could not renew the login to OpenBao", error=str(error))
                pause_seconds = RELOGIN_SECONDS
            await asyncio.sleep(pause_seconds)

    async def close(self) -> None:
        """Give the token back and close the connections."""
        if self._client.token is not None:
            try:
                await self._in_thread("POST", "auth/token/revoke-self", self._client.auth.token.revoke_self)
            except (TransientError, PermanentError, exceptions.Forbidden) as error:
                # It expires by itself.
                _log.info("could not give back the OpenBao token", error_type=type(error).__name__)
            self._client.token = None
        self._session.close()

    async def _refresh(self) -> float:
        """Renew or log in; answers the token's remaining time to live in seconds."""
        token = self._client.token
        if token is not None:
            try:
                answer = await self._in_thread("POST", "auth/token/renew-self", self._client.auth.token.renew_self)
                left = float(answer["auth"]["lease_duration"])
                # Near its maximum a token is renewed for less and less.
                if left >= self._ttl_seconds * RENEW_AT:
                    return left
            except (PermanentError, exceptions.Forbidden):
                _log.info("the OpenBao token cannot be renewed; logging in anew")
        await self._log_in(token)
        return self._ttl_seconds

    async def _log_in(self, stale: str | None) -> None:
        """Log in, unless another task has replaced the `stale` token in the meantime."""
        async with self._login_lock:
            if self._client.token != stale:
                return
            self._client.token = None
            try:
                answer = await self._in_thread("POST", "auth/approle/login", self._approle_login)
            except (PermanentError, exceptions.Forbidden) as error:
                raise PermanentError(
                    "openbao_login_refused",
                    "OpenBao refuses the login of the secrets service",
                    next_step="The platform team compares the service's AppRole files with OpenBao; `make up` mends"
                    " them.",
                ) from error
            self._ttl_seconds = float(answer["auth"]["lease_duration"])

    def _approle_login(self) -> Any:
        try:
            role_id, secret_id = read_secret(self._role_id_file), read_secret(self._secret_id_file)
        except OSError as error:
            raise PermanentError(
                "openbao_login_missing",
                f"the secrets service cannot read its login to OpenBao ({error.filename}: {error.strerror})",
                next_step="The platform team puts the AppRole files in place; `make up` writes them.",
            ) from error
        return self._client.auth.approle.login(role_id.get_secret_value(), secret_id.get_secret_value())

    async def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        missing_is_none: bool = False,
        timeout_seconds: float | None = None,
    ) -> dict[str, Any] | None:
        extra: dict[str, Any] = {} if body is None else {"json": body}
        if timeout_seconds is not None:
            extra["timeout"] = (CONNECT_TIMEOUT_SECONDS, timeout_seconds)
        request = partial(self._client.adapter.request, method, f"/v1/{path}", **extra)
        if self._client.token is None:
            await self._log_in(None)
        try:
            answer = await self._request(method, path, request, may_be_missing=missing_is_none)
        except exceptions.InvalidPath as error:
            if missing_is_none:
                return None
            raise _nothing_at(path) from error
        return answer.get("data") if isinstance(answer, dict) else None

    async def _request(
        self, method: str, path: str, request: Callable[[], Any], *, may_be_missing: bool = False
    ) -> Any:
        """Send; at a 403 log in anew and send once more: a token may have been revoked or have expired."""
        token = self._client.token
        try:
            return await self._in_thread(method, path, request, may_be_missing=may_be_missing)
        except exceptions.Forbidden:
            await self._log_in(token)
        try:
            return await self._in_thread(method, path, request, may_be_missing=may_be_missing)
        except exceptions.Forbidden as error:
            raise PermanentError(
                "openbao_denied",
                f"OpenBao does not let the secrets service use {path}",
                next_step="The platform team compares the policy slipway-secrets with what the service needs.",
            ) from error

    async def _in_thread(self, method: str, path: str, function: Callable[[], T], *, may_be_missing: bool = False) -> T:
        """Run a blocking call within a span; translate its failure. `Forbidden` and `InvalidPath` pass; the latter does
        not mark the span as failed where the path `may_be_missing`."""
        with tracing.span(
            span_name(method, path),
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": method, "openbao.path": path},
        ):
            try:
                return await anyio.to_thread.run_sync(function, limiter=self._limiter)
            except exceptions.InvalidPath as error:
                if not may_be_missing:
                    raise
                missing = error
            except exceptions.Forbidden:
                raise
            except (exceptions.VaultError, requests.RequestException) as error:
                # The cause may quote what was sent, so it ends here.
                raise _translated(error, method, path) from None
        raise missing


def span_name(method: str, path: str) -> str:
    """What is done, and where, without whose it is: `openbao read kv/metadata/env/{name}/app`."""
    template = _NAMED.sub(r"\1/{name}", path)
    return f"openbao {_VERBS.get(method, method.lower())} {template}"


def _http_session(connections: int, ca_file: Path | None) -> requests.Session:
    """Kept-alive connections; a call that may be repeated is repeated once or twice at once before it counts as
    failed. A POST is not: it may have arrived."""
    retry = Retry(
        total=2,
        connect=2,
        read=1,
        status=0,
        other=0,
        backoff_factor=0.1,
        allowed_methods=frozenset({"GET", "DELETE"}),
        raise_on_status=False,
    )
    session = requests.Session()
    session.trust_env = False  # neither proxies nor ~/.netrc: this is a neighbour
    session.verify = str(ca_file) if ca_file else True
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=retry))
    return session


def _translated(error: Exception, method: str, path: str) -> Exception:
    """What an error of hvac or requests means."""
    if isinstance(error, exceptions.InvalidRequest | exceptions.Unauthorized):
        return _refusal(error, method, path)
    if isinstance(error, exceptions.VaultDown):
        return TransientError("OpenBao is sealed or starting")
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return TransientError(f"OpenBao does not answer ({type(error).__name__})")
    return TransientError(f"OpenBao could not answer {method} {path}: {type(error).__name__}")


def _nothing_at(path: str) -> PermanentError:
    return PermanentError(
        "openbao_path_missing",
        f"OpenBao has nothing at {path}",
        next_step="The platform team compares OpenBao's mounts with docs/architecture; `make up` makes them.",
    )


def _refusal(error: exceptions.VaultError, method: str, path: str) -> Exception:
    """A 400. OpenBao's own words are passed on, except from a path where values travel."""
    words = _words(error)
    if "check-and-set" in words:
        return VersionConflictError(f"{path} was written in the meantime")
    told = "" if path.startswith(_WITH_VALUES) else f": {words}"
    return PermanentError(
        "openbao_refused",
        f"OpenBao refused {method} {path}{told}",
        next_step="This is a fault of the platform: give the trace id to the platform team.",
    )


def _words(error: exceptions.VaultError) -> str:
    return " ".join("; ".join(error.errors or ()).split())[:_SHORT_TEXT]

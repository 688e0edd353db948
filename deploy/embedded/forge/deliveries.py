"""Sending webhook deliveries, signed as GitHub signs them, with retries.

Invariant: a delivery ends as delivered (a 2xx answer) or given up after the last attempt, never in between; its
`X-GitHub-Delivery` stays the same over all attempts, so a receiver can tell a repetition.
"""

import asyncio
import hashlib
import hmac
import socket
import time
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import httpx
from starlette.concurrency import run_in_threadpool
from structlog import get_logger

from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.hooks import is_loopback_url
from deploy.embedded.forge.settings import ForgeSettings
from deploy.embedded.forge.store import Row, Store

_log = get_logger(__name__)
_AT_ONCE: Final = 8
_IDLE_SECONDS: Final = 30.0
_LEASE_SECONDS: Final = 60.0
_LONGEST_PAUSE_SECONDS: Final = 300.0
_KEEP: Final = 5_000
_DUE: Final = """
    SELECT d.*, h.url, h.content_type, h.secret, h.repository_id FROM deliveries d JOIN hooks h ON h.id = d.hook_id
    WHERE d.due_at <= ? ORDER BY d.id LIMIT ?
"""


def signed_headers(row: Row, body: bytes) -> dict[str, str]:
    """The headers of a delivery. The signatures are HMACs of the very bytes that are sent."""
    form = row["content_type"] == "form"
    headers = {
        "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
        "User-Agent": "GitHub-Hookshot/slipway",
        "X-GitHub-Delivery": row["guid"],
        "X-GitHub-Event": row["event"],
        "X-GitHub-Hook-ID": str(row["hook_id"]),
        "X-GitHub-Hook-Installation-Target-ID": str(row["repository_id"]),
        "X-GitHub-Hook-Installation-Target-Type": "repository",
    }
    if row["secret"]:
        key = row["secret"].encode()
        headers["X-Hub-Signature"] = "sha1=" + hmac.new(key, body, hashlib.sha1).hexdigest()
        headers["X-Hub-Signature-256"] = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
    if row["traceparent"]:
        headers["traceparent"] = row["traceparent"]
    return headers


def _dialled(url: str) -> tuple[str, str]:
    """The URL with names below `localhost` replaced by their address, and the Host. May wait for a name server."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        port = f":{parts.port}" if parts.port is not None else ""
        return parts._replace(netloc=f"{_address(host)}{port}").geturl(), parts.netloc
    return url, parts.netloc


def _address(host: str) -> str:
    """This machine's own, unless somebody has said where a name below `localhost` is (a network of containers does);
    glibc by itself does not know such names."""
    try:
        return socket.gethostbyname(host)
    except OSError:
        return "127.0.0.1"


class Deliveries:
    """Sends what is due until told to stop."""

    def __init__(self, settings: ForgeSettings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._something = asyncio.Event()
        self._in_flight = 0

    def wake(self) -> None:
        """There is something new; may be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._something.set)

    async def run(self) -> None:
        """Until cancelled."""
        self._loop = asyncio.get_running_loop()
        await run_in_threadpool(self._begin)
        limits = httpx.Limits(max_connections=_AT_ONCE)
        async with (
            httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=10, limits=limits) as client,
            asyncio.TaskGroup() as sending,
        ):
            while True:
                self._something.clear()
                for row in await run_in_threadpool(self._take_due):
                    self._in_flight += 1
                    sending.create_task(self._deliver(client, row))
                await self._wait()

    def _take_due(self) -> list[Row]:
        """What is to be sent now. It is due again later should its sender vanish."""
        now = time.time()
        with self._store.transaction():
            rows = self._store.all(_DUE, [now, _AT_ONCE - self._in_flight])
            for row in rows:
                self._store.update("deliveries", row["id"], due_at=now + _LEASE_SECONDS)
        return rows

    async def _wait(self) -> None:
        row = await run_in_threadpool(self._store.one, "SELECT min(due_at) FROM deliveries", ())
        due = row[0] if row is not None else None
        pause = _IDLE_SECONDS if due is None else min(max(due - time.time(), 0.01), _IDLE_SECONDS)
        if self._in_flight >= _AT_ONCE:
            pause = _IDLE_SECONDS
        try:
            async with asyncio.timeout(pause):
                await self._something.wait()
        except TimeoutError:
            # Time to look again.
            return

    async def _deliver(self, client: httpx.AsyncClient, row: Row) -> None:
        text = row["payload"]
        body = (urlencode({"payload": text}) if row["content_type"] == "form" else text).encode()
        began = time.monotonic()
        code: int | None = None
        # Checked again: what was stored may be from before a rule.
        if is_loopback_url(row["url"]):
            url, host = await run_in_threadpool(_dialled, row["url"])
            try:
                async with client.stream(
                    "POST", url, content=body, headers=signed_headers(row, body) | {"Host": host}
                ) as response:
                    code = response.status_code
                reason = "OK" if response.is_success else f"Invalid HTTP Response: {code}"
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                reason = f"failed to connect: {type(error).__name__}"
        else:
            reason = "refused: not an address of this machine"
        await run_in_threadpool(self._settle, row, code, reason, time.monotonic() - began)
        self._in_flight -= 1
        self._something.set()

    def _settle(self, row: Row, code: int | None, reason: str, seconds: float) -> None:
        attempts = row["attempts"] + 1
        done = reason == "OK"
        last = done or attempts >= self._settings.delivery_attempts
        pause = min(self._settings.delivery_retry_seconds * 2 ** (attempts - 1), _LONGEST_PAUSE_SECONDS)
        changes: dict[str, Any] = {
            "attempts": attempts,
            "status_code": code,
            "status": reason,
            "duration_seconds": round(seconds, 3),
            "due_at": None if last else time.time() + pause,
            "delivered_at": timestamp() if done else None,
        }
        self._store.update("deliveries", row["id"], **changes)
        if not done:
            level = _log.error if last else _log.warning
            level("webhook_not_delivered", delivery=row["guid"], webhook_event=row["event"], reason=reason)

    def _begin(self) -> None:
        """Whatever an earlier forge did not settle is due now; of what is settled the last few thousand stay."""
        self._store.execute("UPDATE deliveries SET due_at = min(due_at, ?) WHERE due_at IS NOT NULL", [time.time()])
        self._store.execute(
            "DELETE FROM deliveries WHERE due_at IS NULL AND id <= (SELECT max(id) FROM deliveries) - ?",
            [_KEEP],
        )

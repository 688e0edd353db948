"""The gateway's API as the command line uses it: one method a call, problems as exceptions, streams that resume."""

import ipaddress
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from cli.event_stream import LOST, EventStream, ServerEvent
from cli.failures import AwayError, CommandError, Exit, ProblemError
from cli.platforms import Access
from cli.wording import one_line

_TIMEOUT = httpx.Timeout(30, connect=5)
_STREAM_TIMEOUT = httpx.Timeout(5, read=40)
"""The server says something every 15 seconds."""
_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0
_TRIES = 3
_PATIENCE_SECONDS = 120.0
"""How long a stream may be away before we give it up: a gateway restarts in seconds, a platform in a minute."""
_CAUGHT_UP_SECONDS = 2.0
_PAGE = 200
_BUSY = frozenset({429, 502, 503, 504})
_CLOCKS_AGREE_SECONDS = 2.0
"""An HTTP date has whole seconds, and an answer takes its time."""

Json = dict[str, Any]


def at(*parts: object) -> str:
    """A path of the API: `at("runs", run_id, "stream")`."""
    return "/".join(("/api/v1", *(quote(str(part), safe="") for part in parts)))


class Gateway:
    """A client of one platform."""

    def __init__(self, access: Access, *, timeout_seconds: float | None = None) -> None:
        self.url = access.url
        self.clock_ahead = timedelta()
        """By how much the platform's clock is ahead of ours, as its last answer had it."""
        self._http = httpx.Client(
            base_url=access.url,
            headers={"Authorization": f"Bearer {access.token}"},
            timeout=_TIMEOUT if timeout_seconds is None else timeout_seconds,
            # A proxy or a certificate authority of the company is for the company's gateway, not for this machine's.
            trust_env=not is_loopback(access.url),
        )

    def get(self, path: str, **parameters: object) -> Json:
        """GET. Raises ProblemError, or AwayError where the gateway does not answer."""
        return self._send("GET", path, params={key: value for key, value in parameters.items() if value is not None})

    def get_patiently(self, path: str) -> Json:
        """GET, tried again where the gateway is just now away: to end what was followed through a restart."""
        return self._send("GET", path, tries_away=_TRIES)

    def every(self, path: str, **parameters: object) -> Iterator[Json]:
        """Every item of a paged list."""
        cursor: str | None = None
        while True:
            page = self.get(path, **parameters, cursor=cursor, limit=_PAGE)
            yield from page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def post(self, path: str, body: Json | None = None) -> Json:
        """POST under an Idempotency-Key of our own, tried again on a lost connection: the key makes that safe."""
        headers = {"Idempotency-Key": str(uuid4())}
        return self._send("POST", path, json=body, headers=headers, tries_away=_TRIES)

    def post_once(self, path: str, body: Json) -> Json:
        """POST where a key means nothing: never sent a second time."""
        return self._send("POST", path, json=body)

    def delete(self, path: str) -> Json:
        """DELETE, as safe to try again as `post`."""
        return self._send("DELETE", path, headers={"Idempotency-Key": str(uuid4())}, tries_away=_TRIES)

    def now(self) -> datetime:
        """The platform's time, with which its timestamps can be compared."""
        ahead = self.clock_ahead
        return datetime.now(UTC) + (ahead if abs(ahead.total_seconds()) > _CLOCKS_AGREE_SECONDS else timedelta())

    def _send(self, method: str, path: str, *, tries_away: int = 1, **arguments: Any) -> Json:
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self._http.request(method, path, **arguments)
            except httpx.TransportError as error:
                if attempt < tries_away:
                    time.sleep(_PAUSE_SECONDS)
                    continue
                raise self._away(error) from error
            self._compare_clocks(response)
            if response.status_code in _BUSY and attempt < _TRIES:
                time.sleep(_pause_seconds(response))
                continue
            return _content(response)

    def follow(
        self, run_id: str, *, until_caught_up: bool = False, patience_seconds: float = _PATIENCE_SECONDS
    ) -> Iterator[ServerEvent]:
        """The events of a run, from its beginning to its verdict; resumes where the connection broke, and says `LOST`
        once when it does.

        With `until_caught_up` it ends as soon as there is nothing more for the moment. Raises AwayError when there was
        no connection for `patience_seconds`, and ProblemError.
        """
        stream = EventStream()
        timeout = httpx.Timeout(5, read=_CAUGHT_UP_SECONDS) if until_caught_up else _STREAM_TIMEOUT
        lost_at: float | None = None
        while True:
            pause_seconds = stream.retry_seconds or _PAUSE_SECONDS
            connected = False
            cause: Exception | None = None
            try:
                headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": stream.last_id} if stream.last_id else {})
                with self._http.stream("GET", at("runs", run_id, "stream"), headers=headers, timeout=timeout) as response:
                    self._compare_clocks(response)
                    if response.status_code == 204:
                        return
                    if response.status_code != 200:
                        response.read()
                        pause_seconds = _pause_seconds(response)
                        _content(response)
                    connected, lost_at = True, None
                    for event in stream.read(response.iter_bytes()):
                        yield event
                        if event.event == "verdict":
                            return
            except httpx.TransportError as error:
                if connected and until_caught_up and isinstance(error, httpx.ReadTimeout):
                    return
                cause = error
            except ProblemError as problem:
                if problem.status not in _BUSY:
                    raise
                cause = problem
            if lost_at is None:
                lost_at = time.monotonic()
                yield LOST
            elif time.monotonic() - lost_at > patience_seconds:
                raise self._away(cause) from cause
            time.sleep(pause_seconds)

    def _compare_clocks(self, response: httpx.Response) -> None:
        try:
            self.clock_ahead = parsedate_to_datetime(response.headers["Date"]) - datetime.now(UTC)
        except (KeyError, TypeError, ValueError):
            self.clock_ahead = timedelta()  # a proxy's answer: it says nothing of the platform's clock

    def _away(self, cause: Exception | None) -> AwayError:
        reason = f": {one_line(cause)}" if cause and str(cause) else ""
        return AwayError(
            f"The gateway at {self.url} does not answer{reason}.",
            remedy="`slipway doctor` says what is wrong; `slipway up` starts the platform of this machine.",
        )


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _content(response: httpx.Response) -> Json:
    if not response.content and response.is_success:
        return {}
    try:
        found = response.json()
    except ValueError:
        found = None
    if response.status_code >= 400:
        raise ProblemError(response.status_code, found if isinstance(found, dict) else {})
    if not response.is_success or not isinstance(found, dict):
        raise CommandError(
            f"What answers at {response.url.copy_with(path='/')} is not Slipway's API (HTTP {response.status_code}).",
            remedy="Name the gateway's own address with --url or SLIPWAY_URL.",
            code=Exit.FAILED,
        )
    return found


def _pause_seconds(response: httpx.Response) -> float:
    """What Retry-After asks for (RFC 9110 §10.2.3), within reason."""
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_PAUSE_SECONDS) if asked.isdecimal() else _PAUSE_SECONDS

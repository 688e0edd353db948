"""The gateway's API as the command line uses it: one method a call, problems as exceptions, streams that resume."""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from cli.event_stream import LOST, EventStream, ServerEvent
from cli.failures import AwayError, CommandError, Exit, ProblemError
from cli.platforms import Access, is_loopback
from cli.wording import one_line

_TIMEOUT = httpx.Timeout(45, connect=5)
"""A plan may take 30 seconds."""
_STREAM_TIMEOUT = httpx.Timeout(5, read=40)
"""The server says something every 15 seconds."""
_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0
_TRIES = 3
_PATIENCE_SECONDS = 120.0
"""How long a stream may be away before we give it up: a gateway restarts in seconds, a platform in a minute."""
_CAUGHT_UP_SECONDS = 1.0
"""History comes at once; what takes longer is yet to happen."""
_PAGE = 200
_BUSY = frozenset({429, 502, 503, 504})
_CLOCKS_AGREE_SECONDS = 2.0
"""An HTTP date has whole seconds, and an answer takes its time."""

Json = dict[str, Any]


@dataclass(frozen=True)
class _Ended:
    """How a connection to a stream ended: whether nothing more comes, whether there was one at all, and why."""

    over: bool = False
    connected: bool = False
    cause: Exception | None = None


def at(*parts: object) -> str:
    """A path of the API: `at("runs", run_id, "stream")`."""
    return "/".join(("/api/v1", *(quote(str(part), safe="") for part in parts)))


def doing(verb: str, *parts: object) -> str:
    """A path of the API that does something: `doing("extend", "environments", name)`."""
    return f"{at(*parts)}:{verb}"


class Gateway:
    """A client of one platform."""

    def __init__(self, access: Access, *, timeout_seconds: float | None = None) -> None:
        self.url = access.url
        self.clock_ahead = timedelta()
        """By how much the platform's clock is ahead of ours, as its last answer had it."""
        self._http = httpx.Client(
            base_url=access.url,
            headers={"Authorization": f"Bearer {access.token}"} if access.token else {},
            timeout=_TIMEOUT if timeout_seconds is None else timeout_seconds,
            # A proxy or a certificate authority of the company is for the company's gateway, not for this machine's.
            trust_env=not is_loopback(access.url),
            # Without TLS there is nothing to verify, and reading every certificate takes as long as the request.
            verify=access.url.startswith("https://"),
        )

    def get(self, path: str, **parameters: object) -> Json:
        """GET. Raises ProblemError, or AwayError where the gateway does not answer."""
        return self._send("GET", path, params={key: value for key, value in parameters.items() if value is not None})

    def get_patiently(self, path: str) -> Json:
        """GET, tried again where the gateway is just now away: to end what was followed through a restart."""
        return self._send("GET", path, tries_away=_TRIES)

    def every(self, path: str, *, page_size: int = _PAGE, **parameters: object) -> Iterator[Json]:
        """Every item of a paged list, fetched page by page as they are taken."""
        cursor: str | None = None
        while True:
            page = self.get(path, **parameters, cursor=cursor, limit=page_size)
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
        return self._send("POST", path, json=body, tries_busy=1)

    def post_text(self, path: str, content: bytes, media_type: str, **parameters: object) -> Json:
        """The same with a body that is sent as it is."""
        headers = {"Idempotency-Key": str(uuid4()), "Content-Type": media_type}
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._send("POST", path, content=content, params=given, headers=headers, tries_away=_TRIES)

    def patch(self, path: str, body: Json) -> Json:
        """PATCH, as safe to try again as `post`."""
        return self._send("PATCH", path, json=body, headers={"Idempotency-Key": str(uuid4())}, tries_away=_TRIES)

    def delete(self, path: str, **parameters: object) -> Json:
        """DELETE, as safe to try again as `post`."""
        headers = {"Idempotency-Key": str(uuid4())}
        return self._send("DELETE", path, params=parameters, headers=headers, tries_away=_TRIES)

    def now(self) -> datetime:
        """The platform's time, with which its timestamps can be compared."""
        ahead = self.clock_ahead
        return datetime.now(UTC) + (ahead if abs(ahead.total_seconds()) > _CLOCKS_AGREE_SECONDS else timedelta())

    def _send(self, method: str, path: str, *, tries_away: int = 1, tries_busy: int = _TRIES, **arguments: Any) -> Json:
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
            if response.status_code in _BUSY and attempt < tries_busy:
                time.sleep(_pause_seconds(response))
                continue
            return _content(response)

    def follow(
        self, run_id: str, *, until_caught_up: bool = False, patience_seconds: float = _PATIENCE_SECONDS
    ) -> Iterator[ServerEvent]:
        """The events of a run, from its beginning to its verdict; resumes where the connection broke, and says `LOST`
        when it does.

        With `until_caught_up` it ends as soon as there is nothing more for the moment. Raises AwayError when there was
        no connection for `patience_seconds`, and ProblemError.
        """
        stream = EventStream()
        lost_at: float | None = None
        while True:
            ended = yield from self._connection(at("runs", run_id, "stream"), stream, until_caught_up=until_caught_up)
            if ended.over:
                return
            if ended.connected or lost_at is None:
                lost_at = time.monotonic()
                yield LOST
            elif time.monotonic() - lost_at > patience_seconds:
                raise self._away(ended.cause) from ended.cause
            time.sleep(_PAUSE_SECONDS if stream.retry_seconds is None else stream.retry_seconds)

    def _connection(
        self, path: str, stream: EventStream, *, until_caught_up: bool
    ) -> Generator[ServerEvent, None, _Ended]:
        """The events of one connection, and how it ended."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": stream.last_id} if stream.last_id else {})
        timeout = httpx.Timeout(5, read=_CAUGHT_UP_SECONDS) if until_caught_up else _STREAM_TIMEOUT
        connected = False
        try:
            with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                self._compare_clocks(response)
                if response.status_code == 204:
                    return _Ended(over=True)
                if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                    response.read()
                    raise _refusal(response)
                connected = True
                for event in stream.read(response.iter_bytes()):
                    yield event
                    if event.event == "verdict":
                        return _Ended(over=True)
                return _Ended(connected=True)
        except httpx.TransportError as error:
            quiet = connected and isinstance(error, httpx.ReadTimeout)
            return _Ended(over=quiet and until_caught_up, connected=connected, cause=error)
        except ProblemError as problem:
            if problem.status not in _BUSY:
                raise
            return _Ended(cause=problem)

    def events(self, path: str, **parameters: object) -> Iterator[ServerEvent]:
        """The events of one connection to a stream, until that ends. Raises AwayError where it breaks, and
        ProblemError."""
        texts = {key: str(value) for key, value in parameters.items()}
        accept = {"Accept": "text/event-stream"}
        try:
            with self._http.stream("GET", path, params=texts, headers=accept, timeout=_STREAM_TIMEOUT) as response:
                if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                    response.read()
                    raise _refusal(response)
                yield from EventStream().read(response.iter_bytes())
        except httpx.TransportError as error:
            raise self._away(error) from error

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


def _content(response: httpx.Response) -> Json:
    if response.is_success and not response.content:
        return {}
    found = _json(response)
    if not response.is_success or found is None:
        raise _refusal(response)
    return found


def _refusal(response: httpx.Response) -> CommandError:
    if response.status_code >= 400:
        return ProblemError(response.status_code, _json(response) or {})
    return CommandError(
        f"What answers at {response.url.copy_with(path='/')} is not Slipway's API (HTTP {response.status_code}).",
        remedy="Name the gateway's own address with --url or SLIPWAY_URL.",
        code=Exit.FAILED,
    )


def _json(response: httpx.Response) -> Json | None:
    try:
        found = response.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _pause_seconds(response: httpx.Response) -> float:
    """What Retry-After asks for (RFC 9110 §10.2.3), within reason."""
    asked = response.headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_PAUSE_SECONDS) if asked.isdecimal() else _PAUSE_SECONDS

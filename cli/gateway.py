"""The gateway's API as the command line uses it: one method a call, problems as exceptions, streams that resume."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from cli.failures import CommandError, Exit, ProblemError
from cli.platforms import Access

_TIMEOUT = httpx.Timeout(30, connect=5)
_STREAM_TIMEOUT = httpx.Timeout(5, read=40)
_RECONNECT_SECONDS = 1.0
_RECONNECTS = 30
_PAGE = 200

Json = dict[str, Any]


@dataclass(frozen=True)
class ServerEvent:
    """One server-sent event: its name, its id (where to resume) and its JSON data."""

    event: str
    id: str
    data: Json


class Gateway:
    """A client of one platform."""

    def __init__(self, access: Access) -> None:
        self.url = access.url
        self._http = httpx.Client(
            base_url=access.url, headers={"Authorization": f"Bearer {access.token}"}, timeout=_TIMEOUT, trust_env=False
        )

    def get(self, path: str, **parameters: object) -> Json:
        """GET. Raises ProblemError, or CommandError where the gateway is away."""
        query = {key: value for key, value in parameters.items() if value is not None}
        return self._send("GET", path, params=query)

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
        return self._send("POST", path, json=body, headers={"Idempotency-Key": str(uuid4())}, tries=3)

    def delete(self, path: str) -> Json:
        """DELETE, likewise."""
        return self._send("DELETE", path, headers={"Idempotency-Key": str(uuid4())}, tries=3)

    def _send(self, method: str, path: str, *, tries: int = 1, **arguments: Any) -> Json:
        for attempt in range(1, tries + 1):
            try:
                response = self._http.request(method, path, **arguments)
            except httpx.TransportError as error:
                if attempt < tries:
                    time.sleep(_RECONNECT_SECONDS)
                    continue
                raise self._away() from error
            if response.status_code == 503 and attempt < tries:
                time.sleep(float(response.headers.get("Retry-After", _RECONNECT_SECONDS)))
                continue
            return _content(response)
        raise self._away()

    def stream(self, run_id: str, *, idle_seconds: float | None = None) -> Iterator[ServerEvent]:
        """The events of a run, from its beginning to its verdict; resumes where the connection broke.

        With `idle_seconds` it ends as soon as nothing came for that long.
        """
        last_id = ""
        timeout = _STREAM_TIMEOUT if idle_seconds is None else httpx.Timeout(5, read=idle_seconds)
        for _ in range(_RECONNECTS):
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
            try:
                path = f"/api/v1/runs/{run_id}/stream"
                with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                    if response.status_code == 204:
                        return
                    if response.status_code != 200:
                        response.read()
                        _content(response)
                    for event in _events(response.iter_lines()):
                        last_id = event.id or last_id
                        yield event
                        if event.event == "verdict":
                            return
            except httpx.ReadTimeout:
                if idle_seconds is not None:
                    return
            except httpx.TransportError:
                pass  # the gateway restarts: the stream is resumed after the pause below
            time.sleep(_RECONNECT_SECONDS)
        raise self._away()

    def _away(self) -> CommandError:
        return CommandError(
            f"The gateway at {self.url} does not answer.",
            remedy="`slipway doctor` says what is wrong; `make up` starts the platform.",
            code=Exit.FAILED,
        )


def _content(response: httpx.Response) -> Json:
    if response.status_code >= 400:
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        raise ProblemError(response.status_code, problem if isinstance(problem, dict) else {})
    return response.json() if response.content else {}


def _events(lines: Iterator[str]) -> Iterator[ServerEvent]:
    """Parse an event stream (WHATWG HTML, §9.2.6), as far as our server uses it."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield ServerEvent(fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"]))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value

"""Slack, by slack_sdk's synchronous client in a few threads.

The client's own retries are off: it would send a message again whose answer was lost. Slack has no idempotency key for
`chat.postMessage`, so a message is recognised by its metadata in the channel's history.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from http.client import HTTPException
from typing import Any, Final
from uuid import UUID

import anyio.to_thread
from opentelemetry.trace import SpanKind
from pydantic import SecretStr
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import SlackResponse

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from services.notifier.adapters import slack_blocks
from services.notifier.domain import Announcement
from services.notifier.ports import Notification, NotSentError

_PASSING: Final = frozenset(
    {
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
        "external_channel_migrating",
    }
)
_CHANNEL_ID: Final = re.compile(r"[CG][A-Z0-9]{8,20}")
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,50}")
_DEFAULT_RETRY_SECONDS: Final = 30.0
_CLOCKS_DIFFER: Final = timedelta(minutes=5)
_PAGE: Final = 200
_CHECK_EVERY_SECONDS: Final = 60.0
_NEXT_STEPS: Final = {
    "channel_not_found": "Create the channel {channel} and invite the bot to it, then replay the dead letter.",
    "not_in_channel": "Invite the bot to {channel}, then replay the dead letter.",
    "is_archived": "Unarchive {channel} or map the team to another one, then replay the dead letter.",
    "missing_scope": "Give the Slack app chat:write, channels:read and channels:history, then replay the dead letter.",
}
_OTHERWISE: Final = "Check the bot's token and Slack's settings of the app, then replay the dead letter."

Json = Mapping[str, Any]


class SlackMessenger:
    """Fulfils `ports.Messenger`."""

    def __init__(self, url: str, token: SecretStr, *, timeout_seconds: int, calls_at_once: int) -> None:
        self._client = WebClient(
            token=token.get_secret_value(), base_url=url, timeout=timeout_seconds, retry_handlers=[]
        )
        self._limiter = anyio.CapacityLimiter(calls_at_once)
        self._channel_ids: dict[str, str] = {}
        self._checked_at = -_CHECK_EVERY_SECONDS

    async def check(self) -> None:
        """Raise where Slack does not know us; asks at most once a minute."""
        if time.monotonic() - self._checked_at >= _CHECK_EVERY_SECONDS:
            await self._call("auth.test", self._client.auth_test)
            self._checked_at = time.monotonic()

    async def find(self, notification: Notification, since: datetime) -> str | None:
        """See the port."""
        oldest = f"{(since - _CLOCKS_DIFFER).timestamp():.6f}"
        read = partial(
            self._client.conversations_history,
            channel=await self._channel_id(notification.channel),
            oldest=oldest,
            include_all_metadata=True,
            limit=_PAGE,
        )
        cursor: str | None = None
        while True:
            page = await self._call("conversations.history", partial(read, cursor=cursor), notification.channel)
            for message in page.get("messages", ()):
                if _event_id(message) == notification.event_id:
                    return str(message["ts"])
            cursor = _next_cursor(page)
            if not cursor:
                return None

    async def post(self, notification: Notification, announcement: Announcement) -> str:
        """See the port."""
        try:
            channel_id = await self._channel_id(notification.channel)
        except TransientError as error:
            raise NotSentError(str(error), delay_seconds=error.delay_seconds) from error
        send = partial(
            self._client.chat_postMessage,
            channel=channel_id,
            text=slack_blocks.fallback(announcement),
            blocks=slack_blocks.blocks(announcement),
            metadata=slack_blocks.metadata(
                str(notification.event_id), notification.event_kind, notification.environment
            ),
            unfurl_links=False,
            unfurl_media=False,
        )
        answer = await self._call("chat.postMessage", send, notification.channel)
        return str(answer["ts"])

    async def _channel_id(self, name: str) -> str:
        """The id by which Slack knows the channel; looked up once for each name, and not at all for an id."""
        if _CHANNEL_ID.fullmatch(name):
            return name
        cursor: str | None = None
        while name not in self._channel_ids:
            read = partial(self._client.conversations_list, exclude_archived=True, limit=_PAGE, cursor=cursor)
            page = await self._call("conversations.list", read, name)
            self._channel_ids |= {channel["name"]: channel["id"] for channel in page.get("channels", ())}
            cursor = _next_cursor(page)
            if name not in self._channel_ids and not cursor:
                raise _refusal("channel_not_found", name)
        return self._channel_ids[name]

    async def _call(self, method: str, call: Callable[[], SlackResponse], channel: str = "") -> Json:
        """One call. Raises as the port says."""
        attributes = {"slack.method": method, "server.address": self._client.base_url}
        if channel:
            attributes["messaging.destination.name"] = channel
        with tracing.span(f"slack {method}", kind=SpanKind.CLIENT, attributes=attributes):
            try:
                answer = await anyio.to_thread.run_sync(call, limiter=self._limiter)
            except SlackApiError as error:
                raise self._meaning(error, channel) from error
            except (OSError, HTTPException, SlackClientError, ValueError) as error:
                # No answer, or none that Slack would give: whether the call took effect is unknown.
                raise TransientError(f"Slack did not answer {method} ({type(error).__name__})") from error
            if not isinstance(answer.data, dict):
                raise TransientError(f"Slack's answer to {method} is no JSON object")
            return answer.data

    def _meaning(self, error: SlackApiError, channel: str) -> Exception:
        status = error.response.status_code
        code = str(error.response.get("error", ""))
        if status == 429 or code in ("ratelimited", "rate_limited"):
            return NotSentError("Slack is busy", delay_seconds=_retry_after_seconds(error.response.headers))
        if status >= 500 or code in _PASSING or not _CODE.fullmatch(code):
            return TransientError(f"Slack failed with HTTP {status}")
        if code == "channel_not_found":
            # It may have been deleted and made again under the same name.
            self._channel_ids.pop(channel, None)
        return _refusal(code, channel)


def _refusal(code: str, channel: str) -> PermanentError:
    next_step = _NEXT_STEPS.get(code, _OTHERWISE).format(channel=f"#{channel}")
    where = f" for #{channel}" if channel else ""
    return PermanentError(f"slack_{code}", f"Slack refused{where}: {code}", next_step=next_step)


def _retry_after_seconds(headers: Mapping[str, Any]) -> float:
    for name, value in _flat(headers):
        if name.lower() == "retry-after" and value.isdigit():
            return float(value)
    return _DEFAULT_RETRY_SECONDS


def _flat(headers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Header values are texts or lists of them, depending on slack_sdk's path."""
    for name, value in headers.items():
        yield name, str(value[0] if isinstance(value, list) and value else value)


def _event_id(message: Json) -> UUID | None:
    found = message.get("metadata") or {}
    if found.get("event_type") != slack_blocks.EVENT_TYPE:
        return None
    try:
        return UUID(str(found.get("event_payload", {}).get("event_id")))
    except ValueError:
        return None


def _next_cursor(page: Json) -> str:
    return str((page.get("response_metadata") or {}).get("next_cursor") or "")

"""Slack's Web API, as far as the platform and its people use it: one method of `WebApi` per Slack method.

Invariant: every answer has Slack's shape (`ok`, or `ok: false` with one of Slack's codes), and nothing is read or
written for a caller without the bot's token.
"""

import base64
import binascii
import hmac
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import SecretStr

from deploy.embedded.inbox import validation
from deploy.embedded.inbox.errors import RateLimitedError, SlackError
from deploy.embedded.inbox.store import Channel, Draft, Message, NameTakenError, Store

TEAM_ID = "T0SLIPWAY1"
BOT_USER_ID = "U0SLIPWAY1"
BOT_ID = "B0SLIPWAY1"
BOT_NAME = "slipway"

_CHANNEL_NAME = re.compile(r"[a-z0-9_\-]{1,80}")
_TIMESTAMP = re.compile(r"\d{1,10}(\.\d{1,6})?")
_PAGE, _LARGEST_PAGE = 100, 999
_MINUTE_SECONDS = 60.0

Arguments = Mapping[str, Any]
Answer = dict[str, Any]


class WebApi:
    """Answers one call; blocks on the store, so call it off the event loop."""

    def __init__(self, store: Store, token: SecretStr, url: str, posts_per_minute: int = 0) -> None:
        self._store = store
        self._token = token
        self._url = url
        self._limiter = _PostLimiter(posts_per_minute)
        self._methods: dict[str, Callable[[Arguments], Answer]] = {
            "api.test": self._api_test,
            "auth.test": self._auth_test,
            "chat.postMessage": self._chat_post_message,
            "chat.update": self._chat_update,
            "conversations.create": self._conversations_create,
            "conversations.history": self._conversations_history,
            "conversations.info": self._conversations_info,
            "conversations.join": self._conversations_join,
            "conversations.list": self._conversations_list,
            "conversations.replies": self._conversations_replies,
        }

    def call(self, method: str, token: str | None, arguments: Arguments) -> Answer:
        """The answer to Slack's `method`. Raises SlackError for everything that Slack answers with `ok: false`."""
        deed = self._methods.get(method)
        if deed is None:
            raise SlackError("unknown_method", req_method=method[:100])
        if method != "api.test":
            self._authenticate(token)
        return {"ok": True, **deed(arguments)}

    def _authenticate(self, token: str | None) -> None:
        if not token:
            raise SlackError("not_authed")
        if not hmac.compare_digest(token.encode(), self._token.get_secret_value().encode()):
            raise SlackError("invalid_auth")

    def _api_test(self, arguments: Arguments) -> Answer:
        if arguments.get("error"):
            raise SlackError(str(arguments["error"])[:100])
        return {}

    def _auth_test(self, _: Arguments) -> Answer:
        return {
            "url": self._url,
            "team": "Slipway",
            "user": BOT_NAME,
            "team_id": TEAM_ID,
            "user_id": BOT_USER_ID,
            "bot_id": BOT_ID,
            "is_enterprise_install": False,
        }

    def _chat_post_message(self, arguments: Arguments) -> Answer:
        channel = self._channel(arguments)
        text, blocks = validation.content(arguments.get("text"), arguments.get("blocks"))
        thread_ts = self._thread(channel, arguments)
        details = validation.metadata(arguments.get("metadata"))
        self._limiter.admit(channel.id)
        author = str(arguments.get("username") or BOT_NAME)[:80]
        message = self._store.post(channel.id, Draft(author, text, blocks, details, thread_ts))
        return {"channel": channel.id, "ts": message.ts, "message": shown(message, with_metadata=True)}

    def _chat_update(self, arguments: Arguments) -> Answer:
        channel = self._channel(arguments)
        text, blocks = validation.content(arguments.get("text"), arguments.get("blocks"))
        details = validation.metadata(arguments.get("metadata"))
        ts = str(arguments.get("ts", ""))
        message = self._store.update(channel.id, ts, Draft(BOT_NAME, text, blocks, details))
        if message is None:
            raise SlackError("message_not_found")
        return {"channel": channel.id, "ts": ts, "text": text, "message": shown(message, with_metadata=True)}

    def _conversations_create(self, arguments: Arguments) -> Answer:
        name = arguments.get("name")
        if not isinstance(name, str) or not name:
            raise SlackError("invalid_name_required")
        if not _CHANNEL_NAME.fullmatch(name):
            raise SlackError("invalid_name_specials")
        try:
            return {"channel": _shown_channel(self._store.create_channel(name))}
        except NameTakenError as error:
            raise SlackError("name_taken") from error

    def _conversations_info(self, arguments: Arguments) -> Answer:
        return {"channel": _shown_channel(self._channel(arguments, by_name=False))}

    def _conversations_join(self, arguments: Arguments) -> Answer:
        channel = self._channel(arguments, by_name=False)
        # The bot is a member of every channel here.
        return {"channel": _shown_channel(channel), "warning": "already_in_channel"}

    def _conversations_list(self, arguments: Arguments) -> Answer:
        size = _page_size(arguments)
        after = _cursor(arguments, "name")
        rest = [channel for channel in self._store.channels() if channel.name > after]
        page = rest[:size]
        return {
            "channels": [_shown_channel(channel) for channel in page],
            "response_metadata": {"next_cursor": _cursor_to("name", page[-1].name) if len(rest) > size else ""},
        }

    def _conversations_history(self, arguments: Arguments) -> Answer:
        channel = self._channel(arguments, by_name=False)
        size = _page_size(arguments)
        bounds: dict[str, Any] = {"inclusive": _flag(arguments.get("inclusive"))}
        for name in ("oldest", "latest"):
            if arguments.get(name) not in (None, ""):
                bounds[name] = _timestamp(arguments[name])
        before = _cursor(arguments, "ts")
        if before:
            bounds |= {"latest": before, "inclusive": False}
        messages = self._store.history(channel.id, limit=size + 1, **bounds)
        page, more = messages[:size], len(messages) > size
        with_metadata = _flag(arguments.get("include_all_metadata"))
        answer: Answer = {
            "messages": [self._with_thread(message, with_metadata) for message in page],
            "has_more": more,
            "pin_count": 0,
        }
        if more:
            answer["response_metadata"] = {"next_cursor": _cursor_to("ts", page[-1].ts)}
        return answer

    def _conversations_replies(self, arguments: Arguments) -> Answer:
        channel = self._channel(arguments, by_name=False)
        parent = self._store.message(channel.id, str(arguments.get("ts", "")))
        if parent is None:
            raise SlackError("thread_not_found")
        with_metadata = _flag(arguments.get("include_all_metadata"))
        replies = [shown(reply, with_metadata) for reply in self._store.replies(channel.id, parent.ts)]
        return {"messages": [self._with_thread(parent, with_metadata), *replies], "has_more": False}

    def _with_thread(self, message: Message, with_metadata: bool) -> Answer:
        replies = self._store.replies(message.channel_id, message.ts)
        thread = (
            {"thread_ts": message.ts, "reply_count": len(replies), "latest_reply": replies[-1].ts} if replies else {}
        )
        return shown(message, with_metadata) | thread

    def _channel(self, arguments: Arguments, *, by_name: bool = True) -> Channel:
        """Slack takes a channel's name only where it posts; elsewhere only its id."""
        wanted = arguments.get("channel")
        found = self._store.channel(wanted) if isinstance(wanted, str) else None
        if found is None or not (by_name or found.id == wanted):
            raise SlackError("channel_not_found")
        return found

    def _thread(self, channel: Channel, arguments: Arguments) -> str | None:
        thread_ts = arguments.get("thread_ts")
        if not thread_ts:
            return None
        parent = self._store.message(channel.id, str(thread_ts))
        if parent is None:
            raise SlackError("thread_not_found")
        return parent.thread_ts or parent.ts


class _PostLimiter:
    """A token bucket per channel: `per_minute` at once, refilled evenly. 0 admits everything."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def admit(self, channel_id: str) -> None:
        """Takes one token. Raises RateLimitedError with the seconds until there is one."""
        if not self._per_minute:
            return
        now = time.monotonic()
        rate = self._per_minute / _MINUTE_SECONDS
        with self._lock:
            left, seen = self._buckets.get(channel_id, (float(self._per_minute), now))
            left = min(float(self._per_minute), left + (now - seen) * rate)
            if left < 1:
                self._buckets[channel_id] = (left, now)
                raise RateLimitedError(max(1, round((1 - left) / rate)))
            self._buckets[channel_id] = (left - 1, now)


def shown(message: Message, with_metadata: bool) -> Answer:
    """A message in Slack's shape; metadata only where it was asked for, as Slack does."""
    answer: Answer = {
        "type": "message",
        "user": BOT_USER_ID,
        "bot_id": BOT_ID,
        "team": TEAM_ID,
        "ts": message.ts,
        "text": message.text,
    }
    if message.author != BOT_NAME:
        answer["username"] = message.author
    if message.blocks is not None:
        answer["blocks"] = message.blocks
    if message.thread_ts is not None:
        answer["thread_ts"] = message.thread_ts
    if message.edited_ts is not None:
        answer["edited"] = {"user": BOT_USER_ID, "ts": message.edited_ts}
    if with_metadata and message.metadata is not None:
        answer["metadata"] = message.metadata
    return answer


def _shown_channel(channel: Channel) -> Answer:
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "created": channel.created_seconds,
        "creator": BOT_USER_ID,
        "is_channel": True,
        "is_archived": False,
        "is_general": channel.name == "general",
        "is_private": False,
        "is_member": True,
        "topic": {"value": "", "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }


def _flag(value: object) -> bool:
    return value in (True, 1, "1", "true", "True")


def _page_size(arguments: Arguments) -> int:
    value = arguments.get("limit") or _PAGE
    try:
        size = int(value)
    except (TypeError, ValueError) as error:
        raise SlackError("invalid_limit") from error
    if size < 1:
        raise SlackError("invalid_limit")
    return min(size, _LARGEST_PAGE)


def _timestamp(value: object) -> str:
    """A timestamp in the stored form: ten digits, a point, six digits; so that texts compare as times do."""
    text = str(value)
    if not _TIMESTAMP.fullmatch(text):
        raise SlackError("invalid_ts_oldest" if text.startswith("-") else "invalid_arguments")
    seconds, _, fraction = text.partition(".")
    return f"{seconds:0>10}.{fraction:0<6}"


def _cursor(arguments: Arguments, kind: str) -> str:
    cursor = arguments.get("cursor")
    if not cursor:
        return ""
    try:
        text = base64.b64decode(str(cursor), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise SlackError("invalid_cursor") from error
    if not text.startswith(f"{kind}:"):
        raise SlackError("invalid_cursor")
    return text.removeprefix(f"{kind}:")


def _cursor_to(kind: str, value: str) -> str:
    return base64.b64encode(f"{kind}:{value}".encode()).decode()

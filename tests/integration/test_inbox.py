"""The inbox as slack_sdk and a reader's browser see it."""

import json
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from deploy.embedded.inbox.mrkdwn import render
from deploy.embedded.inbox.webhooks import webhook_path
from deploy.embedded.ports import free_port
from tests.stand_ins import Child, running, start_module

TOKEN = "xoxb-inbox-test"
BLOCKS: list[dict[str, Any]] = [
    {"type": "header", "text": {"type": "plain_text", "text": ":x: Title"}},
    {"type": "section", "text": {"type": "mrkdwn", "text": "*bold* <https://example.com/?a=1&amp;b=2|link>"}},
    {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Owner*\nkim"}, {"type": "plain_text", "text": "<b>"}]},
    {"type": "divider"},
    {"type": "context", "elements": [{"type": "mrkdwn", "text": "run `1`"}]},
    {
        "type": "actions",
        "elements": [
            {"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": "https://example.com/open"}
        ],
    },
]


@dataclass(frozen=True)
class Inbox:
    """A running inbox and a client of it."""

    url: str
    client: WebClient

    def refused(self, method: str, **arguments: object) -> str:
        with pytest.raises(SlackApiError) as refusal:
            self.client.api_call(method, json=dict(arguments))
        return str(refusal.value.response["error"])

    def channel_id(self, name: str = "deployments") -> str:
        channels = self.client.conversations_list()["channels"]
        return next(str(channel["id"]) for channel in channels if channel["name"] == name)


def launch(directory: Path, port: int, **environment: str) -> Child:
    (directory / "token").write_text(f"{TOKEN}\n")
    settings = {
        "SLIPWAY_INBOX_PORT": str(port),
        "SLIPWAY_INBOX_DATA": str(directory / "data"),
        "SLIPWAY_INBOX_TOKEN_FILE": str(directory / "token"),
    }
    return start_module("deploy.embedded.inbox", settings | environment, directory)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def client_of(url: str, token: str | None = TOKEN) -> WebClient:
    return WebClient(token=token, base_url=f"{url}/api/", retry_handlers=[], timeout=10)


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(launch(tmp_path_factory.mktemp("inbox"), port), lambda: is_ready(url)):
        yield Inbox(url, client_of(url))


def test_the_bot_learns_who_it_is(inbox: Inbox) -> None:
    answer = inbox.client.auth_test()
    assert answer["ok"]
    assert answer["user"] == "slipway"
    assert answer["bot_id"].startswith("B")


@pytest.mark.parametrize(("token", "error"), [("xoxb-wrong", "invalid_auth"), (None, "not_authed")])
def test_nothing_is_told_without_the_token(inbox: Inbox, token: str | None, error: str) -> None:
    with pytest.raises(SlackApiError) as refusal:
        client_of(inbox.url, token).conversations_list()
    assert refusal.value.response["error"] == error
    assert refusal.value.response.data == {"ok": False, "error": error}


def test_a_message_is_found_again_with_its_metadata_only_when_asked(inbox: Inbox) -> None:
    metadata = {"event_type": "test", "event_payload": {"event_id": "1"}}
    sent = inbox.client.chat_postMessage(channel="#deployments", text="hello", blocks=BLOCKS, metadata=metadata)
    channel = sent["channel"]
    with_metadata = inbox.client.conversations_history(channel=channel, include_all_metadata=True, limit=1)
    without = inbox.client.conversations_history(channel=channel, limit=1)
    assert with_metadata["messages"][0]["ts"] == sent["ts"]
    assert with_metadata["messages"][0]["metadata"] == metadata
    assert with_metadata["messages"][0]["blocks"] == BLOCKS
    assert "metadata" not in without["messages"][0]


def test_channels_are_created_once_and_named_by_id_or_name(inbox: Inbox) -> None:
    made = inbox.client.conversations_create(name="team-payments")["channel"]
    assert made["id"].startswith("C")
    assert inbox.refused("conversations.create", name="team-payments") == "name_taken"
    assert inbox.refused("conversations.create", name="No Spaces") == "invalid_name_specials"
    assert inbox.client.conversations_info(channel=made["id"])["channel"]["name"] == "team-payments"
    for name in (made["id"], "team-payments", "#team-payments"):
        assert inbox.client.chat_postMessage(channel=name, text="x")["channel"] == made["id"]
    # As with Slack, only posting takes a name.
    assert inbox.refused("conversations.history", channel="#team-payments") == "channel_not_found"


def test_pages_of_history_join_without_gap_or_overlap(inbox: Inbox) -> None:
    channel = inbox.client.conversations_create(name="pages")["channel"]["id"]
    sent = [inbox.client.chat_postMessage(channel=channel, text=str(n))["ts"] for n in range(7)]
    assert sent == sorted(set(sent))
    pages = [page["messages"] for page in inbox.client.conversations_history(channel=channel, limit=3)]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [message["ts"] for page in pages for message in page] == sent[::-1]
    between = inbox.client.conversations_history(channel=channel, oldest=sent[2], latest=sent[4])
    assert [message["text"] for message in between["messages"]] == ["3"]
    inclusive = inbox.client.conversations_history(channel=channel, oldest=sent[2], latest=sent[4], inclusive=True)
    assert [message["text"] for message in inclusive["messages"]] == ["4", "3", "2"]


def test_lists_of_channels_come_in_pages(inbox: Inbox) -> None:
    names = [channel["name"] for page in inbox.client.conversations_list(limit=1) for channel in page["channels"]]
    assert names == sorted(set(names))
    assert {"deployments", "general"} <= set(names)


def test_replies_live_in_their_thread(inbox: Inbox) -> None:
    channel = inbox.client.conversations_create(name="threads")["channel"]["id"]
    parent = inbox.client.chat_postMessage(channel=channel, text="parent")["ts"]
    inbox.client.chat_postMessage(channel=channel, text="reply", thread_ts=parent)
    history = inbox.client.conversations_history(channel=channel)["messages"]
    assert [(message["text"], message["reply_count"]) for message in history] == [("parent", 1)]
    thread = inbox.client.conversations_replies(channel=channel, ts=parent)["messages"]
    assert [message["text"] for message in thread] == ["parent", "reply"]


def test_an_update_changes_the_message_in_place(inbox: Inbox) -> None:
    sent = inbox.client.chat_postMessage(channel="general", text="before")
    inbox.client.chat_update(channel=sent["channel"], ts=sent["ts"], text="after")
    latest = inbox.client.conversations_history(channel=sent["channel"], limit=1)["messages"][0]
    assert (latest["ts"], latest["text"]) == (sent["ts"], "after")
    assert "edited" in latest
    assert inbox.refused("chat.update", channel=sent["channel"], ts="1.000001", text="x") == "message_not_found"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "#nowhere", "text": "x"}, "channel_not_found"),
        ({"text": "x"}, "channel_not_found"),
        ({"channel": "general"}, "no_text"),
        ({"channel": "general", "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": "general", "text": ["x"]}, "invalid_arguments"),
        ({"channel": "general", "blocks": {"type": "divider"}}, "invalid_blocks_format"),
        ({"channel": "general", "blocks": [{"type": "video"}]}, "invalid_blocks"),
        ({"channel": "general", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"channel": "general", "blocks": [{"type": "section"}]}, "invalid_blocks"),
        (
            {"channel": "general", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]},
            "invalid_blocks",
        ),
        (
            {"channel": "general", "blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]},
            "invalid_blocks",
        ),
        ({"channel": "general", "text": "x", "metadata": {"event_type": 1}}, "invalid_metadata_format"),
        ({"channel": "general", "text": "x", "metadata": "{"}, "invalid_metadata_format"),
        ({"channel": "general", "text": "x", "thread_ts": "1.000001"}, "thread_not_found"),
    ],
)
def test_what_slack_refuses_is_refused_in_slacks_words(inbox: Inbox, arguments: dict[str, Any], error: str) -> None:
    assert inbox.refused("chat.postMessage", **arguments) == error


def test_an_unknown_method_is_named(inbox: Inbox) -> None:
    assert inbox.refused("files.upload") == "unknown_method"


@pytest.mark.parametrize("arguments", [{"limit": "x"}, {"limit": -1}, {"cursor": "%%%"}, {"cursor": "bmFtZTp4"}])
def test_malformed_paging_is_refused(inbox: Inbox, arguments: dict[str, Any]) -> None:
    refusal = inbox.refused("conversations.history", channel=inbox.channel_id(), **arguments)
    assert refusal in {"invalid_limit", "invalid_cursor"}


def test_a_webhook_posts_for_whoever_knows_its_address(inbox: Inbox) -> None:
    address = f"{inbox.url}{webhook_path(SecretStr(TOKEN))}"
    assert WebhookClient(address).send(text="from a webhook", blocks=BLOCKS).body == "ok"
    latest = inbox.client.conversations_history(channel=inbox.channel_id(), limit=1)["messages"][0]
    assert latest["text"] == "from a webhook"
    assert httpx.post(f"{address[:-1]}x", json={"text": "x"}).status_code == 403
    assert httpx.post(address, json={}).text == "no_text"
    assert httpx.post(address, content=b"{").text == "invalid_payload"
    assert httpx.post(address, data={"payload": json.dumps({"text": "as a form"})}).text == "ok"


def test_too_many_posts_are_told_when_to_come_back(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(launch(tmp_path, port, SLIPWAY_INBOX_POSTS_PER_MINUTE="2"), lambda: is_ready(url)):
        client = client_of(url)
        client.chat_postMessage(channel="general", text="1")
        client.chat_postMessage(channel="general", text="2")
        with pytest.raises(SlackApiError) as refusal:
            client.chat_postMessage(channel="general", text="3")
        assert refusal.value.response.status_code == 429
        assert refusal.value.response["error"] == "ratelimited"
        assert 1 <= int(refusal.value.response.headers["retry-after"]) <= 31
        client.chat_postMessage(channel="deployments", text="another channel has its own allowance")


def test_what_was_answered_ok_survives_kill_9(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(launch(tmp_path, port), lambda: is_ready(url)) as child:
        sent = [client_of(url).chat_postMessage(channel="general", text=str(n))["ts"] for n in range(5)]
        child.kill()
    with running(launch(tmp_path, port), lambda: is_ready(url)) as child:
        messages = httpx.get(f"{url}/api/channels/general/messages").json()["messages"]
        assert [message["ts"] for message in messages] == sent[::-1]
        assert client_of(url).chat_postMessage(channel="general", text="next")["ts"] > sent[-1]
        assert child.stop() == -signal.SIGTERM  # uvicorn shuts down, then ends by the signal it got
        assert TOKEN not in child.log.read_text()


def test_the_page_shows_messages_and_loads_nothing_from_elsewhere(inbox: Inbox) -> None:
    channel = inbox.client.conversations_create(name="page")["channel"]["id"]
    parent = inbox.client.chat_postMessage(channel=channel, text="f", blocks=BLOCKS)["ts"]
    inbox.client.chat_postMessage(channel=channel, text="a reply", thread_ts=parent)
    page = httpx.get(f"{inbox.url}/channels/page")
    assert page.status_code == 200
    assert '<a href="https://example.com/?a=1&amp;b=2" rel="noopener noreferrer nofollow">link</a>' in page.text
    assert "<strong>bold</strong>" in page.text
    assert "&lt;b&gt;" in page.text
    assert "a reply" in page.text
    assert "script" not in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert httpx.get(f"{inbox.url}/").status_code == 200
    assert httpx.get(f"{inbox.url}/channels/nowhere").status_code == 404
    assert httpx.get(f"{inbox.url}/channels/page?before=1").status_code == 200


ATTACKS = [
    "<script>alert(1)</script>",
    "<javascript:alert(1)|click>",
    "<data:text/html,x|click>",
    '<https://e.com/" onmouseover="alert(1)|x>',
    "<https://e.com|<img src=x onerror=alert(1)>>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&amp;lt;script&amp;gt;",
    "*<b>*_<i>_~<s>~`<u>````<pre>```",
    "<#C1|<script>>",
    "\ue0000\ue001 \ue00099\ue001",
    "{{7*7}}{% raw %}",
    "*" * 5000 + "_" * 5000 + "`" * 5000,
    "> " * 2000,
    "\x1b[31m\x00\u202e",
]


@pytest.mark.parametrize("text", ATTACKS, ids=range(len(ATTACKS)))
def test_no_message_becomes_markup(inbox: Inbox, text: str) -> None:
    html = str(render(text))
    rest = html
    for tag in ("strong", "em", "s", "code", "pre", "blockquote"):
        rest = rest.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
    rest = rest.replace("<br>", "").replace('<span class="mention">', "").replace("</span>", "")
    rest = (
        rest.replace('" rel="noopener noreferrer nofollow">', "").replace('<a href="https://', "").replace("</a>", "")
    )
    assert "<" not in rest
    assert '"' not in rest
    inbox.client.chat_postMessage(channel="general", text=text)
    assert httpx.get(f"{inbox.url}/channels/general").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "arguments", "status"),
    [
        ("POST", "/api/chat.postMessage", {"content": b"x" * 1_000_001}, 413),
        ("POST", "/api/chat.postMessage", {"content": iter([b"x" * 600_000] * 2)}, 413),
        ("GET", "/", {"headers": {"Host": "evil.test"}}, 400),
        ("GET", "/channels/%2e%2e%2f%2e%2e", {}, 404),
        ("GET", "/static/../settings.py", {}, 404),
        ("GET", "/static/%2e%2e/settings.py", {}, 404),
        ("DELETE", "/", {}, 405),
    ],
)
def test_hostile_requests_get_a_4xx(
    inbox: Inbox, method: str, path: str, arguments: dict[str, Any], status: int
) -> None:
    assert httpx.request(method, f"{inbox.url}{path}", **arguments).status_code == status


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"[" * 100_000, "invalid_json"),
        (b"null", "invalid_json"),
        (b'{"channel": NaN}', "invalid_json"),
        (b'{"channel": "general", "text": "\\ud800"}', "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b'{"limit": ' + b"9" * 5000 + b"}", "invalid_json"),
    ],
)
def test_malformed_json_is_refused(inbox: Inbox, body: bytes, error: str) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{inbox.url}/api/chat.postMessage", content=body, headers=headers)
    assert answer.json() == {"ok": False, "error": error}


def test_half_a_request_does_not_keep_others_waiting(inbox: Inbox) -> None:
    port = httpx.URL(inbox.url).port
    with socket.create_connection(("127.0.0.1", port or 0)) as slow:
        slow.sendall(b"POST /api/chat.postMessage HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert inbox.client.auth_test()["ok"]

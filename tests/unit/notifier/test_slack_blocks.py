"""An announcement as Slack's blocks: within Slack's limits, and harmless whatever somebody wrote."""

import re

import pytest

from contracts.values import Failure, LeftBehind, Resource
from deploy.embedded.inbox import validation
from services.notifier import domain
from services.notifier.adapters import slack_blocks
from services.notifier.domain import Announced, Announcement, Command, Items, Link, Told
from tests import samples
from tests.unit.hostile import inputs
from tests.unit.notifier import events

HOSTILE = [
    *inputs("texts"),
    "<!channel> <@U1> <https://evil.test|click> &lt;!here&gt;",
    "*bold* _italic_ ~gone~ `code` ```pre``` :rocket:",
    "a\u202eb\u200bc\x00d\x1b[31m\ne",
    "x" * 5000,
    "`" * 3000,
    "&" * 3000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_somebody_wrote_mentions_links_and_formats_nothing(text: str) -> None:
    shown = slack_blocks.literal(text)
    assert "<" not in shown
    assert ">" not in shown
    assert not re.search(r"&(?!amp;|lt;|gt;)", shown)
    assert shown.isprintable()
    if re.search(r"[*_~`]", shown):
        assert (shown[0], shown[-1], shown.count("`")) == ("`", "`", 2)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_failure_fits_slacks_limits(text: str) -> None:
    failure = Failure(step="secrets", code="x", message=text[:2000], next_step=text[:2000])
    left = tuple(LeftBehind(resource=Resource(kind=text, id=text), reason=text[:2000]) for _ in range(50))
    event = events.failed(failure=failure, left_behind=left, undone=tuple(item.resource for item in left))
    said = domain.announce(event, "http://127.0.0.1:8000", samples.AT)
    text_shown, blocks = validation.content(slack_blocks.fallback(said), slack_blocks.blocks(said))
    assert text_shown
    assert blocks is not None
    for block in blocks:
        for mrkdwn in (block.get("text", {}), *block.get("fields", ())):
            assert not re.search(r"<(?!https?://)", mrkdwn.get("text", "")) or mrkdwn["type"] == "plain_text"


@pytest.mark.parametrize("event", events.EVERY_KIND, ids=lambda event: event.kind)
def test_every_announcement_is_a_message_slack_takes(event: Announced) -> None:
    said = domain.announce(event, "http://127.0.0.1:8000", samples.AT)
    validation.content(slack_blocks.fallback(said), slack_blocks.blocks(said))
    validation.metadata(slack_blocks.metadata(str(event.id), event.kind, event.subject))


def test_a_link_that_is_no_web_address_becomes_words() -> None:
    evil = Link("click", "javascript:alert(1)")
    assert slack_blocks.mrkdwn((evil, " ", Link("<b>", "https://e.com/?a=1&b=2"))) == (
        "click <https://e.com/?a=1&amp;b=2|&lt;b&gt;>"
    )
    said = Announcement("good", "t", (("x",),), links=(evil, Link("Open", "https://e.com|x>")))
    assert [block["type"] for block in slack_blocks.blocks(said)] == ["header", "section"]


def test_a_command_is_shown_to_be_typed() -> None:
    said = domain.announce(events.expiring(), "", samples.AT)
    shown = slack_blocks.blocks(said)[1]["text"]
    assert shown["type"] == "mrkdwn"
    assert "`slipway extend demo-api --ttl 7d`" in shown["text"]
    assert slack_blocks.mrkdwn((Command("a <b> & c"),)) == "`a &lt;b&gt; &amp; c`"
    assert slack_blocks.fallback(said).startswith("demo-api expires in 2 hours (11:00 UTC). Extend: `slipway extend")


def test_a_list_without_room_counts_what_it_leaves_out() -> None:
    lines = tuple((Told("y" * 590),) for _ in range(10))
    said = Announcement("good", "t", (("x",),), items=(Items("Undone", lines, more=3),))
    text = slack_blocks.blocks(said)[-1]["text"]["text"]
    assert len(text) <= 3000
    shown = text.count("• y")
    assert text.endswith(f"• and {13 - shown} more")


def test_words_without_marks_stay_plain() -> None:
    assert slack_blocks.literal("feature/x-1 & more") == "feature/x-1 &amp; more"
    assert slack_blocks.literal("env_demo_api") == "`env_demo_api`"

"""An announcement as Slack's blocks (Block Kit), within Slack's limits.

Invariant: somebody else's words mention nobody, link nowhere and format nothing. Paragraphs without a link or a command
of ours are plain text, which Slack does not interpret; elsewhere Slack's three characters are escaped, words with
formatting marks become inline code (Slack has no escape for those), and `verbatim` keeps Slack from making links of its
own. Invisible and direction-changing characters are dropped everywhere.
"""

import re
import unicodedata
from typing import Any, Final

from services.notifier.domain import Announcement, Command, Fact, Items, Link, Piece, Told

EVENT_TYPE: Final = "slipway_event"
"""Type of the metadata by which a message is recognised."""

_EMOJI: Final = {
    "good": ":white_check_mark:",
    "bad": ":x:",
    "waiting": ":hourglass_flowing_sand:",
    "gone": ":wastebasket:",
    "warning": ":warning:",
}
_SECTION_LIMIT: Final = 3000
_FIELD_LIMIT: Final = 2000
_HEADER_LIMIT: Final = 150
_TOLD_LIMIT: Final = 600
_URL_LIMIT: Final = 3000
_LINK: Final = re.compile(r"https?://[^\s<>|]+")
_MARKS: Final = re.compile(r"[*_~`]|:[\w+-]+:")
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

Json = dict[str, Any]


def blocks(announcement: Announcement) -> list[Json]:
    """The message's blocks."""
    title = f"{_EMOJI[announcement.tone]} {announcement.title}"
    shown: list[Json] = [{"type": "header", "text": {"type": "plain_text", "text": title[:_HEADER_LIMIT]}}]
    shown += [{"type": "section", "text": _paragraph(paragraph)} for paragraph in announcement.paragraphs]
    if announcement.facts:
        shown.append({"type": "section", "fields": [_mrkdwn(_fact(fact), _FIELD_LIMIT) for fact in announcement.facts]})
    shown += [{"type": "section", "text": _mrkdwn(_list(items), _SECTION_LIMIT)} for items in announcement.items]
    buttons = [_button(link) for link in announcement.links if _is_web(link.url)]
    if buttons:
        shown.append({"type": "actions", "elements": buttons})
    return shown


def fallback(announcement: Announcement) -> str:
    """The message where blocks are not shown: in a notification, to a screen reader."""
    first = announcement.paragraphs[0] if announcement.paragraphs else ()
    return _cut(f"{_escape(announcement.title)}. {mrkdwn(first)}", _SECTION_LIMIT)


def metadata(event_id: str, event_kind: str, environment: str) -> Json:
    """What a message is recognised by."""
    payload = {"event_id": event_id, "event_kind": event_kind, "environment": environment}
    return {"event_type": EVENT_TYPE, "event_payload": payload}


def mrkdwn(pieces: tuple[Piece, ...]) -> str:
    """Pieces as one line of mrkdwn."""
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: Piece) -> str:
    match piece:
        case Told():
            return literal(piece.text)
        case Link():
            return f"<{_escape(piece.url)}|{literal(piece.label)}>" if _is_web(piece.url) else literal(piece.label)
        case Command():
            return f"`{_escape(piece.text)}`"
        case _:
            return _escape(piece)


def literal(text: str) -> str:
    """Somebody else's words in mrkdwn, doing nothing."""
    shown = visible(text)
    if _MARKS.search(shown):
        return f"`{_escape(shown.replace('`', chr(0x2019)))}`"
    return _escape(shown)


def visible(text: str) -> str:
    """One line of what a reader can see, and not too much of it."""
    cut = text if len(text) <= _TOLD_LIMIT else f"{text[:_TOLD_LIMIT]}…"
    return " ".join("".join(" " if unicodedata.category(c) in _INVISIBLE else c for c in cut).split())


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _is_web(url: str) -> bool:
    return len(url) <= _URL_LIMIT and _LINK.fullmatch(url) is not None


def _fact(fact: Fact) -> str:
    return f"*{_escape(fact.label)}*\n{mrkdwn(fact.value)}"


def _list(items: Items) -> str:
    """The list with as many whole lines as there is room for."""
    lines = [f"*{_escape(items.heading)}*"]
    left = _SECTION_LIMIT - len(lines[0]) - len("\n• and 00000 more")
    more = items.more
    for number, line in enumerate(items.lines):
        text = f"• {mrkdwn(line)}"
        if left < len(text) + 1:
            more += len(items.lines) - number
            break
        lines.append(text)
        left -= len(text) + 1
    return "\n".join([*lines, f"• and {more} more"] if more else lines)


def _paragraph(pieces: tuple[Piece, ...]) -> Json:
    if any(isinstance(piece, Link | Command) for piece in pieces):
        return _mrkdwn(mrkdwn(pieces), _SECTION_LIMIT)
    words = "".join(_plain(piece) for piece in pieces)
    return {"type": "plain_text", "text": words[:_SECTION_LIMIT], "emoji": False}


def _plain(piece: Piece) -> str:
    """A piece as plain text."""
    match piece:
        case Told():
            return visible(piece.text)
        case Link():
            return visible(piece.label)
        case Command():
            return piece.text
        case _:
            return piece


def _mrkdwn(text: str, limit: int) -> Json:
    return {"type": "mrkdwn", "text": _cut(text, limit), "verbatim": True}


def _cut(text: str, limit: int) -> str:
    """Within the limit, and never in the middle of an entity or a link."""
    if len(text) <= limit:
        return text
    short = text[: limit - 1]
    for opening, closing in (("<", ">"), ("&", ";")):
        if short.rfind(opening) > short.rfind(closing):
            short = short[: short.rfind(opening)]
    return f"{short}…"


def _button(link: Link) -> Json:
    return {"type": "button", "text": {"type": "plain_text", "text": link.label[:75]}, "url": link.url}

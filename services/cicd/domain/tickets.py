"""What somebody told the platform team, as a ticket. Pure.

Invariants
- A ticket carries the id of the feedback it is about, by which it is found again; what a person wrote
  stands in a quotation and can neither end it, nor mention anybody, nor close anything.
- What somebody wrote under a ticket is passed on as text, cut to its length, without what is not shown.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from contracts.signals import FeedbackGiven, Reply, TicketStatus

Outcome = Literal["completed", "not_planned", "duplicate"]
"""Why an issue was closed."""
LABEL: Final = "slipway-feedback"
_TITLE_LENGTH: Final = 80
_MENTION: Final = re.compile(r"[@#](?=\w)")
_MARK: Final = re.compile(r"<!-- slipway feedback ([0-9a-f-]{36}) -->")
_COMMENT: Final = re.compile(r"<!--.*?(-->|$)", re.DOTALL)
_UNSEEN: Final = re.compile(r"[^\S\n]+$|[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", re.MULTILINE)
"""Blanks at the ends of lines, control characters, and what turns the direction of text."""
_TEXT_LENGTH: Final = 2000
_NAME_LENGTH: Final = 100
_LONGEST_TITLE: Final = 200
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>!|])")


@dataclass(frozen=True)
class Ticket:
    """An issue on the forge."""

    number: int
    title: str
    url: str


@dataclass(frozen=True)
class TicketRecord:
    """An issue as a list of changed ones shows it."""

    number: int
    title: str
    url: str
    body: str
    state: Literal["open", "closed"]
    outcome: Outcome | None
    replies: int
    changed_at: datetime


@dataclass(frozen=True)
class TicketReply:
    """What somebody wrote under an issue."""

    author: str
    text: str
    at: datetime


def mark(feedback_id: UUID) -> str:
    """The line of a ticket by which it is found again; it is not shown."""
    return f"<!-- slipway feedback {feedback_id} -->"


def title_of(feedback: FeedbackGiven) -> str:
    """The first line, as far as it fits."""
    first = " ".join(feedback.data.text.split())
    return first if len(first) <= _TITLE_LENGTH else f"{first[: _TITLE_LENGTH - 1]}…"


def body_of(feedback: FeedbackGiven, platform_url: str) -> str:
    """The ticket's text in Markdown, with what it is about."""
    told = feedback.data
    quoted = "\n".join(f"> {_plain(line)}" for line in told.text.splitlines() or [""])
    about = [f"From: {_plain(told.person)}"]
    if told.page:
        about.append(f"Page: `{told.page.replace('`', '')}`")
    if told.run_id:
        about.append(f"Run: {platform_url}/runs/{told.run_id}")
    if feedback.traceparent:
        about.append(f"Trace: `{feedback.traceparent.split('-')[1]}`")
    return "\n".join([quoted, "", *(f"- {line}" for line in about), "", mark(feedback.id)])


def feedback_of(body: str) -> UUID | None:
    """The feedback that a ticket is about, by its mark; None for an issue that is none of ours."""
    found = [match.group(1) for line in body.splitlines() if (match := _MARK.fullmatch(line.strip()))]
    try:
        return UUID(found[-1]) if found else None
    except ValueError:
        return None


def status_of(repository: str, ticket: TicketRecord, feedback_id: UUID, reply: TicketReply | None) -> TicketStatus:
    """How a ticket stands, for whoever opened it."""
    return TicketStatus.model_validate(
        {
            "ticket": f"{repository}#{ticket.number}",
            "feedback_id": feedback_id,
            "title": ticket.title[:_LONGEST_TITLE],
            "url": ticket.url,
            "state": ticket.state,
            "outcome": ticket.outcome if ticket.state == "closed" else None,
            "replies": ticket.replies,
            "reply": Reply(author=reply.author[:_NAME_LENGTH], text=_readable(reply.text), at=reply.at)
            if reply is not None
            else None,
        }
    )


def _readable(text: str) -> str:
    shown = _UNSEEN.sub("", _COMMENT.sub("", text.replace("\r\n", "\n"))).strip()
    return shown if len(shown) <= _TEXT_LENGTH else f"{shown[: _TEXT_LENGTH - 1]}…"


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is, and in which nobody is mentioned and nothing referred to."""
    return _MENTION.sub(lambda found: f"{found.group()}\u200b", _SPECIAL.sub(r"\\\1", text))

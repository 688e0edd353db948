"""What somebody told the platform team, as a ticket. Pure.

Invariant: a ticket carries the id of the feedback it is about, by which it is found again; what a person wrote stands
in a quotation and can neither end it, nor mention anybody, nor close anything.
"""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from contracts.signals import FeedbackGiven

LABEL: Final = "slipway-feedback"
_TITLE_LENGTH: Final = 80
_MENTION: Final = re.compile(r"[@#](?=\w)")
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>!|])")


@dataclass(frozen=True)
class Ticket:
    """An issue on the forge."""

    number: int
    title: str
    url: str


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


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is, and in which nobody is mentioned and nothing referred to."""
    return _MENTION.sub(lambda found: f"{found.group()}\u200b", _SPECIAL.sub(r"\\\1", text))

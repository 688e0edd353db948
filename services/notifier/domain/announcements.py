"""What an announcement is made of."""

from dataclasses import dataclass
from typing import Final, Literal

Tone = Literal["good", "bad", "waiting", "gone", "warning"]

ITEMS_SHOWN: Final = 10
"""How many of a list are named before "and n more"."""


@dataclass(frozen=True)
class Told:
    """Words of somebody else: shown literally."""

    text: str


@dataclass(frozen=True)
class Link:
    """A place to go: http or https only."""

    label: str
    url: str


@dataclass(frozen=True)
class Command:
    """Something to type, of our own words only."""

    text: str


Piece = str | Told | Link | Command
"""Our own words, somebody else's, a link, or a command."""


@dataclass(frozen=True)
class Fact:
    """A labelled detail."""

    label: str
    value: tuple[Piece, ...]


@dataclass(frozen=True)
class Items:
    """A heading and what belongs under it; `more` is how many were left out."""

    heading: str
    lines: tuple[tuple[Piece, ...], ...]
    more: int = 0


@dataclass(frozen=True)
class Announcement:
    """One message to one channel. `title` is ours around the environment's name, which is a safe word."""

    tone: Tone
    title: str
    paragraphs: tuple[tuple[Piece, ...], ...]
    facts: tuple[Fact, ...] = ()
    items: tuple[Items, ...] = ()
    links: tuple[Link, ...] = ()

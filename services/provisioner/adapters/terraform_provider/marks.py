"""The mark that says whose a thing is.

Invariant: a mark is written in the same atomic step as the thing it marks, so there is no moment at which a
thing of ours could be mistaken for somebody else's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TEXT: Final = re.compile(r"slipway environment=([a-z0-9-]{1,63}) incarnation=([A-Za-z0-9._-]{1,64})")
_ENVIRONMENT: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_INCARNATION: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Mark:
    """One environment in one incarnation (the id of the event that began it)."""

    environment: str
    incarnation: str

    def __post_init__(self) -> None:
        """Refuse what could not be read back unambiguously."""
        if not _ENVIRONMENT.fullmatch(self.environment):
            raise ValueError("environment must be a DNS label: a-z, 0-9 and '-', at most 63 characters")
        if not _INCARNATION.fullmatch(self.incarnation):
            raise ValueError("incarnation must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '-'")

    def __str__(self) -> str:
        """The text stored beside the thing; `parse` reads it back."""
        return f"slipway environment={self.environment} incarnation={self.incarnation}"

    @classmethod
    def parse(cls, text: str | None) -> Mark | None:
        """The mark in `text`, or None when it is not one of ours."""
        found = _TEXT.fullmatch(text or "")
        return cls(found[1], found[2]) if found else None


class Refused(Exception):  # noqa: N818 -- named for what happened; "RefusedError" says it twice
    """The thing exists and is not this environment's: never adopted, never changed, never deleted."""

    def __init__(self, thing: str, owner: str | None) -> None:
        """`thing` names it for a person; `owner` is the text of the mark found, None when there is none."""
        whose = f"is marked '{owner}'" if owner else "carries no Slipway mark"
        super().__init__(
            f"{thing} exists and {whose}. It was left untouched: rename or remove it, or choose another name."
        )


class Busy(Exception):  # noqa: N818
    """Somebody holds what is needed; the same call will succeed later."""


def check_ours(thing: str, mark: Mark, found: str | None) -> None:
    """Raise `Refused` unless `found` (the text read from the thing) is exactly `mark`."""
    if Mark.parse(found) != mark:
        raise Refused(thing, found)

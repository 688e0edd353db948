"""Cursors: where the next page begins, as one opaque word.

Invariant: a cursor that we did not make, or made for another list, is refused; so nobody comes to depend on what is in
one, and nobody can ask for what the list would not have shown.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

from services.gateway.domain.refusals import BrokenRule, InvalidError


@dataclass(frozen=True)
class Cursors:
    """Makes and reads them. `sign` gives an unguessable text that follows from its argument."""

    sign: Callable[[str], str]

    def make(self, of_list: str, position: str) -> str:
        """The cursor for `position` in a list, which is named by everything that decides what is in it."""
        signed = f"{position} {self.sign(f'{of_list} {position}')}"
        return base64.urlsafe_b64encode(signed.encode()).decode().rstrip("=")

    def read(self, of_list: str, cursor: str) -> str:
        """The position. Raises `InvalidError` for what `make` did not give for this list."""
        try:
            text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        except (binascii.Error, ValueError):
            text = ""
        position, _, signature = text.rpartition(" ")
        if not position or signature != self.sign(f"{of_list} {position}"):
            raise InvalidError([BrokenRule("cursor", "must be the next_cursor of the page before, of the same list")])
        return position

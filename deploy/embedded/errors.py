"""The one exception of the embedded platform: a message for the person at the terminal."""

from __future__ import annotations


class PlatformError(Exception):
    """Something the person can mend. `str(error)` says what happened, `remedy` what to do next."""

    def __init__(self, message: str, *, remedy: str = "", details: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
        self.details = details

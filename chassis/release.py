"""Which release this code is.

Invariant: the same as `version` of pyproject.toml (a test compares them). It stands here too because a container holds
the code without its distribution, and what a database may be made into depends on it.
"""

from typing import Final

RELEASE: Final = "0.1.0"


def as_numbers(release: str) -> tuple[int, ...]:
    """A release for comparing, such as (0, 1, 0). Raises ValueError where it is not digits with dots between."""
    return tuple(int(number) for number in release.split("."))

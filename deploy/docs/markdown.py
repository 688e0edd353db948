"""Markdown, from values."""

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; nothing where there are no rows."""
    lines = [f"| {' | '.join(cell(part) for part in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines, ""]) if lines else ""


def cell(text: str) -> str:
    """`text` on one line, with nothing that ends a cell. In code a bar ends none, and a backslash would be seen."""
    return re.sub(r"`[^`]*`|\|", lambda part: part[0].replace("|", "\\|") if part[0] == "|" else part[0], _line(text))


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def code(text: str) -> str:
    """`text` as code."""
    return f"`{text}`" if text else ""


def paragraph(text: str) -> str:
    """`text` with its lines joined, and no HTML in it."""
    return "\n\n".join(re.sub(r"\s+", " ", part).replace("<", "&lt;").strip() for part in text.split("\n\n"))

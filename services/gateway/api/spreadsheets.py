"""Files for spreadsheets: comma-separated values (RFC 4180) in which no cell is a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

from fastapi import Response

MEDIA_TYPE: Final = "text/csv; charset=utf-8"
_STARTS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def disposition(name: str) -> dict[str, str]:
    """The header by which a browser keeps an answer as a file of this name."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def written(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as text; None is an empty cell, and text that a spreadsheet would take for a formula stays text."""
    text = io.StringIO()
    csv.writer(text).writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def file_of(rows: Iterable[Sequence[Any]], name: str) -> Response:
    """An answer that is a file."""
    return Response(written(rows), media_type=MEDIA_TYPE, headers=disposition(name))


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_STARTS_A_FORMULA) else cell

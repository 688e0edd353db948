"""What of the chart follows from the code, and whether it is current."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from deploy.helm import bus, schema
from deploy.helm.table import values_table
from deploy.image.processes import PROJECT

CHART: Final = Path(__file__).resolve().parent / "slipway"
_ALERTS: Final = PROJECT / "deploy" / "observability" / "alerts.yml"
_BEGIN: Final = "<!-- values: written by `python -m deploy.helm write` -->\n"
_END: Final = "<!-- end of values -->\n"


def files() -> Mapping[Path, str]:
    """Every generated file with its text. Raises ValueError where the README has lost its marks."""
    return {
        CHART / "files" / "nats.json": _json(bus.server()),
        CHART / "files" / "reader.json": _json(bus.reader()),
        # A chart reads nothing outside itself.
        CHART / "files" / "alerts.yaml": _ALERTS.read_text(encoding="utf-8"),
        CHART / "values.schema.json": _json(schema.values_schema()),
        CHART / "README.md": _readme(),
    }


def stale() -> Mapping[Path, str]:
    """Those whose text is another one on disk, with what it must be."""
    return {
        path: text for path, text in files().items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _readme() -> str:
    text = (CHART / "README.md").read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"README.md of the chart must have the lines {_BEGIN!r} and {_END!r}")
    table = values_table((CHART / "values.yaml").read_text(encoding="utf-8"))
    return f"{before}{begin}\n{table}\n\n{end}{after}"

"""Writes the published language to `contracts/published/`: one JSON Schema a message, and `asyncapi.json`.

Run as `python -m deploy.schemas` after a change of contracts. A change that breaks what is published fails
`tests/contract/test_compatibility.py`, which is run before the new files are committed.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contracts.schemas import asyncapi, json_schemas

PUBLISHED = Path(__file__).parent.parent / "contracts" / "published"


def documents() -> dict[str, dict[str, Any]]:
    """Every published document by file name."""
    found = {f"{name}.json": schema for name, schema in json_schemas().items()}
    found["asyncapi.json"] = asyncapi(version("slipway"))
    return found


def main() -> None:
    """Write what has changed."""
    PUBLISHED.mkdir(exist_ok=True)
    for name, document in documents().items():
        (PUBLISHED / name).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Records a release's published language: `python -m tests.contract.record 0.1.0`, run once when it is released.

What is recorded is never edited: `test_compatibility.py` holds it against the code of every later day.
"""

import json
import sys
from pathlib import Path

from contracts.schemas import json_schemas
from tests.every_message import every_event, every_signal

RECORDED = Path(__file__).parent / "recorded"


def main(release: str) -> None:
    """Write the schemas, and a log with one message of every kind."""
    directory = RECORDED / release
    (directory / "schemas").mkdir(parents=True, exist_ok=True)
    for name, schema in json_schemas().items():
        (directory / "schemas" / f"{name}.json").write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")
    messages = [event.to_json() for event in every_event()] + [signal.to_json() for signal in every_signal()]
    (directory / "log.jsonl").write_bytes(b"\n".join(messages) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])

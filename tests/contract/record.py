"""Records a release's published language: `python -m tests.contract.record 0.1.0`, run once when it is released.

What is recorded is never edited: `test_compatibility.py` and `test_recorded_log.py` hold it against the code of every
later day, and `tests/integration/test_previous_release.py` runs the code of its commit beside it.
"""

import json
import subprocess
import sys
from pathlib import Path

from chassis import migrations
from contracts.schemas import json_schemas
from deploy.migrations import SERVICES, scripts
from tests.contract import history
from tests.every_message import every_event, every_signal

RECORDED = Path(__file__).parent / "recorded"


def main(release: str) -> None:
    """Write everything that later releases are held against."""
    directory = RECORDED / release
    (directory / "schemas").mkdir(parents=True, exist_ok=True)
    for name, schema in json_schemas().items():
        (directory / "schemas" / f"{name}.json").write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")
    messages = [event.to_json() for event in every_event()] + [signal.to_json() for signal in every_signal()]
    (directory / "log.jsonl").write_bytes(b"\n".join(messages) + b"\n")
    record_history(directory)
    for service in SERVICES:
        (directory / f"{service}.sql").write_text(migrations.offline_sql(scripts(service), "expand"), encoding="utf-8")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    (directory / "commit").write_text(commit, encoding="utf-8")


def record_history(directory: Path) -> None:
    """Write what happened to some environments, and what the catalog makes of it."""
    log, facts = history.lines(history.events_told()), history.lines(history.facts_told())
    written = [{"subject": line.subject.decode(), "body": line.body.decode()} for line in (*log, *facts)]
    (directory / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in written), encoding="utf-8")
    views = json.dumps(history.folded(log, facts).document(), indent=1)
    (directory / "views.json").write_text(views + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

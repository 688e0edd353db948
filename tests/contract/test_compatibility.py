"""The published language changes only in ways that neither an older reader nor an older writer notices."""

import json
from pathlib import Path
from typing import Any

import pytest

from contracts.events import parse
from contracts.schemas import json_schemas
from contracts.signals import parse_signal
from contracts.upcasting import LIFTS
from deploy.schemas import PUBLISHED, documents
from tests.contract.schema_diff import breaking_changes

RECORDED = Path(__file__).parent / "recorded"
RELEASES = sorted(path for path in RECORDED.iterdir() if path.is_dir())


def test_the_published_documents_are_those_of_the_code() -> None:
    published = {path.name: json.loads(path.read_text()) for path in PUBLISHED.glob("*.json")}
    assert published == documents(), "run `python -m deploy.schemas`"


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_nothing_breaks_for_who_knows_an_earlier_release(release: Path) -> None:
    today = json_schemas()
    for path in sorted((release / "schemas").glob("*.json")):
        if f"slipway.{path.stem}" in LIFTS:
            continue  # that version has ended; what was said in it is read as today's (below)
        assert path.stem in today, f"{path.stem} was published and is gone: give it a lift in contracts.upcasting"
        assert breaking_changes(json.loads(path.read_text()), today[path.stem]) == []


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_todays_code_reads_what_an_earlier_release_wrote(release: Path) -> None:
    lines = (release / "log.jsonl").read_text().splitlines()
    kinds = {parse(line.encode()).kind if "runid" in line else parse_signal(line.encode()).kind for line in lines}
    assert len(kinds) == len(list((release / "schemas").glob("*.json")))


def _base() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"type": "string", "maxLength": 10}, "b": {"enum": ["x", "y"]}, "c": {"$ref": "#/$defs/C"}},
        "$defs": {"C": {"type": "object", "properties": {"d": {"type": "integer"}}}},
    }


BREAKS: dict[str, Any] = {
    "a field becomes required": lambda s: s["required"].append("b"),
    "a field that was required may be absent": lambda s: s["required"].remove("a"),
    "a field is gone": lambda s: s["properties"].pop("b"),
    "a type changes": lambda s: s["properties"]["a"].update(type="integer"),
    "a type changes deep inside": lambda s: s["$defs"]["C"]["properties"]["d"].update(type="string"),
    "a choice is gone": lambda s: s["properties"]["b"].update(enum=["x"]),
    "a rule becomes stricter": lambda s: s["properties"]["a"].update(maxLength=5),
    "a pattern appears": lambda s: s["properties"]["a"].update(pattern="^a"),
}


@pytest.mark.parametrize("change", BREAKS)
def test_the_comparison_finds(change: str) -> None:
    changed = _base()
    BREAKS[change](changed)
    assert breaking_changes(_base(), changed) != []


def test_the_comparison_allows_a_new_optional_field() -> None:
    changed = _base()
    changed["properties"]["new"] = {"type": "string"}
    assert breaking_changes(_base(), changed) == []

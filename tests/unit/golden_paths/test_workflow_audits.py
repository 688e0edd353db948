"""What two programs say of the workflows: actionlint (would GitHub run it?) and zizmor (could it be turned on us?).

They look at the workflow of every golden path, also when its values are the corpus of hostile inputs and validation was
forgotten: a value comes out as text that changes nothing, or no workflow comes out.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import pytest

from chassis.failures import PermanentError
from tests.unit.golden_paths.samples import PUBLISHED, workflow
from tests.unit.hostile import inputs

BIN = Path(sys.executable).parent
HOSTILE = tuple(dict.fromkeys(chain(*map(inputs, ("names", "branches", "texts", "repositories")))))


def audit(directory: Path) -> list[dict[str, object]]:
    done = subprocess.run(
        [BIN / "zizmor", "--offline", "--no-progress", "--quiet", "--format", "json", "--strict-collection", directory],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    findings: list[dict[str, object]] = json.loads(done.stdout)
    return findings


def lint(directory: Path) -> list[dict[str, object]]:
    """What actionlint finds. It knows no shell here: that would depend on what is installed."""
    files = sorted(directory.rglob("*.yml"))
    done = subprocess.run(
        [BIN / "actionlint", "-no-color", "-shellcheck=", "-pyflakes=", "-format", "{{json .}}", *files],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    findings: list[dict[str, object]] = json.loads(done.stdout or "[]") or []
    return findings


def hostile_workflows(golden_path: str) -> Iterator[bytes]:
    """The workflow with each hostile input in every place that takes text, where one comes out. (That none leaves the
    comment at the top is shown in `test_published`.)"""
    for text in HOSTILE:
        with suppress(PermanentError):
            yield asyncio.run(workflow(golden_path=golden_path, environment=text, branch=text, url=text, path=text))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where both programs look for workflows."""
    made = tmp_path / ".github" / "workflows"
    made.mkdir(parents=True)
    return made


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize(
    ("url", "path"), [("http://demo-api.slipway.localhost:8015", None), (None, None), (None, "services/@acme/demo.api")]
)
def test_nothing_is_found_in_a_workflow(name: str, url: str | None, path: str | None, directory: Path) -> None:
    (directory / "deploy.yml").write_bytes(asyncio.run(workflow(golden_path=name, url=url, path=path)))
    assert (audit(directory), lint(directory)) == ([], [])


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_hostile_value_gives_a_workflow_in_which_something_is_found(name: str, directory: Path) -> None:
    made = list(dict.fromkeys(hostile_workflows(name)))
    assert len(made) >= 0.7 * len(HOSTILE)
    for number, text in enumerate(made):
        (directory / f"deploy-{number:03}.yml").write_bytes(text)
    assert audit(directory) == []
    # What is no branch to Git is found as just that; such a workflow is never committed.
    assert {finding["kind"] for finding in lint(directory)} <= {"glob", "syntax-check"}


def test_the_programs_do_find_something(directory: Path) -> None:
    (directory / "bad.yml").write_text(
        "name: Bad\non: pull_request_target\njobs:\n  bad:\n    runs-on: ubuntu-latest\n    steps:\n"
        "      - uses: actions/checkout@v6\n      - run: echo ${{ github.event.pull_request.title }}\n"
        "      - run: echo ${{ nothing.here }}\n"
    )
    found = {finding["ident"] for finding in audit(directory)}
    assert {"template-injection", "dangerous-triggers"} <= found
    assert any("nothing" in str(finding["message"]) for finding in lint(directory))

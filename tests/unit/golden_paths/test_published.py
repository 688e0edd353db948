"""Every golden path that is published: what a developer gets is real, and no input can bend it."""

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from chassis.failures import PermanentError
from contracts.names import BranchName, EnvironmentName, RepositoryName
from contracts.values import Kind
from services.cicd.adapters.actionlint import Actionlint
from services.cicd.adapters.golden_paths import parse_yaml
from tests.unit.golden_paths.samples import (
    NODE,
    PATHS,
    PUBLISHED,
    ROOT,
    needs_node,
    skeleton,
    values,
    workflow,
    written,
)
from tests.unit.hostile import inputs

FULL_SHA = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
ASSETS = {".css", ".html", ".js", ".json", ".md", ".svg", ".txt"}

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
BRANCHES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,119}", fullmatch=True)

each_golden_path = pytest.mark.parametrize("name", PUBLISHED)


def allowed(kind: Any, text: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return False
    return True


def test_a_worker_a_site_and_an_api_are_published() -> None:
    assert {"frontend", "nodejs-api", "worker"} <= set(PUBLISHED)


# -- manifest ----------------------------------------------------------------------------------------------------------


@each_golden_path
async def test_the_manifest_loads_and_its_files_are_there(name: str) -> None:
    path = await PATHS.find(name)
    assert (ROOT / name / path.pipeline.workflow_template).is_file()
    files = await skeleton(golden_path=name)
    assert path.runtime.start[0] == "node"
    assert path.runtime.start[1] in files


@each_golden_path
@pytest.mark.parametrize("kind", ["preview", "staging", "production"])
async def test_a_name_alone_gives_an_environment_of_every_kind_with_a_price(name: str, kind: Kind) -> None:
    path = await PATHS.find(name)
    parameters = path.resolve(kind, {})
    assert set(parameters) == set(path.parameters.properties)
    assert path.cost_per_hour(parameters) > 0
    links = path.links_of({"name": "demo", "kind": kind, "namespace": "demo"})
    assert set(links) == {"logs", "metrics", "runbook"}


# -- skeleton ----------------------------------------------------------------------------------------------------------


@each_golden_path
async def test_the_skeleton_has_no_placeholder_left_and_no_template_in_it(name: str) -> None:
    files = await skeleton(golden_path=name)
    assert {"package.json", "README.md", ".gitignore", "eslint.config.js", "Dockerfile"} <= set(files)
    for file in files.values():
        assert b"__SLIPWAY" not in file.content, file.path
        assert b"{{" not in file.content, file.path
        assert file.content.endswith(b"\n"), file.path
    package = json.loads(files["package.json"].content)
    assert package["name"] == "demo-api"
    assert json.loads(files["package-lock.json"].content)["packages"][""]["name"] == "demo-api"
    assert not {"dependencies", "devDependencies"} & set(package)


@each_golden_path
async def test_a_skeleton_is_nothing_but_short_text(name: str) -> None:
    for file in (await skeleton(golden_path=name)).values():
        suffix = Path(file.path).suffix
        assert suffix in ASSETS or "/" not in file.path, file.path
        assert len(file.content.decode().splitlines()) <= 300, file.path


@each_golden_path
@pytest.mark.parametrize("text", inputs("texts"))
async def test_hostile_text_comes_out_literally_or_not_at_all(name: str, text: str) -> None:
    plain, files = await skeleton(golden_path=name), await skeleton(golden_path=name, description=text)
    assert json.loads(files["package.json"].content) == json.loads(plain["package.json"].content) | {
        "description": text
    }
    readme = files["README.md"].content.decode()
    assert len(readme.splitlines()) == len(plain["README.md"].content.decode().splitlines())
    line = readme.splitlines()[2]
    assert not re.search(r"(?<!\\)[<>`\[\]|*&$]", line.replace("\\\\", ""))
    assert all(character.isprintable() for character in line)
    changed = {path for path in files if files[path] != plain[path]}
    assert changed == {"package.json", "README.md"}


@needs_node
@each_golden_path
def test_the_skeletons_own_tests_pass(name: str, tmp_path: Path) -> None:
    """As its pipeline runs them. Those of the worker that need a database run in `test_worker.py`."""
    directory = written(asyncio.run(skeleton(golden_path=name)), tmp_path)
    assert json.loads((directory / "package.json").read_text())["scripts"]["test"] == "node --test"
    done = subprocess.run(
        [str(NODE), "--test"], cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"^# fail 0$", done.stdout, re.MULTILINE)
    assert re.search(r"^# (skipped|todo|cancelled) [^0]", done.stdout, re.MULTILINE) is None
    left = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    assert left == set(asyncio.run(skeleton(golden_path=name))), "the tests leave nothing behind"


# -- workflow ----------------------------------------------------------------------------------------------------------


@each_golden_path
async def test_the_workflow_holds_to_least_privilege(name: str) -> None:
    text = (await workflow(golden_path=name)).decode()
    tree = parse_yaml(text)
    assert tree["permissions"] == {}
    assert tree["on"]["push"] == {"branches": ["main"]}
    assert tree["jobs"]["test"]["permissions"] == {"contents": "read"}
    assert tree["jobs"]["deploy"]["permissions"] == {"contents": "read", "id-token": "write"}
    assert tree["jobs"]["deploy"]["environment"]["name"] == "demo-api"
    assert tree["jobs"]["deploy"]["concurrency"] == {"group": "slipway-demo-api", "cancel-in-progress": False}
    assert tree["jobs"]["deploy"]["needs"] == "test"
    assert "secrets." not in text
    for job in tree["jobs"].values():
        for step in job["steps"]:
            assert step["name"]
            assert step["timeout-minutes"] > 0
            assert "${{" not in step.get("run", "")
            if "checkout" in step.get("uses", ""):
                assert step["with"] == {"persist-credentials": False}
    for line in text.splitlines():
        if "uses:" in line:
            assert FULL_SHA.search(line.strip()), line


@each_golden_path
async def test_a_workflow_without_a_url_has_none(name: str) -> None:
    text = await workflow(golden_path=name, url=None)
    assert parse_yaml(text.decode())["jobs"]["deploy"]["environment"] == {"name": "demo-api"}
    assert await Actionlint().problems(text) == []


@each_golden_path
@given(environment=NAMES, branch=BRANCHES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
async def test_whatever_is_allowed_gives_the_intended_workflow_and_actionlint_agrees(
    name: str, environment: str, branch: str
) -> None:
    if not (allowed(EnvironmentName, environment) and allowed(BranchName, branch)):
        return
    url = f"http://{environment}.slipway.localhost:8015"
    text = await workflow(golden_path=name, environment=environment, branch=branch, url=url)
    tree, plain = parse_yaml(text.decode()), parse_yaml((await workflow(golden_path=name)).decode())
    assert tree["name"] == f"Deploy {environment}"
    assert tree["on"] == {"push": {"branches": [branch]}, "pull_request": {"branches": [branch]}} | {
        "workflow_dispatch": None
    }
    deploy = tree["jobs"]["deploy"]
    assert deploy["environment"] == {"name": environment, "url": url}
    assert deploy["concurrency"]["group"] == f"slipway-{environment}"
    given_to = [step["env"]["SLIPWAY_ENVIRONMENT"] for step in deploy["steps"] if "env" in step]
    assert given_to == [environment]
    assert _code(tree) == _code(plain)
    assert await Actionlint().problems(text) == []


def _code(tree: Any) -> list[Any]:
    """What runs, and when: nothing of it may depend on a value."""
    return [
        [(step["name"], step.get("run"), step.get("uses"), step.get("if")) for step in job["steps"]]
        for job in tree["jobs"].values()
    ]


@each_golden_path
@pytest.mark.parametrize("place", ["names", "branches", "texts"])
async def test_hostile_values_never_change_what_a_workflow_does(name: str, place: str) -> None:
    """Even where validation was forgotten: a value comes out as that very string, or nothing comes out."""
    plain = parse_yaml((await workflow(golden_path=name)).decode())
    for text in inputs(place):
        try:
            tree = parse_yaml((await workflow(golden_path=name, branch=text)).decode())
        except PermanentError:
            continue
        assert tree["on"]["push"]["branches"] == ([text] if text else [""])
        tree["on"] = plain["on"]
        assert tree == plain, text


@each_golden_path
@pytest.mark.parametrize("place", ["names", "branches", "texts"])
async def test_hostile_values_cannot_leave_the_comment_at_the_top(name: str, place: str) -> None:
    plain = parse_yaml((await workflow(golden_path=name)).decode())
    for text in inputs(place):
        try:
            tree = parse_yaml((await workflow(golden_path=name, golden_path_version=text)).decode())
        except PermanentError:
            continue
        assert tree == plain, text


@pytest.mark.parametrize(
    ("kind", "place"), [(EnvironmentName, "names"), (BranchName, "branches"), (RepositoryName, "repositories")]
)
def test_every_hostile_name_is_refused_at_the_door(kind: Any, place: str) -> None:
    assert [text for text in inputs(place) if allowed(kind, text)] == []


async def test_a_golden_path_that_is_not_there_is_an_answer_that_names_all_that_are() -> None:
    with pytest.raises(PermanentError) as refused:
        await PATHS.find("nodejs-apx")
    assert refused.value.code == "golden_path_unknown"
    assert all(name in refused.value.next_step for name in PUBLISHED)
    assert values().golden_path in PUBLISHED

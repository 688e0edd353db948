"""The golden path nodejs-api: what a developer gets is real, and no input can bend it."""

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from chassis.failures import PermanentError
from contracts.names import BranchName, EnvironmentName, RepositoryName
from services.cicd.adapters.actionlint import Actionlint
from services.cicd.adapters.golden_paths import DirectoryGoldenPaths, parse_yaml, quoted
from tests.unit.golden_paths.samples import NODE, PATHS, ROOT, needs_node, skeleton, values, workflow, written
from tests.unit.hostile import inputs

FULL_SHA = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
BRANCHES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,119}", fullmatch=True)


def allowed(kind: Any, text: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return False
    return True


# -- manifest ----------------------------------------------------------------------------------------------------------


async def test_the_manifest_loads_and_its_files_are_there() -> None:
    path = await PATHS.find("nodejs-api")
    assert (ROOT / "nodejs-api" / path.pipeline.workflow_template).is_file()
    files = await skeleton()
    assert path.runtime.start == ("node", "src/main.js")
    assert path.runtime.start[1] in files
    assert path.cost_per_hour(path.resolve("preview", {})) > 0


# -- skeleton ----------------------------------------------------------------------------------------------------------


async def test_the_skeleton_has_no_placeholder_left_and_no_template_in_it() -> None:
    files = await skeleton()
    assert {"package.json", "README.md", ".gitignore", "eslint.config.js", "src/main.js"} <= set(files)
    for file in files.values():
        assert b"__SLIPWAY" not in file.content, file.path
        assert b"{{" not in file.content, file.path
        assert file.content.endswith(b"\n"), file.path
    package = json.loads(files["package.json"].content)
    assert package["name"] == "demo-api"
    assert json.loads(files["package-lock.json"].content)["packages"][""]["name"] == "demo-api"
    assert "dependencies" not in package


@pytest.mark.parametrize("text", inputs("texts"))
async def test_hostile_text_comes_out_literally_or_not_at_all(text: str) -> None:
    plain, files = await skeleton(), await skeleton(description=text)
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
def test_the_skeletons_own_tests_pass(tmp_path: Path) -> None:
    written(asyncio.run(skeleton()), tmp_path)
    done = subprocess.run(
        [str(NODE), "--test", "test/"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"^# fail 0$", done.stdout, re.MULTILINE)
    assert re.search(r"^# skipped 0$", done.stdout, re.MULTILINE)


# -- workflow ----------------------------------------------------------------------------------------------------------


async def test_the_workflow_holds_to_least_privilege() -> None:
    text = (await workflow()).decode()
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


async def test_a_workflow_without_a_url_has_none() -> None:
    tree = parse_yaml((await workflow(url=None)).decode())
    assert tree["jobs"]["deploy"]["environment"] == {"name": "demo-api"}


@given(environment=NAMES, branch=BRANCHES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
async def test_whatever_is_allowed_gives_the_intended_workflow_and_actionlint_agrees(
    environment: str, branch: str
) -> None:
    if not (allowed(EnvironmentName, environment) and allowed(BranchName, branch)):
        return
    text = await workflow(environment=environment, branch=branch)
    tree, plain = parse_yaml(text.decode()), parse_yaml((await workflow()).decode())
    assert tree["on"]["push"]["branches"] == [branch]
    assert tree["jobs"]["deploy"]["environment"]["name"] == environment
    assert [step["name"] for step in tree["jobs"]["deploy"]["steps"]] == [
        step["name"] for step in plain["jobs"]["deploy"]["steps"]
    ]
    assert await Actionlint().problems(text) == []


@pytest.mark.parametrize("place", ["names", "branches", "texts"])
async def test_hostile_values_never_change_what_a_workflow_does(place: str) -> None:
    """Even where validation was forgotten: a value comes out as that very string, or nothing comes out."""
    plain = parse_yaml((await workflow()).decode())
    for text in inputs(place):
        try:
            tree = parse_yaml((await workflow(branch=text)).decode())
        except PermanentError:
            continue
        assert tree["on"]["push"]["branches"] == ([text] if text else [""])
        tree["on"] = plain["on"]
        assert tree == plain, text


@pytest.mark.parametrize("place", ["names", "branches", "texts"])
async def test_hostile_values_cannot_leave_the_comment_at_the_top(place: str) -> None:
    plain = parse_yaml((await workflow()).decode())
    for text in inputs(place):
        try:
            tree = parse_yaml((await workflow(golden_path_version=text)).decode())
        except PermanentError:
            continue
        assert tree == plain, text


@pytest.mark.parametrize(
    ("kind", "place"), [(EnvironmentName, "names"), (BranchName, "branches"), (RepositoryName, "repositories")]
)
def test_every_hostile_name_is_refused_at_the_door(kind: Any, place: str) -> None:
    assert [text for text in inputs(place) if allowed(kind, text)] == []


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_quoted_value_is_that_value_again(text: str) -> None:
    assert parse_yaml(f"a: {quoted(text)}\n") == {"a": text}
    assert yaml.safe_load(f"[{quoted(text)}]") == [text]


@pytest.mark.parametrize("document", inputs("yaml"))
def test_yaml_that_is_more_than_data_is_refused(document: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml(document)


def test_words_that_yaml_1_1_takes_for_booleans_are_words() -> None:
    assert parse_yaml("on: [no, yes, off, y, true]") == {"on": ["no", "yes", "off", "y", True]}


# -- a golden path that is itself wrong --------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "nodejs-api", tmp_path / "nodejs-api")
    return tmp_path


@pytest.mark.parametrize(
    "template",
    [
        "on: push\njobs: {a: {steps: [{run: 'echo {{ environment }}'}]}}\n",
        "on: push\njobs: {a: {if: \"github.ref == '{{ branch }}'\"}}\n",
        "on: push\nname: ${{ '${{' }} {{ environment }} }}\n",
        "on: push\nname: {{ nothing }}\n",
        "on: push\nname: {{ environment.__class__.__mro__ }}\n",
        "on: [push\n",
    ],
)
async def test_a_template_that_puts_values_into_code_is_refused(copied: Path, template: str) -> None:
    (copied / "nodejs-api/pipeline/deploy.yml.j2").write_text(template)
    paths = DirectoryGoldenPaths(copied)
    with pytest.raises(PermanentError) as refused:
        await paths.workflow(await paths.find("nodejs-api"), values())
    assert refused.value.code == "golden_path_broken"


async def test_an_unquoted_value_that_would_change_the_tree_is_refused(copied: Path) -> None:
    (copied / "nodejs-api/pipeline/deploy.yml.j2").write_text("on: push\nname: {{ branch }}\n")
    paths = DirectoryGoldenPaths(copied)
    path = await paths.find("nodejs-api")
    assert parse_yaml((await paths.workflow(path, values())).decode())["name"] == "main"
    for branch in ("1", "true", "null", "a: b", "x\njobs: {}", "[x]", "&a b"):
        with pytest.raises(PermanentError):
            await paths.workflow(path, values(branch=branch))


async def test_a_placeholder_where_it_cannot_be_quoted_is_refused(copied: Path) -> None:
    (copied / "nodejs-api/skeleton/src/main.js").write_text("const name = '__SLIPWAY_NAME__';\n")
    paths = DirectoryGoldenPaths(copied)
    with pytest.raises(PermanentError, match=r"src/main\.js"):
        await paths.skeleton(await paths.find("nodejs-api"), values())


async def test_a_symbolic_link_in_a_skeleton_is_refused(copied: Path) -> None:
    (copied / "nodejs-api/skeleton/passwd").symlink_to("/etc/passwd")
    paths = DirectoryGoldenPaths(copied)
    with pytest.raises(PermanentError, match="symbolic link"):
        await paths.skeleton(await paths.find("nodejs-api"), values())


async def test_a_golden_path_that_is_not_there_is_an_answer_that_names_the_others() -> None:
    with pytest.raises(PermanentError) as refused:
        await PATHS.find("nodejs-apx")
    assert refused.value.code == "golden_path_unknown"
    assert "nodejs-api" in refused.value.next_step


async def test_a_manifest_that_is_not_valid_is_the_platforms_fault(copied: Path) -> None:
    manifest = copied / "nodejs-api/golden_path.yaml"
    manifest.write_text(manifest.read_text() + "surprise: 1\n")
    with pytest.raises(PermanentError) as refused:
        await DirectoryGoldenPaths(copied).find("nodejs-api")
    assert refused.value.code == "golden_path_broken"

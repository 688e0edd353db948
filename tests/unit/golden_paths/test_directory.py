"""The directory of golden paths: a golden path that is itself wrong gives nothing, and says whose fault it is."""

import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chassis.failures import PermanentError
from services.cicd.adapters.golden_paths import DirectoryGoldenPaths, parse_yaml, quoted
from tests.unit.golden_paths.samples import PATHS, ROOT, values
from tests.unit.hostile import inputs


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

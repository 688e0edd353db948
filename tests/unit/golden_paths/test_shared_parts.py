"""Each golden path is a directory of its own, so what they share stands in each of them. Here is what that is: whoever
changes it in one changes it in all, or says here that they differ.
"""

import json
import re
from typing import Any

import pytest

from services.cicd.adapters.golden_paths import parse_yaml
from tests.unit.golden_paths.samples import PATHS, PUBLISHED, ROOT, workflow

MODEL = "nodejs-api"
OTHERS = sorted(set(PUBLISHED) - {MODEL})

STEPS_OF_ITS_OWN: dict[str, dict[str, list[str]]] = {
    "nodejs-api": {"test": [], "deploy": []},
    "worker": {"test": [], "deploy": []},
    "frontend": {"test": ["Build the site"], "deploy": ["Install the dependencies", "Build the site"]},
}
"""By golden path and job, the steps that the model does not have there. Everything else is the model's."""

each_other = pytest.mark.parametrize("name", OTHERS)


def text_of(name: str, path: str) -> str:
    return (ROOT / name / path).read_text()


def block(text: str, opening: str) -> str:
    """The lines from the one that is `opening` to the next that begins with a closing brace."""
    found = re.search(rf"^{re.escape(opening)}$.*?^}}", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no {opening}"
    return found[0]


# -- pipeline ----------------------------------------------------------------------------------------------------------


async def tree_of(name: str, *, without_own_steps: bool = False) -> dict[str, Any]:
    tree: dict[str, Any] = parse_yaml((await workflow(golden_path=name)).decode())
    for job, own in (STEPS_OF_ITS_OWN[name] if without_own_steps else {}).items():
        steps = tree["jobs"][job]["steps"]
        assert [step["name"] for step in steps if step["name"] in own] == own
        tree["jobs"][job]["steps"] = [step for step in steps if step["name"] not in own]
    return tree


def test_every_golden_path_says_which_steps_are_its_own() -> None:
    assert sorted(STEPS_OF_ITS_OWN) == PUBLISHED


@each_other
async def test_a_workflow_is_the_models_but_for_its_own_steps(name: str) -> None:
    assert await tree_of(name, without_own_steps=True) == await tree_of(MODEL)


@each_other
async def test_a_step_that_several_have_is_the_same_in_all(name: str) -> None:
    known = {step["name"]: step for job in (await tree_of(MODEL))["jobs"].values() for step in job["steps"]}
    for job in (await tree_of(name))["jobs"].values():
        for step in job["steps"]:
            assert step == known.get(step["name"], step)


@each_other
def test_a_template_has_the_models_lines_and_comments_in_the_models_order(name: str) -> None:
    lines = iter(text_of(name, "pipeline/deploy.yml.j2").splitlines())
    for line in text_of(MODEL, "pipeline/deploy.yml.j2").splitlines():
        assert line in lines, line


# -- terraform ---------------------------------------------------------------------------------------------------------


@each_other
def test_what_the_platform_hands_in_is_declared_in_the_same_words(name: str) -> None:
    own = "# The golden path's own parameters"
    platforms = [text_of(one, "terraform/variables.tf").partition(own)[0] for one in (MODEL, name)]
    assert platforms[0] == platforms[1]
    assert text_of(MODEL, "terraform/versions.tf") == text_of(name, "terraform/versions.tf")


@each_other
def test_a_module_or_output_that_both_have_is_used_in_the_same_words(name: str) -> None:
    model, other = (text_of(one, "terraform/main.tf") for one in (MODEL, name))
    shared = set(re.findall(r'^module "\w+" {$', other, re.MULTILINE))
    assert 'module "namespace" {' in shared
    for opening in shared:
        # The model's database can be left out; whoever has no choice has no count.
        theirs, ours = (re.sub(r"^  count .*\n", "", block(one, opening), flags=re.MULTILINE) for one in (model, other))
        assert theirs == ours
    for opening in ('variable "instances" {', 'variable "memory_mib" {'):
        assert block(text_of(MODEL, "terraform/variables.tf"), opening) == block(
            text_of(name, "terraform/variables.tf"), opening
        )


# -- manifest and skeleton ---------------------------------------------------------------------------------------------


@each_other
async def test_a_manifest_offers_the_models_kinds_lifetimes_instances_and_links(name: str) -> None:
    model, other = await PATHS.find(MODEL), await PATHS.find(name)
    assert (other.kinds, other.defaults, other.owner) == (model.kinds, model.defaults, model.owner)
    assert (other.runtime.language, other.runtime.version) == (model.runtime.language, model.runtime.version)
    assert other.prices.currency == model.prices.currency
    ours, theirs = (found.parameters.properties["instances"] for found in (other, model))
    assert (ours.minimum, ours.maximum, ours.default) == (theirs.minimum, theirs.maximum, theirs.default)
    assert set(other.overridable) <= set(model.overridable)
    assert other.links == model.links.model_copy(update={"runbook": f"/golden-paths/{name}"})


@each_other
def test_a_skeleton_keeps_the_models_conventions(name: str) -> None:
    assert text_of(name, "skeleton/.editorconfig") == text_of(MODEL, "skeleton/.editorconfig")
    scripts = [json.loads(text_of(one, "skeleton/package.json"))["scripts"] for one in (MODEL, name)]
    assert [scripts[1][key] for key in ("test", "lint")] == [scripts[0][key] for key in ("test", "lint")]
    rules = [
        re.findall(r'^ +"(?:[a-z-]+)"?: (?:"error"|\[.*\]),$', text_of(one, "skeleton/eslint.config.js"), re.MULTILINE)
        for one in (MODEL, name)
    ]
    assert [rule.strip() for rule in rules[1]] == [rule.strip() for rule in rules[0]]
    assert len(rules[0]) > 10


@each_other
def test_a_log_line_has_the_models_shape(name: str) -> None:
    """Whoever reads the logs of one reads the logs of all."""
    loggers = [next((ROOT / one / "skeleton").glob("*/logger.js")).read_text() for one in (MODEL, name)]
    contexts = [re.sub(r", \.\.\.\w+Context\.getStore\(\)", "", found) for found in loggers]
    functions = [found[found.index("function plain") :] for found in contexts]
    assert functions[0] == functions[1]


def test_no_skeleton_names_a_registry() -> None:
    """So that npm asks the one that whoever installs has configured."""
    for name in PUBLISHED:
        assert "resolved" not in text_of(name, "skeleton/package-lock.json")

"""Workflow files as they are read, and one job of them as it is given to the runner."""

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from deploy.embedded.forge.workflows import expressions, job_file, yaml_tree
from deploy.embedded.forge.workflows.definition import Workflow, WorkflowError, asks_to_be_skipped, parse
from deploy.embedded.forge.workflows.job_file import Needed
from tests.unit.hostile import inputs

PATH = ".github/workflows/ci.yml"
OUTPUTS = Path("/rooms/it's here/outputs.json")


def read(text: str) -> Workflow:
    return parse(PATH, dedent(text))


def one_job(**job: Any) -> Workflow:
    return parse(PATH, json.dumps({"on": "push", "jobs": {"only": {"runs-on": "ubuntu-latest", "steps": [], **job}}}))


def test_on_is_a_key_and_numbers_and_words_stay_what_they_are() -> None:
    tree = yaml_tree.parse("on: push\ntime: 12:30\nyes: no\nold: 010\nversion: '20'\nnumber: 20\nflag: true\nnone:\n")
    assert tree == {
        "on": "push",
        "time": "12:30",
        "yes": "no",
        "old": 10,
        "version": "20",
        "number": 20,
        "flag": True,
        "none": None,
    }


@pytest.mark.parametrize("text", ["a\u2028b", "\x85", "😀 \\ud83d", "é", "a: b # c", "${{ x }}", "\x7f\x00"])
def test_what_is_written_reads_back_as_the_same(text: str) -> None:
    written = yaml_tree.write({text: [text, 1.5, None, True]})
    assert written.isascii()
    assert yaml_tree.parse(written) == {text: [text, 1.5, None, True]}


@pytest.mark.parametrize("text", inputs("texts"))
def test_a_hostile_file_is_refused_in_words(text: str) -> None:
    with pytest.raises(WorkflowError, match=r"\w+"):
        parse(PATH, text)


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x\n",
        "a: 1\na: 2\n",
        "!!python/object/apply:os.system [id]",
        "[" * 100_000,
        "a: " + "[" * 70 + "]" * 70,
        "{" * 50 + "a" * 600_000,
        "on: push\njobs: {a: {needs: b}, b: {needs: a}}",
        "on: push\njobs: {a: {needs: nobody}}",
        "on: push\njobs: {}",
        "on: push\njobs: {--help: {}}",
        "on: push\njobs: {'a.b': {}}",
        "on: 5\njobs: {a: {}}",
        "jobs: {a: {}}",
        "on: push\njobs: {a: {environment: {url: x}}}",
        "- 1",
        "",
        "a: b: c",
    ],
)
def test_what_cannot_be_run_is_refused_in_words(text: str) -> None:
    with pytest.raises(WorkflowError) as refused:
        parse(PATH, text)
    assert 10 < len(str(refused.value)) < 300


def test_only_a_job_that_declares_it_gets_an_identity() -> None:
    found = read("""
        on: push
        permissions: {id-token: write}
        jobs:
          inherits: {runs-on: ubuntu-latest}
          narrows: {runs-on: ubuntu-latest, permissions: {contents: read}}
          none: {runs-on: ubuntu-latest, permissions: {}}
          reads: {runs-on: ubuntu-latest, permissions: {id-token: read}}
          everything: {runs-on: ubuntu-latest, permissions: write-all}
          looks: {runs-on: ubuntu-latest, permissions: read-all}
    """)
    assert {job.key for job in found.jobs if job.wants_identity} == {"inherits", "everything"}
    assert not one_job().jobs[0].wants_identity


def test_a_condition_that_asks_how_others_ended_is_known() -> None:
    asked = {"always()": True, "${{ !cancelled() }}": True, "failure ()": True, "github.ref == 'x'": False}
    assert {text: one_job(**{"if": text}).jobs[0].runs_whatever_happened for text in asked} == asked


def test_a_commit_may_ask_to_be_left_alone() -> None:
    assert asks_to_be_skipped("Fix a typo [skip ci]")
    assert not asks_to_be_skipped("Skip CI for once")


# -- expressions -------------------------------------------------------------------------------------------------------

CONTEXTS = {"github": {"ref": "refs/heads/main", "head_ref": "", "run_id": "7"}, "inputs": {"to": "prod"}, "vars": {}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deploy", "deploy"),
        ("ci-${{ github.ref }}", "ci-refs/heads/main"),
        ("${{ github.head_ref || github.run_id }}", "7"),
        ("${{ inputs.to && 'x''}}y' || 'z' }}", "x'}}y"),
        ("${{ vars.NOTHING }}-a", "-a"),
        ("${{github.event.number}}", ""),
    ],
)
def test_names_are_made_of_simple_expressions(text: str, expected: str) -> None:
    assert expressions.evaluate(text, CONTEXTS) == expected


@pytest.mark.parametrize("text", ["${{ format('{0}', 1) }}", "${{ secrets.KEY }}", "${{ a == b }}", "${{ __class__ }}"])
def test_more_than_that_is_refused_by_name(text: str) -> None:
    with pytest.raises(WorkflowError, match="this runner evaluates only"):
        expressions.evaluate(text, CONTEXTS)


# -- one job -----------------------------------------------------------------------------------------------------------


def test_a_job_is_given_to_the_runner_as_it_was_written() -> None:
    steps = [{"name": "x", "run": "echo ${{ needs.test.outputs.v }}\n", "env": {"A": 1, "B": True, "C": "no"}}]
    tree = {
        "needs": ["test", "lint"],
        "if": "always()",
        "runs-on": "ubuntu-latest",
        "steps": steps,
        "outputs": {"o": "1"},
    }
    found = parse(
        PATH,
        json.dumps(
            {
                "on": {"push": None, "schedule": [{"cron": "* * * * *"}]},
                "env": {"ALL": "x"},
                "jobs": {
                    "test": {"runs-on": "ubuntu-latest", "steps": steps},
                    "lint": {"runs-on": "ubuntu-latest"},
                    "deploy": tree
                    | {"environment": "prod", "concurrency": "one", "permissions": {"id-token": "write"}},
                    "other": {"runs-on": "windows-latest"},
                },
            }
        ),
    )
    hard = "it's ${{ 1 }} }}\nso"
    needed = {"test": Needed("success", {"v": hard}, ()), "lint": Needed("skipped", {}, ())}
    made = job_file.write(found, found.job("deploy"), needed, OUTPUTS)

    written = yaml_tree.parse(made.text)
    assert (written["name"], written["env"]) == (PATH, {"ALL": "x"})
    assert written["jobs"]["deploy"] == tree | {"permissions": {"id-token": "write"}}
    assert set(written["jobs"]) == {"test", "lint", "deploy", made.collector}
    assert written["jobs"]["test"]["outputs"] == {"v": "${{ 'it''s ${{ 1 }} }}\nso' }}"}
    assert written["jobs"]["lint"]["if"] == "false"
    assert made.collector is not None
    assert "'/rooms/it'\"'\"'s here/outputs.json'" in written["jobs"][made.collector]["steps"][0]["run"]


@pytest.mark.parametrize(
    ("job", "named"),
    [
        ({"steps": [{"uses": "actions/setup-node@v4"}]}, "actions/setup-node@v4"),
        ({"steps": [{"run": "x"}, {"uses": "docker://alpine"}]}, "step 2"),
        ({"steps": [{"uses": "actions/checkout@v6", "with": {"repository": "acme/other"}}]}, "`repository`"),
        ({"runs-on": "windows-latest"}, "windows-latest"),
        ({"runs-on": ["self-hosted", "gpu"]}, "gpu"),
        ({"container": "node:20"}, "Docker"),
        ({"services": {"db": {"image": "postgres"}}}, "Docker"),
        ({"uses": "acme/shared/.github/workflows/x.yml@main"}, "acme/shared"),
    ],
)
def test_what_this_runner_cannot_do_is_named(job: dict[str, Any], named: str) -> None:
    found = one_job(**job)
    with pytest.raises(WorkflowError) as refused:
        job_file.write(found, found.jobs[0], {}, OUTPUTS)
    assert named in str(refused.value)


def test_what_it_can_do_is_let_through() -> None:
    found = one_job(
        **{
            "runs-on": ["self-hosted", "Linux"],
            "steps": [{"uses": "./.github/actions/own"}, {"uses": "actions/checkout@v6", "with": {"fetch-depth": 0}}],
        }
    )
    made = job_file.write(found, found.jobs[0], {}, OUTPUTS)
    assert made.whole_history
    assert made.collector is None

"""One job of a workflow as a file for `act`: the job itself as it was committed, what it needs as it ended, and one job
more that writes down what this one gives to others.

Invariant: nothing in the job is changed. A needed job stands in the file as its recorded result (a step that succeeds,
fails or is never run) with its recorded outputs as literals, so `needs` and `if` mean what they meant.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from deploy.embedded.forge.store import Row
from deploy.embedded.forge.workflows import yaml_tree
from deploy.embedded.forge.workflows.definition import Job, Workflow, WorkflowError

_RUNNER: Final = "ubuntu-latest"
_LABELS: Final = re.compile(r"self-hosted|linux|x64|arm64|ubuntu-(?:latest|[0-9]{2}\.[0-9]{2})(?:-arm)?", re.IGNORECASE)
_CHECKOUT: Final = re.compile(r"actions/checkout@\S+")
_FOREIGN_CHECKOUT: Final = ("repository", "ref", "ssh-key", "github-server-url")
_KEPT: Final = ("env", "defaults")
_OURS: Final = {"shell": "sh", "working-directory": "."}
"""What the workflow's `defaults` say is not meant for steps of ours: nothing is checked out for them."""
LABELS: Final = ("self-hosted", "linux", "x64", "arm64", "ubuntu-latest", "ubuntu-22.04", "ubuntu-24.04")
"""What a job may ask to run on."""


@dataclass(frozen=True)
class Needed:
    """How a needed job ended."""

    conclusion: str
    outputs: Mapping[str, str]
    needs: tuple[str, ...]

    @classmethod
    def of(cls, row: Row) -> Self:
        """From the book."""
        return cls(row["conclusion"], json.loads(row["outputs"]), tuple(json.loads(row["needs"])))


@dataclass(frozen=True)
class JobFile:
    """A workflow file with one job to run. `collector` is the job that writes its outputs down, where it has any."""

    text: str
    collector: str | None
    whole_history: bool
    """Whether a checkout asks for more than the commit itself."""


def write(workflow: Workflow, job: Job, needed: Mapping[str, Needed], outputs_file: Path) -> JobFile:
    """The file for one job, whose outputs will be in `outputs_file` as JSON. Raises WorkflowError for what this runner
    cannot do, named."""
    _check(job)
    jobs: dict[str, Any] = {key: _stub(each) for key, each in needed.items()}
    jobs[job.key] = {key: value for key, value in job.tree.items() if key not in ("concurrency", "environment")}
    collector = None
    if job.tree.get("outputs"):
        collector = f"outputs-of-{job.key}"
        while collector in jobs:
            collector += "-"
        jobs[collector] = {
            "needs": [job.key],
            "if": "always()",
            "runs-on": _RUNNER,
            "steps": [
                {
                    "name": "outputs",
                    **_OURS,
                    "env": {"OUTPUTS": f"${{{{ toJSON(needs.{job.key}.outputs) }}}}"},
                    "run": f'printf %s "$OUTPUTS" > {shlex.quote(str(outputs_file))}',
                }
            ],
        }
    tree = {"name": workflow.name} | {key: workflow.tree[key] for key in _KEPT if key in workflow.tree}
    return JobFile(
        text=yaml_tree.write(tree | {"on": _on(workflow), "jobs": jobs}),
        collector=collector,
        whole_history=any(_wants_history(step) for step in job.steps),
    )


def _on(workflow: Workflow) -> Any:
    """The events by name; inputs stay declared, since steps may use them."""
    dispatch = workflow.events.get("workflow_dispatch")
    return {event: {} for event in workflow.events} | ({"workflow_dispatch": dict(dispatch)} if dispatch else {})


def _stub(needed: Needed) -> dict[str, Any]:
    stub: dict[str, Any] = {
        "needs": list(needed.needs),
        "if": "false" if needed.conclusion == "skipped" else "always()",
        "runs-on": _RUNNER,
        "outputs": {name: f"${{{{ {_literal(value)} }}}}" for name, value in needed.outputs.items()},
        "steps": [{"name": "as it ended", **_OURS, "run": "exit 0" if needed.conclusion == "success" else "exit 1"}],
    }
    return {key: value for key, value in stub.items() if value}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _wants_history(step: Mapping[str, Any]) -> bool:
    with_ = step.get("with")
    return isinstance(with_, dict) and str(with_.get("fetch-depth", "1")) != "1"


def _check(job: Job) -> None:
    for key, why in (
        ("container", "jobs in containers need Docker"),
        ("services", "service containers need Docker"),
    ):
        if key in job.tree:
            raise WorkflowError(f"`jobs.{job.key}.{key}` is not supported by this runner: {why}")
    if "uses" in job.tree:
        if not str(job.tree["uses"]).startswith("./"):
            raise WorkflowError(f"the reusable workflow {job.tree['uses']} is not in this repository")
        return
    labels = job.tree.get("runs-on")
    labels = labels if isinstance(labels, list) else [labels]
    for label in labels:
        if not isinstance(label, str) or not ("${{" in label or _LABELS.fullmatch(label)):
            raise WorkflowError(f"`jobs.{job.key}.runs-on`: this runner is {', '.join(LABELS)}, not {str(label)[:60]}")
    for number, step in enumerate(job.steps, 1):
        _check_step(job, number, step)


def _check_step(job: Job, number: int, step: Mapping[str, Any]) -> None:
    uses = step.get("uses")
    if uses is None or str(uses).startswith("./"):
        return
    if not _CHECKOUT.fullmatch(str(uses)):
        raise WorkflowError(
            f"step {number} of `jobs.{job.key}` uses the action {str(uses)[:120]}, which this runner does not have: it"
            " runs actions/checkout and actions of the repository itself (./…); use a `run` step instead"
        )
    with_ = step.get("with")
    for name in _FOREIGN_CHECKOUT:
        if isinstance(with_, dict) and with_.get(name):
            raise WorkflowError(
                f"step {number} of `jobs.{job.key}`: actions/checkout takes the commit of the run here, so `{name}` is"
                " not supported"
            )

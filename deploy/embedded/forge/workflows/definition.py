"""What a workflow file says, as far as the forge itself must know it: when it runs, its jobs, what each needs, may and
must wait for. Steps are `act`'s business and stay as they were written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploy.embedded.forge.workflows import yaml_tree
from deploy.embedded.forge.workflows.yaml_tree import TreeError

DIRECTORY: Final = ".github/workflows"
_MOST_JOBS: Final = 50
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_SKIPS: Final = ("[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]")


class WorkflowError(ValueError):
    """A workflow cannot be run; the message is for the person who wrote it."""


@dataclass(frozen=True)
class Concurrency:
    """Of those in one group one runs at a time; `group` may hold expressions."""

    group: str
    cancel_in_progress: bool


@dataclass(frozen=True)
class Job:
    """One job; texts may hold expressions."""

    key: str
    name: str
    needs: tuple[str, ...]
    condition: str | None
    environment: str | None
    environment_url: str | None
    concurrency: Concurrency | None
    permissions: Any
    """As it declares them, itself or by its workflow; None where neither says anything."""
    wants_identity: bool
    """Whether it declares, itself or by its workflow, `permissions: id-token: write`."""
    timeout_minutes: float | None
    tree: Mapping[str, Any]

    @property
    def steps(self) -> tuple[Mapping[str, Any], ...]:
        """Its steps as they were written."""
        steps = self.tree.get("steps")
        return tuple(step for step in steps if isinstance(step, dict)) if isinstance(steps, list) else ()

    @property
    def runs_whatever_happened(self) -> bool:
        """Whether its condition looks at how the needed jobs ended; without that, one that failed skips it."""
        text = self.condition or ""
        return any(f"{function}(" in text.replace(" ", "") for function in ("always", "failure", "cancelled"))


@dataclass(frozen=True)
class Workflow:
    """One workflow file."""

    path: str
    name: str
    events: Mapping[str, Mapping[str, Any]]
    """Event to its filters; no filters is an empty mapping."""
    concurrency: Concurrency | None
    jobs: tuple[Job, ...]
    tree: Mapping[str, Any]

    def job(self, key: str) -> Job:
        """The job with this key. Raises KeyError."""
        for job in self.jobs:
            if job.key == key:
                return job
        raise KeyError(key)


def is_workflow_path(path: str) -> bool:
    """Whether a path is that of a workflow file: directly below `.github/workflows`, `.yml` or `.yaml`."""
    directory, _, name = path.rpartition("/")
    return directory == DIRECTORY and name.endswith((".yml", ".yaml"))


def asks_to_be_skipped(message: str) -> bool:
    """Whether a commit's message tells Actions to leave it alone."""
    return any(word in message for word in _SKIPS)


def parse(path: str, text: str) -> Workflow:
    """The workflow in a file. Raises WorkflowError."""
    try:
        tree = yaml_tree.parse(text)
    except TreeError as error:
        raise WorkflowError(str(error)) from None
    if not isinstance(tree, dict):
        raise WorkflowError("a workflow is a mapping with `on` and `jobs`")
    jobs = tree.get("jobs")
    if not isinstance(jobs, dict) or not jobs or len(jobs) > _MOST_JOBS:
        raise WorkflowError(f"`jobs` must be a mapping of 1 to {_MOST_JOBS} jobs")
    permissions = tree.get("permissions")
    found = tuple(_job(str(key), each, permissions) for key, each in jobs.items())
    _check_needs(found)
    name = tree.get("name")
    return Workflow(
        path=path,
        name=str(name) if name else path,
        events=_events(tree.get("on")),
        concurrency=_concurrency(tree.get("concurrency"), "concurrency"),
        jobs=found,
        tree=tree,
    )


def _events(on: Any) -> dict[str, dict[str, Any]]:
    if isinstance(on, str):
        return {on: {}}
    if isinstance(on, list) and all(isinstance(each, str) for each in on):
        return {each: {} for each in on}
    if isinstance(on, dict) and all(filters is None or isinstance(filters, dict | list) for filters in on.values()):
        return {str(event): filters if isinstance(filters, dict) else {} for event, filters in on.items()}
    raise WorkflowError("`on` must name the events that start the workflow")


def _job(key: str, tree: Any, inherited: Any) -> Job:
    if not _KEY.fullmatch(key):
        raise WorkflowError("the key of a job is letters, digits, - and _, beginning with a letter or _")
    where = f"jobs.{key}"
    if not isinstance(tree, dict):
        raise WorkflowError(f"`{where}` must be a mapping")
    needs = tree.get("needs", [])
    needs = [needs] if isinstance(needs, str) else needs
    if not isinstance(needs, list) or not all(isinstance(each, str) for each in needs):
        raise WorkflowError(f"`{where}.needs` must be the name of a job or a list of them")
    condition, timeout = tree.get("if"), tree.get("timeout-minutes")
    environment, url = _environment(tree.get("environment"), where)
    return Job(
        key=key,
        name=str(tree.get("name") or key),
        needs=tuple(needs),
        condition=None if condition is None else _text(condition),
        environment=environment,
        environment_url=url,
        concurrency=_concurrency(tree.get("concurrency"), f"{where}.concurrency"),
        permissions=tree.get("permissions", inherited),
        wants_identity=_grants_identity(tree.get("permissions", inherited)),
        timeout_minutes=float(timeout) if isinstance(timeout, int | float) and timeout > 0 else None,
        tree=tree,
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _grants_identity(permissions: Any) -> bool:
    """Nothing said grants nothing; a job's own `permissions` replace its workflow's."""
    if isinstance(permissions, dict):
        return bool(permissions.get("id-token") == "write")
    return bool(permissions == "write-all")


def _environment(tree: Any, where: str) -> tuple[str | None, str | None]:
    if tree is None:
        return None, None
    name, url = (tree.get("name"), tree.get("url")) if isinstance(tree, dict) else (tree, None)
    if not isinstance(name, str | int | float) or isinstance(name, bool) or not str(name):
        raise WorkflowError(f"`{where}.environment` needs a name")
    return str(name), None if url is None else str(url)


def _concurrency(tree: Any, where: str) -> Concurrency | None:
    if tree is None:
        return None
    group = tree.get("group") if isinstance(tree, dict) else tree
    cancel = tree.get("cancel-in-progress", False) if isinstance(tree, dict) else False
    if not isinstance(group, str | int | float) or not str(group):
        raise WorkflowError(f"`{where}` needs a group")
    if not isinstance(cancel, bool):
        raise WorkflowError(f"`{where}.cancel-in-progress` must be true or false on this runner")
    return Concurrency(str(group), cancel)


def _check_needs(jobs: tuple[Job, ...]) -> None:
    known = {job.key for job in jobs}
    done: set[str] = set()
    waiting = list(jobs)
    for job in jobs:
        if unknown := [each for each in job.needs if each not in known]:
            raise WorkflowError(f"`jobs.{job.key}` needs `{unknown[0]}`, which is not a job of this workflow")
    while waiting:
        ready = [job for job in waiting if set(job.needs) <= done]
        if not ready:
            raise WorkflowError(f"the jobs {', '.join(job.key for job in waiting)} need each other in a circle")
        done |= {job.key for job in ready}
        waiting = [job for job in waiting if job.key not in done]

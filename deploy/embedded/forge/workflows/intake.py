"""From what happened in a repository to runs in the book: pushes, pull requests, and people who ask for one.

Invariant: the workflows that are considered are those of the commit that is to run, never of another one; and one
happening starts each of them at most once, however often it is heard of.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from structlog import get_logger

from deploy.embedded.forge import history, pulls, shapes
from deploy.embedded.forge.accounts import Account
from deploy.embedded.forge.bare import Bare
from deploy.embedded.forge.cat_file import ObjectTooLargeError
from deploy.embedded.forge.context import Access, Forge
from deploy.embedded.forge.pushes import Push
from deploy.embedded.forge.records import Repository
from deploy.embedded.forge.workflows import expressions
from deploy.embedded.forge.workflows.book import Book
from deploy.embedded.forge.workflows.definition import (
    DIRECTORY,
    Concurrency,
    Workflow,
    WorkflowError,
    asks_to_be_skipped,
    is_workflow_path,
    parse,
)
from deploy.embedded.forge.workflows.job_tokens import BOT
from deploy.embedded.forge.workflows.planned import PlannedJob, PlannedRun
from deploy.embedded.forge.workflows.triggers import Happening, is_started_by

_log = get_logger(__name__)
_OF_REPOSITORY: Final = 0
_PULL_ACTIONS: Final = ("opened", "synchronize", "reopened", "edited", "closed", "ready_for_review")


@dataclass(frozen=True)
class Candidate:
    """A workflow file of a commit: what it says, or why it says nothing."""

    path: str
    workflow: Workflow | None
    problem: str | None


def variables(forge: Forge, repository_id: int, environment: str | None) -> dict[str, str]:
    """What `vars` holds for a job: the repository's, and over them its environment's."""
    found = forge.store.all(
        "SELECT name, value, environment_id FROM variables WHERE repository_id = ? AND (environment_id = ?"
        " OR environment_id = (SELECT id FROM environments WHERE repository_id = ? AND name = ?))"
        " ORDER BY environment_id",
        [repository_id, _OF_REPOSITORY, repository_id, environment],
    )
    return {row["name"]: row["value"] for row in found}


def read(bare: Bare, commit: str, path: str) -> Workflow:
    """The workflow at `path` in a commit. Raises WorkflowError."""
    info = bare.entry(commit, path)
    try:
        found = bare.read(info.sha) if info is not None and info.kind == "blob" else None
    except ObjectTooLargeError:
        found = None
    if found is None:
        raise WorkflowError(f"there is no workflow {path} in this commit")
    try:
        return parse(path, found[1].decode("utf-8"))
    except UnicodeDecodeError:
        raise WorkflowError("the file is not UTF-8 text") from None


class Intake:
    """Hears of what happens, and writes runs down. `wake` is called when there is something to run."""

    def __init__(self, forge: Forge, book: Book, wake: Callable[[], None]) -> None:
        self._forge = forge
        self._book = book
        self._wake = wake

    # What may happen

    def hear_push(self, push: Push) -> None:
        """A push listener."""
        is_tag = push.ref.startswith("refs/tags/")
        if push.pusher.login == BOT or push.deleted or not (is_tag or push.branch is not None):
            return
        bare = Bare(self._forge.git, push.repository.id)
        commit = bare.resolve(push.after)
        if commit is None or bare.entry(commit, DIRECTORY) is None:
            return
        found = bare.commit(commit)
        message = found.message if found is not None else ""
        if asks_to_be_skipped(message):
            return
        changed = None if push.created else tuple(path for _, path in history.names_changed(bare, push.before, commit))
        name = push.ref.split("/", 2)[2]
        happening = Happening("push", None if is_tag else name, name if is_tag else None, changed_paths=changed)
        self._start(
            push.repository,
            happening,
            PlannedRun(
                repository_id=push.repository.id,
                path="",
                workflow_name="",
                source=f"push-{push.id}",
                event="push",
                ref=push.ref,
                head_branch=name,
                head_sha=commit,
                actor_id=push.pusher.id,
                title=_first_line(message),
                payload=json.dumps(self._forge.hooks.payload_of(push)),
                traceparent=push.traceparent,
            ),
        )

    def hear_pull_request(self, access: Access, action: str, number: int) -> None:
        """A pull listener. The head is what runs: nothing is merged for a try."""
        if action not in _PULL_ACTIONS or access.caller.login == BOT:
            return
        repository, bare = access.repository, access.bare
        pull = pulls.find(access, number)
        if pull["head_repository_id"]:
            # As on GitHub where a member has to agree first: nobody runs here what a fork brings.
            return
        head = str(pull["head_sha"])
        if bare.entry(head, DIRECTORY) is None:
            return
        found = bare.commit(head)
        if found is None or asks_to_be_skipped(found.message):
            return
        base = history.merge_base(bare, pull["base_sha"], head)
        changed = tuple(path for _, path in history.names_changed(bare, base, head)) if base is not None else None
        happening = Happening("pull_request", branch=pull["base_ref"], action=action, changed_paths=changed)
        payload = pulls.payload(access, action, number) | self._common(repository, access.caller)
        self._start(
            repository,
            happening,
            PlannedRun(
                repository_id=repository.id,
                path="",
                workflow_name="",
                source=f"pull-{repository.id}-{number}-{action}-{head}-{pull['updated_at']}",
                event="pull_request",
                ref=f"refs/pull/{number}/merge",
                head_branch=pull["head_ref"],
                head_sha=head,
                base_ref=pull["base_ref"],
                head_ref=pull["head_ref"],
                pull_number=number,
                actor_id=access.caller.id,
                title=pull["title"],
                payload=json.dumps(payload),
            ),
        )

    def dispatch(self, access: Access, path: str, ref: str, commit: str, *, inputs: Mapping[str, str]) -> int:
        """Run one workflow because somebody asks for it; the answer is the run's id. Raises WorkflowError where it
        cannot be asked for or its inputs are wrong."""
        repository, actor = access.repository, access.caller
        workflow = read(access.bare, commit, path)
        if "workflow_dispatch" not in workflow.events:
            raise WorkflowError("Workflow does not have 'workflow_dispatch' trigger")
        given = _checked_inputs(workflow, inputs)
        serial = self._forge.store.count("SELECT coalesce(max(id), 0) FROM workflow_runs") + 1
        payload = {"ref": ref, "inputs": given, "workflow": path} | self._common(repository, actor)
        planned = PlannedRun(
            repository_id=repository.id,
            path=path,
            workflow_name=workflow.name,
            source=f"dispatch-{repository.id}-{serial}-{commit}-{path}",
            event="workflow_dispatch",
            ref=ref,
            head_branch=ref.split("/", 2)[2],
            head_sha=commit,
            actor_id=actor.id,
            title=workflow.name,
            payload=json.dumps(payload),
        )
        run_id = self._book.enter(self._with_jobs(repository, planned, workflow, given))
        self._wake()
        if run_id is None:
            raise WorkflowError("somebody asked for the same at this very moment; ask again")
        return run_id

    def _common(self, repository: Repository, actor: Account) -> dict[str, Any]:
        urls = self._forge.urls
        return {"repository": shapes.repository(urls, repository, "read"), "sender": shapes.account(urls, actor)}

    # From candidates to runs

    def _start(self, repository: Repository, happening: Happening, base: PlannedRun) -> None:
        bare = Bare(self._forge.git, repository.id)
        started = 0
        for candidate in candidates(bare, base.head_sha):
            planned = replace(base, path=candidate.path, source=f"{base.source}-{candidate.path}")
            if candidate.workflow is None:
                if happening.event == "push":
                    # As on GitHub: a file that cannot be read makes a run that says so.
                    started += self._enter(replace(planned, workflow_name=candidate.path, problem=candidate.problem))
            elif is_started_by(candidate.workflow.events, happening):
                named = replace(planned, workflow_name=candidate.workflow.name)
                started += self._enter(self._with_jobs(repository, named, candidate.workflow, {}))
        if started:
            self._wake()
            _log.info("workflows_started", repository=repository.full_name, ref=base.ref, runs=started)

    def _enter(self, planned: PlannedRun) -> int:
        return int(self._book.enter(planned) is not None)

    def _with_jobs(
        self, repository: Repository, planned: PlannedRun, workflow: Workflow, inputs: Mapping[str, Any]
    ) -> PlannedRun:
        """The run with its jobs, or with the reason why it has none."""
        contexts = {
            "github": self._github(repository, planned),
            "inputs": inputs,
            "vars": variables(self._forge, repository.id, None),
        }
        try:
            group = _group(workflow.concurrency, contexts)
            jobs = tuple(
                PlannedJob(
                    key=job.key,
                    name=job.name,
                    needs=job.needs,
                    runs_whatever_happened=job.runs_whatever_happened,
                    environment=expressions.evaluate(job.environment, contexts) if job.environment else None,
                    group=_group(job.concurrency, contexts),
                    cancel_in_progress=job.concurrency is not None and job.concurrency.cancel_in_progress,
                )
                for job in workflow.jobs
            )
        except WorkflowError as error:
            return replace(planned, problem=str(error))
        cancels = workflow.concurrency is not None and workflow.concurrency.cancel_in_progress
        return replace(planned, jobs=jobs, group=group, cancel_in_progress=cancels)

    def _github(self, repository: Repository, planned: PlannedRun) -> dict[str, Any]:
        """The part of the `github` context that names of groups and environments are made of."""
        return {
            "repository": repository.full_name,
            "repository_owner": repository.owner.login,
            "workflow": planned.workflow_name,
            "event_name": planned.event,
            "ref": planned.ref,
            "ref_name": planned.ref.removeprefix("refs/").split("/", 1)[1],
            "head_ref": planned.head_ref,
            "base_ref": planned.base_ref,
            "sha": planned.head_sha,
            # There is no number yet; as part of a group's name anything will do that no other run has.
            "run_id": planned.source,
            "actor": self._forge.accounts.by_id(planned.actor_id).login,
            "event": json.loads(planned.payload),
        }


def candidates(bare: Bare, commit: str) -> Iterator[Candidate]:
    """The workflow files of a commit."""
    directory = bare.entry(commit, DIRECTORY)
    for entry in (bare.tree(directory.sha) or []) if directory is not None else []:
        path = f"{DIRECTORY}/{entry.name}"
        if entry.kind != "blob" or not is_workflow_path(path):
            continue
        try:
            yield Candidate(path, read(bare, commit, path), None)
        except WorkflowError as error:
            yield Candidate(path, None, str(error))


def _group(concurrency: Concurrency | None, contexts: Mapping[str, Any]) -> str | None:
    """The group's name; groups differ by more than case."""
    return expressions.evaluate(concurrency.group, contexts).lower() if concurrency is not None else None


def _first_line(message: str) -> str:
    return message.split("\n", 1)[0][:200]


def _checked_inputs(workflow: Workflow, inputs: Mapping[str, str]) -> dict[str, str]:
    declared = workflow.events["workflow_dispatch"].get("inputs") or {}
    if not isinstance(declared, dict):
        raise WorkflowError("`on.workflow_dispatch.inputs` must be a mapping")
    if unknown := sorted(set(inputs) - {str(name) for name in declared}):
        raise WorkflowError(f"Unexpected inputs provided: {unknown[:10]}")
    given: dict[str, str] = {}
    for name, tree in declared.items():
        about = tree if isinstance(tree, dict) else {}
        default = about.get("default")
        value = inputs.get(str(name), "" if default is None else str(default))
        if about.get("required") is True and not value:
            raise WorkflowError(f"Required input '{name}' not provided")
        options = about.get("options")
        if about.get("type") == "choice" and isinstance(options, list) and value not in map(str, options):
            raise WorkflowError(f"Provided value '{value[:50]}' for input '{name}' not in the list of allowed values")
        given[str(name)] = value
    return given

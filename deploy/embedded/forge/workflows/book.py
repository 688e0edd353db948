"""The book of runs: what is to run, in which order, and how it went.

Invariant: a state changes only here and in one transaction with whatever is said about it (`said`), so a webhook tells
of every change once and of nothing that did not happen. Nothing here starts a process or reads a file.

Order: within a run a job waits for those it needs. Across a repository, of those in one concurrency group one is under
way and one is pending, the newest; a newer one supersedes an older that is pending (GitHub's rule).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.store import Row, Store
from deploy.embedded.forge.workflows.groups import Group
from deploy.embedded.forge.workflows.planned import PlannedJob, PlannedRun

Conclusion = Literal["success", "failure", "cancelled", "skipped", "timed_out"]
Saying = Callable[[Literal["run", "job"], int, str], None]
"""Kind, id, action: GitHub's actions of `workflow_run` and `workflow_job`."""

KEPT_DAYS: Final = 90
_MOST_INTERRUPTIONS: Final = 1
INTERRUPTED: Final = "The forge was stopped while this job ran."
SUPERSEDED: Final = "A newer run of the same concurrency group took its place."


def _nothing_said(_kind: Literal["run", "job"], _row_id: int, _action: str) -> None:
    """For a book that nobody listens to."""


class Book:
    """The runs in a store."""

    def __init__(self, store: Store, said: Saying = _nothing_said) -> None:
        self._store = store
        self.said = said

    # Beginning

    def enter(self, planned: PlannedRun) -> int | None:
        """Write a run down; the answer is its id, or None where its source has started it before."""
        with self._store.transaction():
            if self._store.one("SELECT 1 FROM workflow_runs WHERE source = ?", [planned.source]) is not None:
                return None
            workflow = self.know_workflow(planned.repository_id, planned.path, planned.workflow_name)
            number = workflow["last_number"] + 1
            self._store.update("workflows", workflow["id"], last_number=number)
            now = timestamp()
            run_id = self._store.insert(
                "workflow_runs",
                repository_id=planned.repository_id,
                workflow_id=workflow["id"],
                source=planned.source,
                number=number,
                event=planned.event,
                ref=planned.ref,
                head_branch=planned.head_branch,
                head_sha=planned.head_sha,
                base_ref=planned.base_ref,
                head_ref=planned.head_ref,
                pull_number=planned.pull_number,
                foreign_head=int(planned.foreign_head),
                actor_id=planned.actor_id,
                title=planned.title,
                payload=planned.payload,
                traceparent=planned.traceparent,
                status="queued" if planned.group is None else "pending",
                problem=planned.problem,
                concurrency_group=planned.group,
                cancel_in_progress=int(planned.cancel_in_progress),
                created_at=now,
                started_at=now,
                updated_at=now,
            )
            self._begin_attempt(run_id, 1, planned.jobs)
            self.said("run", run_id, "requested")
            self.settle()
        return run_id

    def know_workflow(self, repository_id: int, path: str, name: str) -> Row:
        """The workflow with this path, made known now if it was not."""
        now = timestamp()
        self._store.execute(
            "INSERT INTO workflows (repository_id, path, name, created_at, updated_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (repository_id, path) DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at",
            [repository_id, path, name, now, now],
        )
        row = self._store.one("SELECT * FROM workflows WHERE repository_id = ? AND path = ?", [repository_id, path])
        assert row is not None  # noqa: S101 - written in this transaction
        return row

    def _begin_attempt(self, run_id: int, attempt: int, jobs: Sequence[PlannedJob]) -> None:
        for job in jobs:
            self._store.insert(
                "workflow_jobs",
                run_id=run_id,
                attempt=attempt,
                key=job.key,
                name=job.name,
                needs=json.dumps(job.needs),
                runs_whatever_happened=int(job.runs_whatever_happened),
                status="waiting",
                environment=job.environment,
                concurrency_group=job.group,
                cancel_in_progress=int(job.cancel_in_progress),
                created_at=timestamp(),
            )

    def again(self, run_id: int, *, interrupted: bool = False) -> bool:
        """Begin another attempt of a completed run; False where it is still under way."""
        with self._store.transaction():
            run = self._store.row("workflow_runs", run_id)
            if run["status"] != "completed":
                return False
            jobs = tuple(
                PlannedJob(
                    row["key"],
                    row["name"],
                    tuple(json.loads(row["needs"])),
                    bool(row["runs_whatever_happened"]),
                    row["environment"],
                    row["concurrency_group"],
                    bool(row["cancel_in_progress"]),
                )
                for row in self.jobs(run)
            )
            now = timestamp()
            self._store.update(
                "workflow_runs",
                run_id,
                attempt=run["attempt"] + 1,
                status="queued" if run["concurrency_group"] is None else "pending",
                conclusion=None,
                interruptions=run["interruptions"] + 1 if interrupted else 0,
                started_at=now,
                updated_at=now,
            )
            self._begin_attempt(run_id, run["attempt"] + 1, jobs)
            self.said("run", run_id, "requested")
            self.settle()
        return True

    # Reading

    def jobs(self, run: Row, attempt: int | None = None) -> list[Row]:
        """The jobs of an attempt, by default the latest, in the order of the file."""
        return self._store.all(
            "SELECT * FROM workflow_jobs WHERE run_id = ? AND attempt = ? ORDER BY id",
            [run["id"], attempt or run["attempt"]],
        )

    def needed(self, job: Row) -> dict[str, Row]:
        """What a job needs, directly or by way of others, by key."""
        run = self._store.row("workflow_runs", job["run_id"])
        by_key = {row["key"]: row for row in self.jobs(run, job["attempt"])}
        found: dict[str, Row] = {}
        waiting = list(json.loads(job["needs"]))
        while waiting:
            key = waiting.pop()
            if key not in found:
                found[key] = by_key[key]
                waiting += json.loads(by_key[key]["needs"])
        return found

    def is_cancelled(self, job_id: int) -> bool:
        """Whether a job under way is to end; so is one whose repository was deleted."""
        row = self._store.one("SELECT cancel_requested FROM workflow_jobs WHERE id = ?", [job_id])
        return row is None or bool(row["cancel_requested"])

    # Going on

    def take(self) -> Row | None:
        """The next job to run, which is under way from now on; None where there is none."""
        with self._store.transaction():
            job = self._store.one("SELECT * FROM workflow_jobs WHERE status = 'queued' ORDER BY run_id, id LIMIT 1")
            if job is None:
                return None
            now = timestamp()
            self._store.update("workflow_jobs", job["id"], status="in_progress", started_at=now)
            run = self._store.row("workflow_runs", job["run_id"])
            if run["status"] != "in_progress":
                self._store.update("workflow_runs", run["id"], status="in_progress", updated_at=now)
                self.said("run", run["id"], "in_progress")
            self.said("job", job["id"], "in_progress")
            return self._store.row("workflow_jobs", job["id"])

    def finish(
        self, job_id: int, conclusion: Conclusion, *, outputs: Mapping[str, str] | None = None, problem: str = ""
    ) -> None:
        """Write down how a job ended, and what follows from it. Nothing happens where its repository is gone."""
        with self._store.transaction():
            if self._store.one("SELECT 1 FROM workflow_jobs WHERE id = ?", [job_id]) is not None:
                self._complete(job_id, conclusion, outputs=outputs or {}, problem=problem)
                self.settle()

    def _complete(
        self, job_id: int, conclusion: Conclusion, *, outputs: Mapping[str, str] | None = None, problem: str = ""
    ) -> None:
        now = timestamp()
        # A step that was cut off is not left in progress.
        self._store.execute(
            "UPDATE workflow_steps SET status = 'completed', conclusion = ?, completed_at = ?"
            " WHERE job_id = ? AND status = 'in_progress'",
            ["failure" if conclusion == "timed_out" else conclusion, now, job_id],
        )
        job = self._store.row("workflow_jobs", job_id)
        self._store.update(
            "workflow_jobs",
            job_id,
            status="completed",
            conclusion=conclusion,
            problem=problem or None,
            outputs=json.dumps(outputs or {}),
            started_at=job["started_at"] or now,
            completed_at=now,
        )
        self.said("job", job_id, "completed")

    def cancel(self, run_id: int) -> bool:
        """End a run: what has not begun never will, what is under way is told to stop. False where it is completed."""
        with self._store.transaction():
            run = self._store.row("workflow_runs", run_id)
            if run["status"] == "completed":
                return False
            self._cancel(run, "The run was cancelled.")
            self.settle()
        return True

    def _cancel(self, run: Row, why: str) -> None:
        for job in self.jobs(run):
            if job["status"] == "in_progress":
                self._store.update("workflow_jobs", job["id"], cancel_requested=1)
            elif job["status"] != "completed":
                self._complete(job["id"], "cancelled", problem=why)
        if run["status"] == "pending":
            self._store.update("workflow_runs", run["id"], status="queued")

    def recover(self) -> None:
        """After a forge that was stopped: what was under way ended with it, and is tried once more."""
        with self._store.transaction():
            for run in self._store.all(
                "SELECT DISTINCT r.* FROM workflow_runs r JOIN workflow_jobs j ON j.run_id = r.id"
                " WHERE j.status = 'in_progress' ORDER BY r.id"
            ):
                for job in self.jobs(run):
                    if job["status"] == "in_progress":
                        self._complete(job["id"], "failure", problem=INTERRUPTED)
                self._cancel(run, INTERRUPTED)
                self._settle_run(self._store.row("workflow_runs", run["id"]))
                if run["interruptions"] < _MOST_INTERRUPTIONS:
                    self.again(run["id"], interrupted=True)
            self.settle()

    def forget(self) -> None:
        """Runs that ended long ago go, as on GitHub."""
        before = timestamp(datetime.now(UTC) - timedelta(days=KEPT_DAYS))
        self._store.execute("DELETE FROM workflow_runs WHERE status = 'completed' AND updated_at < ?", [before])

    # What follows from what

    def settle(self) -> None:
        """Bring every run under way as far as it goes without anything being run."""
        with self._store.transaction():
            changed = True
            while changed:
                changed = False
                for run in self._store.all("SELECT * FROM workflow_runs WHERE status != 'completed' ORDER BY id"):
                    changed |= self._settle_run(run)

    def _settle_run(self, run: Row) -> bool:
        if run["status"] == "pending":
            return self._settle_pending_run(run)
        changed = False
        for job in self.jobs(run):
            if job["status"] == "waiting":
                changed |= self._settle_waiting(run, job)
            elif job["status"] == "pending":
                changed |= self._settle_pending(run, job)
        conclusions = [(job["status"], job["conclusion"]) for job in self.jobs(run)]
        if changed or any(status != "completed" for status, _ in conclusions):
            return changed
        self._store.update(
            "workflow_runs",
            run["id"],
            status="completed",
            conclusion=_overall([conclusion for _, conclusion in conclusions], run["problem"]),
            updated_at=timestamp(),
        )
        self.said("run", run["id"], "completed")
        return True

    def _settle_waiting(self, run: Row, job: Row) -> bool:
        needs = json.loads(job["needs"])
        needed = [row for row in self.jobs(run) if row["key"] in needs]
        if any(row["status"] != "completed" for row in needed):
            return False
        if not job["runs_whatever_happened"] and any(row["conclusion"] != "success" for row in needed):
            self._complete(job["id"], "skipped")
            return True
        status = "queued" if job["concurrency_group"] is None else "pending"
        self._store.update("workflow_jobs", job["id"], status=status)
        self.said("job", job["id"], "queued")
        return True

    def _settle_pending(self, run: Row, job: Row) -> bool:
        group = Group(self._store, run["repository_id"], job["concurrency_group"])
        if group.has_pending_after(run["id"]):
            self._complete(job["id"], "cancelled", problem=SUPERSEDED)
            return True
        if not self._make_room(group, run["id"], cancel=bool(job["cancel_in_progress"])):
            return False
        self._store.update("workflow_jobs", job["id"], status="queued")
        return True

    def _settle_pending_run(self, run: Row) -> bool:
        group = Group(self._store, run["repository_id"], run["concurrency_group"])
        if group.has_pending_after(run["id"]):
            self._cancel(run, SUPERSEDED)
            return True
        if not self._make_room(group, run["id"], cancel=bool(run["cancel_in_progress"])):
            return False
        self._store.update("workflow_runs", run["id"], status="queued")
        return True

    def _make_room(self, group: Group, run_id: int, *, cancel: bool) -> bool:
        """Whether nothing of the group is under way; with `cancel` what is will be told to stop."""
        runs, jobs = group.runs_under_way(run_id), group.jobs_under_way()
        if cancel:
            for run in runs:
                self._cancel(run, SUPERSEDED)
            for job in jobs:
                self._store.update("workflow_jobs", job["id"], cancel_requested=1)
        return not runs and not jobs


def _overall(conclusions: Sequence[str], problem: str | None) -> str:
    """How a run ended, from how its jobs did."""
    if problem is not None or not conclusions or {"failure", "timed_out"} & set(conclusions):
        return "failure"
    if "cancelled" in conclusions:
        return "cancelled"
    return "skipped" if set(conclusions) == {"skipped"} else "success"

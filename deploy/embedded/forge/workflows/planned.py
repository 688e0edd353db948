"""A run before it is written down: what the intake has found out, and the book will keep."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PlannedJob:
    """A job as it is written down at the start of an attempt."""

    key: str
    name: str
    needs: tuple[str, ...] = ()
    runs_whatever_happened: bool = False
    environment: str | None = None
    group: str | None = None
    cancel_in_progress: bool = False


@dataclass(frozen=True)
class PlannedRun:
    """A run as it is written down. Without jobs and with a `problem` it fails at once."""

    repository_id: int
    path: str
    workflow_name: str
    source: str
    event: str
    ref: str
    head_branch: str
    head_sha: str
    actor_id: int
    title: str
    payload: str
    jobs: tuple[PlannedJob, ...] = ()
    problem: str | None = None
    base_ref: str = ""
    head_ref: str = ""
    pull_number: int | None = None
    foreign_head: bool = False
    group: str | None = None
    cancel_in_progress: bool = False
    traceparent: str | None = None

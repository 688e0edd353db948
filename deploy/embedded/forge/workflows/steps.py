"""The steps of a job as they come and go, each with its part of the log.

Invariant: the parts follow one another without a gap, so the log is the sum of its steps' parts. The first part begins
with what the runner said before any step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.store import Store
from deploy.embedded.forge.workflows.job_log import JobLog

_OWN_FIRST = "{}/Main/"
"""How the keys of a job's own steps begin, where it has no matrix: a stage and then the step's id or place."""
_AFTER = ("{}/Post/", "{}//--complete-job")
"""How those begin that come when all of them have been or were skipped."""


class Steps:
    """Writes the steps of one job down. `written` are those that its file has, in order."""

    def __init__(self, store: Store, log: JobLog, job_id: int, written: Sequence[Mapping[str, Any]]) -> None:
        self._store = store
        self._log = log
        self._job_id = job_id
        self._written = [(f"{_OWN_FIRST}{step.get('id', place)}", step) for place, step in enumerate(written)]
        self._rows: dict[str, int] = {}
        self._last: int | None = None

    def begin(self, key: str, name: str) -> None:
        """A step begins where the log is now. Those before it that never began were skipped."""
        keys = [each for each, _ in self._written]
        if key in keys or key.startswith(_AFTER):
            for each, step in self._written[: keys.index(key) if key in keys else None]:
                if each not in self._rows:
                    self._begin(each, step_name(step))
                    self.end(each, "skipped", 0)
        self._begin(key, name)

    def _begin(self, key: str, name: str) -> None:
        if self._last is not None:
            self._store.update("workflow_steps", self._last, log_end=self._log.size)
        self._last = self._rows[key] = self._store.insert(
            "workflow_steps",
            job_id=self._job_id,
            number=len(self._rows) + 1,
            name=name,
            status="in_progress",
            started_at=timestamp(),
            log_start=self._log.size if self._rows else 0,
        )

    def end(self, key: str, conclusion: str, seconds: float) -> None:
        """A step has ended; lines about it may still follow."""
        if key not in self._rows:
            self._begin(key, key.rsplit("/", 1)[-1])
        self._store.update(
            "workflow_steps",
            self._rows[key],
            status="completed",
            conclusion=conclusion,
            completed_at=timestamp(),
            seconds=round(seconds, 3),
        )


def step_name(step: Mapping[str, Any]) -> str:
    """What a step is called that was never begun: its name, or what it would have run."""
    text = str(step.get("name") or step.get("uses") or step.get("run") or "")
    return text.strip().split("\n", 1)[0][:120]

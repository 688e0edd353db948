"""Concurrency groups: of what carries one name in a repository, runs and jobs alike, one is under way."""

from dataclasses import dataclass

from deploy.embedded.forge.store import Row, Store


@dataclass(frozen=True)
class Group:
    """One group of a repository."""

    store: Store
    repository_id: int
    name: str

    def has_pending_after(self, run_id: int) -> bool:
        """Whether a newer run, or a job of one, is pending."""
        row = self.store.one(
            "SELECT 1 FROM workflow_runs r LEFT JOIN workflow_jobs j ON j.run_id = r.id AND j.attempt = r.attempt"
            " WHERE r.repository_id = ? AND r.id > ?"
            " AND ((r.status = 'pending' AND r.concurrency_group = ?)"
            " OR (j.status = 'pending' AND j.concurrency_group = ?))",
            [self.repository_id, run_id, self.name, self.name],
        )
        return row is not None

    def runs_under_way(self, but: int) -> list[Row]:
        """Runs of the group that have begun, other than the run `but`."""
        return self.store.all(
            "SELECT * FROM workflow_runs WHERE repository_id = ? AND concurrency_group = ? AND id != ?"
            " AND status IN ('queued', 'in_progress')",
            [self.repository_id, self.name, but],
        )

    def jobs_under_way(self) -> list[Row]:
        """Jobs of the group that have begun or are about to."""
        return self.store.all(
            "SELECT j.* FROM workflow_jobs j JOIN workflow_runs r ON r.id = j.run_id WHERE r.repository_id = ?"
            " AND j.concurrency_group = ? AND j.status IN ('queued', 'in_progress')",
            [self.repository_id, self.name],
        )

"""The book of runs: order, groups, attempts, and what is said of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from deploy.embedded.forge.accounts import Accounts
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.store import Row, Store
from deploy.embedded.forge.workflows.book import INTERRUPTED, KEPT_DAYS, SUPERSEDED, Book
from deploy.embedded.forge.workflows.planned import PlannedJob, PlannedRun

_NUMBERS = count(1)
TEST, DEPLOY = PlannedJob("test", "Test"), PlannedJob("deploy", "Deploy", needs=("test",), group="prod")


class Shelf(Book):
    """A book with a repository of its own, which remembers what it said."""

    def __init__(self, store: Store, repository_id: int, actor_id: int) -> None:
        self.heard: list[tuple[str, int, str]] = []
        super().__init__(store, lambda kind, row_id, action: self.heard.append((kind, row_id, action)))
        self.store, self.repository_id, self.actor_id = store, repository_id, actor_id

    def begin(self, *jobs: PlannedJob, group: str | None = None, cancel: bool = False, source: str = "") -> int | None:
        return self.enter(
            PlannedRun(
                repository_id=self.repository_id,
                path=".github/workflows/ci.yml",
                workflow_name="CI",
                source=source or f"push-{next(_NUMBERS)}",
                event="push",
                ref="refs/heads/main",
                head_branch="main",
                head_sha="0" * 40,
                actor_id=self.actor_id,
                title="Work",
                payload="{}",
                jobs=jobs,
                group=group,
                cancel_in_progress=cancel,
            )
        )

    def run(self, run_id: int | None) -> Row:
        assert run_id is not None
        return self.store.row("workflow_runs", run_id)

    def states(self, run_id: int | None) -> dict[str, str]:
        return {job["key"]: job["conclusion"] or job["status"] for job in self.jobs(self.run(run_id))}

    def ended(self, run_id: int | None) -> str | None:
        found: str | None = self.run(run_id)["conclusion"]
        return found

    def do(self, conclusion: str = "success") -> str:
        """Take the next job and finish it."""
        job = self.take()
        assert job is not None
        self.finish(job["id"], conclusion)  # type: ignore[arg-type]
        return f"{job['run_id']}/{job['key']}"


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Shelf]:
    store = Store(tmp_path / "forge.db")
    account = Accounts(store).ensure("ada", "User")
    now = timestamp()
    repository_id = store.insert("repositories", owner_id=account.id, name="app", created_at=now, updated_at=now)
    yield Shelf(store, repository_id, account.id)
    store.close()


def test_a_job_runs_after_what_it_needs(book: Shelf) -> None:
    run = book.begin(TEST, DEPLOY)
    assert book.states(run) == {"test": "queued", "deploy": "waiting"}
    assert book.do() == f"{run}/test"
    assert book.do() == f"{run}/deploy"
    assert (book.ended(run), book.take()) == ("success", None)


def test_a_failure_skips_what_needs_it_and_fails_the_run(book: Shelf) -> None:
    always = PlannedJob("report", "Report", needs=("deploy",), runs_whatever_happened=True)
    run = book.begin(TEST, DEPLOY, always)
    book.do("failure")
    assert book.states(run) == {"test": "failure", "deploy": "skipped", "report": "queued"}
    book.do()
    assert book.ended(run) == "failure"


def test_the_same_source_starts_nothing_twice(book: Shelf) -> None:
    assert book.begin(TEST, source="push-x") is not None
    assert book.begin(TEST, source="push-x") is None


def test_a_run_without_jobs_has_failed(book: Shelf) -> None:
    run = book.begin()
    assert book.ended(run) == "failure"


def test_of_a_group_one_job_runs_and_the_newest_pending_one_waits(book: Shelf) -> None:
    first, second, third = (book.begin(TEST, DEPLOY) for _ in range(3))
    for test in [book.take() for _ in range(3)]:
        assert test is not None
        book.finish(test["id"], "success")
    deploying = book.take()
    assert deploying is not None
    assert (deploying["run_id"], deploying["key"]) == (first, "deploy")
    assert [book.states(run)["deploy"] for run in (first, second, third)] == ["in_progress", "cancelled", "pending"]
    assert (book.ended(second), book.ended(third), book.take()) == ("cancelled", None, None)
    assert [row["problem"] for row in book.jobs(book.run(second))] == [None, SUPERSEDED]
    book.finish(deploying["id"], "failure")
    assert book.do() == f"{third}/deploy"
    assert (book.ended(first), book.ended(third)) == ("failure", "success")


def test_a_run_of_a_group_waits_for_the_one_before_it(book: Shelf) -> None:
    first, second, third = (book.begin(TEST, group="ci") for _ in range(3))
    assert [book.run(each)["status"] for each in (first, second, third)] == ["queued", "completed", "pending"]
    assert book.do() == f"{first}/test"
    assert book.do() == f"{third}/test"
    assert [book.ended(each) for each in (first, second, third)] == ["success", "cancelled", "success"]


def test_a_group_that_cancels_ends_what_is_under_way(book: Shelf) -> None:
    first = book.begin(TEST, group="ci", cancel=True)
    job = book.take()
    second = book.begin(TEST, group="ci", cancel=True)
    assert job is not None
    assert book.is_cancelled(job["id"])
    assert book.run(second)["status"] == "pending"
    book.finish(job["id"], "cancelled")
    assert (book.ended(first), book.states(second)) == ("cancelled", {"test": "queued"})


def test_a_cancelled_run_begins_nothing_more(book: Shelf) -> None:
    run = book.begin(TEST, DEPLOY)
    job = book.take()
    assert run is not None
    assert job is not None
    assert book.cancel(run)
    assert book.states(run) == {"test": "in_progress", "deploy": "cancelled"}
    book.finish(job["id"], "cancelled")
    assert book.ended(run) == "cancelled"
    assert not book.cancel(run)


def test_a_run_can_be_run_again_once_it_has_ended(book: Shelf) -> None:
    run = book.begin(TEST)
    assert run is not None
    assert not book.again(run)
    book.do("failure")
    assert book.again(run)
    assert (book.run(run)["attempt"], book.states(run), book.ended(run)) == (2, {"test": "queued"}, None)
    book.do()
    assert book.ended(run) == "success"
    assert [job["conclusion"] for job in book.jobs(book.run(run), 1)] == ["failure"]


def test_what_a_stopped_forge_left_is_tried_once_more_and_no_oftener(book: Shelf) -> None:
    run, other = book.begin(TEST, DEPLOY), book.begin(TEST)
    book.take()
    book.recover()
    assert (book.run(run)["attempt"], book.states(run)) == (2, {"test": "queued", "deploy": "waiting"})
    (first, _) = book.jobs(book.run(run), 1)
    assert (first["conclusion"], first["problem"]) == ("failure", INTERRUPTED)
    assert book.states(other) == {"test": "queued"}

    book.take()
    book.recover()
    assert (book.run(run)["attempt"], book.ended(run)) == (2, "failure")


def test_every_change_is_said_once_and_in_order(book: Shelf) -> None:
    run = book.begin(TEST)
    book.do()
    (job,) = book.jobs(book.run(run))
    assert book.heard == [
        ("run", run, "requested"),
        ("job", job["id"], "queued"),
        ("run", run, "in_progress"),
        ("job", job["id"], "in_progress"),
        ("job", job["id"], "completed"),
        ("run", run, "completed"),
    ]


def test_runs_that_ended_long_ago_are_forgotten(book: Shelf) -> None:
    old, recent, waiting = (book.begin(TEST) for _ in range(3))
    book.do()
    book.do()
    long_ago = timestamp(datetime.now(UTC) - timedelta(days=KEPT_DAYS + 1))
    book.store.execute("UPDATE workflow_runs SET updated_at = ? WHERE id != ?", [long_ago, recent])
    book.forget()
    assert [row["id"] for row in book.store.all("SELECT id FROM workflow_runs ORDER BY id")] == [recent, waiting]
    assert book.store.count("SELECT count(*) FROM workflow_jobs WHERE run_id = ?", [old]) == 0


def test_a_repository_that_is_deleted_takes_its_runs_along(book: Shelf) -> None:
    book.begin(TEST)
    job = book.take()
    assert job is not None
    book.store.execute("DELETE FROM repositories")
    assert book.is_cancelled(job["id"])
    book.finish(job["id"], "cancelled")
    assert book.take() is None

"""The pages of runs: a list for each repository, and for each run its jobs, steps and logs. Plain HTML; a run that is
under way loads itself again every two seconds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from deploy.embedded.forge.pages import Pages, View
from deploy.embedded.forge.store import Row
from deploy.embedded.forge.workflows import job_log
from deploy.embedded.forge.workflows.actions import Actions
from deploy.embedded.forge.workflows.shapes import steps_of

_SHOWN_RUNS: Final = 50
_SHOWN_BYTES_A_STEP: Final = 128 * 1024
_KINDS: Final = {"##[error]": "del", "##[warning]": "hunk", "##[notice]": "hunk", "##[group]": "hunk"}


@dataclass(frozen=True)
class _LogLine:
    text: str
    kind: str


@dataclass(frozen=True)
class _Step:
    row: Row
    lines: list[_LogLine]

    @property
    def state(self) -> str:
        return str(self.row["conclusion"] or self.row["status"])

    @property
    def is_open(self) -> bool:
        """What is under way and what went wrong is read first."""
        return self.state in ("in_progress", "failure", "cancelled")


@dataclass(frozen=True)
class _Job:
    row: Row
    steps: list[_Step]
    has_log: bool

    @property
    def state(self) -> str:
        return str(self.row["conclusion"] or self.row["status"])


class RunPages:
    """What hangs below `/{owner}/{repo}/actions`."""

    def __init__(self, pages: Pages, actions: Actions) -> None:
        self._pages = pages
        self._actions = actions

    def routes(self) -> list[Route]:
        """The routes; before those that match any two words."""
        actions = "/{owner}/{repo}/actions"
        return [
            Route(actions, self.runs, methods=["GET"]),
            Route(f"{actions}/runs", self.runs, methods=["GET"]),
            Route(f"{actions}/runs/{{run_id:number}}", self.run, methods=["GET"]),
            Route(f"{actions}/runs/{{run_id:number}}/jobs/{{job_id:number}}/log", self.log, methods=["GET"]),
        ]

    def runs(self, request: Request) -> Response:
        """A repository's runs, newest first."""
        view = self._pages.view(request)
        if view is None:
            return self._pages.missing()
        rows = view.forge.store.all(
            "SELECT r.*, w.name FROM workflow_runs r JOIN workflows w ON w.id = r.workflow_id"
            " WHERE r.repository_id = ? ORDER BY r.id DESC LIMIT ?",
            [view.repository.id, _SHOWN_RUNS],
        )
        return self._pages.render("runs.html", title=f"Runs of {view.repository.full_name}", view=view, runs=rows)

    def _find(self, request: Request) -> tuple[View, Row] | None:
        view = self._pages.view(request)
        if view is None:
            return None
        run = view.forge.store.one(
            "SELECT * FROM workflow_runs WHERE id = ? AND repository_id = ?",
            [request.path_params["run_id"], view.repository.id],
        )
        return (view, run) if run is not None else None

    def run(self, request: Request) -> Response:
        """A run: its jobs and what they printed."""
        found = self._find(request)
        if found is None:
            return self._pages.missing()
        view, run = found
        workflow = view.forge.store.row("workflows", run["workflow_id"])
        return self._pages.render(
            "run.html",
            title=f"{workflow['name']} #{run['number']}",
            view=view,
            run=run,
            workflow=workflow,
            actor=view.forge.accounts.by_id(run["actor_id"]),
            jobs=[self._job(view, row) for row in self._actions.book.jobs(run)],
        )

    def _job(self, view: View, row: Row) -> _Job:
        path = self._actions.log_path(row)
        steps = [
            _Step(step, list(_lines(job_log.lines(path, step["log_start"], step["log_end"], _SHOWN_BYTES_A_STEP))))
            for step in steps_of(view.forge, row)
        ]
        return _Job(row, steps, path.exists())

    def log(self, request: Request) -> Response:
        """A job's log as it was written."""
        found = self._find(request)
        if found is not None:
            for job in self._actions.book.jobs(found[1]):
                if job["id"] == request.path_params["job_id"]:
                    return PlainTextResponse(self._actions.log(job))
        return self._pages.missing()


def _lines(texts: Iterator[str]) -> Iterator[_LogLine]:
    for text in texts:
        prefix = next((each for each in _KINDS if text.startswith(each)), "")
        if text.startswith("##[endgroup]"):
            continue
        yield _LogLine(text.removeprefix(prefix) if prefix else text, _KINDS.get(prefix, ""))

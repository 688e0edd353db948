"""REST: workflows, runs, jobs, their logs, and the checks of a commit; and who a job is (OpenID Connect)."""

import io
import zipfile
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from pydantic import Field, field_validator
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from deploy.embedded.forge import names
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.context import Access, Readable, Writable
from deploy.embedded.forge.errors import ForgeError, conflict, not_found, unprocessable
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.store import Row
from deploy.embedded.forge.workflows.actions import Actions
from deploy.embedded.forge.workflows.definition import DIRECTORY, WorkflowError, is_workflow_path
from deploy.embedded.forge.workflows.identity import IdentityError
from deploy.embedded.forge.workflows.shapes import Shapes

router = APIRouter(prefix="/repos/{owner}/{repo}")
identity_router = APIRouter()
_CONCLUSIONS: Final = frozenset({"success", "failure", "cancelled", "skipped", "timed_out"})
_LONGEST_INPUT: Final = 65_536


class Dispatch(Body):
    """`POST …/actions/workflows/{id}/dispatches`; `ref` is a branch or a tag."""

    ref: str
    inputs: dict[str, str] = Field(default_factory=dict, max_length=25)

    @field_validator("inputs", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Numbers and booleans count as what they look like, as on GitHub."""
        if not isinstance(value, dict):
            return value
        return {
            key: str(each).lower() if isinstance(each, bool) else str(each) if isinstance(each, int | float) else each
            for key, each in value.items()
        }


def _actions(request: Request) -> Actions:
    found: Actions = request.app.state.actions
    return found


Workflows = Annotated[Actions, Depends(_actions)]


def _shapes(access: Access) -> Shapes:
    return Shapes(access.forge, access.repository)


# Workflows


def _workflow(access: Access, workflow: str) -> Row:
    """By number, by file name or by path."""
    by_number = workflow.isascii() and workflow.isdigit() and len(workflow) <= 18
    column, value = ("id", workflow) if by_number else ("path", workflow)
    if not by_number and not is_workflow_path(workflow):
        value = f"{DIRECTORY}/{workflow}"
    sql = f"SELECT * FROM workflows WHERE repository_id = ? AND {column} = ?"  # noqa: S608 - one of two names
    row = access.forge.store.one(sql, [access.repository.id, value])
    if row is None:
        raise not_found()
    return row


@router.get("/actions/workflows")
def list_workflows(request: Request, access: Readable, workflows: Workflows) -> JSONResponse:
    """The workflows of the default branch, and those that have ever run."""
    workflows.learn_workflows(access)
    rows = access.forge.store.all("SELECT * FROM workflows WHERE repository_id = ? ORDER BY id", [access.repository.id])
    return paged(request, rows, _shapes(access).workflow, key="workflows")


@router.get("/actions/workflows/{workflow}")
def get_workflow(workflow: str, access: Readable, workflows: Workflows) -> dict[str, Any]:
    """A workflow."""
    workflows.learn_workflows(access)
    return _shapes(access).workflow(_workflow(access, workflow))


@router.get("/actions/workflows/{workflow}/runs")
def list_workflow_runs(workflow: str, request: Request, access: Readable) -> JSONResponse:
    """The runs of a workflow."""
    return _runs(request, access, _workflow(access, workflow)["id"])


@router.post("/actions/workflows/{workflow}/dispatches", status_code=204)
def dispatch_workflow(
    workflow: str, body: Annotated[Dispatch, Depends(json_body(Dispatch))], access: Writable, workflows: Workflows
) -> Response:
    """Run a workflow on a branch or a tag."""
    workflows.learn_workflows(access)
    path = _workflow(access, workflow)["path"]
    short = body.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
    for ref in (f"refs/heads/{short}", f"refs/tags/{short}"):
        commit = access.bare.resolve(ref) if names.is_ref(ref) else None
        if commit is not None:
            try:
                workflows.intake.dispatch(access, path, ref, commit, inputs=body.inputs)
            except WorkflowError as error:
                raise unprocessable(str(error)) from None
            return Response(status_code=204)
    raise unprocessable(f"No ref found for: {body.ref[:255]}")


# Runs


def _runs(request: Request, access: Access, workflow_id: int | None = None) -> JSONResponse:
    query = request.query_params
    conditions, values = ["repository_id = ?"], [access.repository.id]
    given: list[tuple[str, Any]] = []
    if workflow_id is not None:
        given.append(("workflow_id = ?", workflow_id))
    for name, column in (("branch", "head_branch"), ("event", "event"), ("head_sha", "head_sha")):
        if value := query.get(name):
            given.append((f"{column} = ?", value))
    if status := query.get("status"):
        given.append(("conclusion = ?" if status in _CONCLUSIONS else "status = ?", status))
    if actor := query.get("actor"):
        given.append(("actor_id = (SELECT id FROM accounts WHERE login = ?)", actor))
    conditions += [condition for condition, _ in given]
    sql = f"SELECT * FROM workflow_runs WHERE {' AND '.join(conditions)} ORDER BY id DESC"  # noqa: S608 - our own words
    rows = access.forge.store.all(sql, [*values, *(value for _, value in given)])
    return paged(request, rows, _shapes(access).run, key="workflow_runs")


def find_run(access: Access, run_id: int) -> Row:
    """The run with this id. Raises ForgeError 404."""
    row = access.forge.store.one(
        "SELECT * FROM workflow_runs WHERE id = ? AND repository_id = ?", [run_id, access.repository.id]
    )
    if row is None:
        raise not_found()
    return row


@router.get("/actions/runs")
def list_runs(request: Request, access: Readable) -> JSONResponse:
    """Runs, newest first; `branch`, `event`, `status`, `head_sha` and `actor` narrow it."""
    return _runs(request, access)


@router.get("/actions/runs/{run_id:number}")
def get_run(run_id: int, access: Readable) -> dict[str, Any]:
    """A run by its id."""
    return _shapes(access).run(find_run(access, run_id))


@router.get("/actions/runs/{run_id:number}/attempts/{attempt:number}")
def get_run_attempt(run_id: int, attempt: int, access: Readable) -> dict[str, Any]:
    """The same; earlier attempts are told apart by their jobs."""
    run = find_run(access, run_id)
    if not 1 <= attempt <= run["attempt"]:
        raise not_found()
    return _shapes(access).run(run, attempt=attempt)


@router.get("/actions/runs/{run_id:number}/jobs")
def list_jobs(run_id: int, request: Request, access: Readable, workflows: Workflows) -> JSONResponse:
    """The jobs of a run's latest attempt; `filter=all` gives those of all attempts."""
    run = find_run(access, run_id)
    attempts = range(1, run["attempt"] + 1) if request.query_params.get("filter") == "all" else [run["attempt"]]
    rows = [row for attempt in attempts for row in workflows.book.jobs(run, attempt)]
    return paged(request, rows, _shapes(access).job, key="jobs")


@router.get("/actions/runs/{run_id:number}/attempts/{attempt:number}/jobs")
def list_attempt_jobs(
    run_id: int, attempt: int, request: Request, access: Readable, workflows: Workflows
) -> JSONResponse:
    """The jobs of one attempt."""
    return paged(request, workflows.book.jobs(find_run(access, run_id), attempt), _shapes(access).job, key="jobs")


@router.get("/actions/runs/{run_id:number}/logs")
def get_run_logs(run_id: int, access: Readable, workflows: Workflows) -> Response:
    """The logs of a run's jobs, zipped."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, job in enumerate(workflows.book.jobs(find_run(access, run_id))):
            name = "".join(each if each.isalnum() or each in " -_()" else "_" for each in job["name"])[:80]
            archive.writestr(f"{number}_{name}.txt", workflows.log(job))
    return Response(buffer.getvalue(), media_type="application/zip")


@router.post("/actions/runs/{run_id:number}/rerun", status_code=201)
def rerun(run_id: int, access: Writable, workflows: Workflows) -> JSONResponse:
    """Run everything once more, as a new attempt."""
    if not workflows.book.again(find_run(access, run_id)["id"]):
        raise ForgeError(403, "This workflow run is still under way; cancel it or wait until it has ended")
    workflows.wake()
    return JSONResponse({}, 201)


@router.post("/actions/runs/{run_id:number}/cancel", status_code=202)
def cancel(run_id: int, access: Writable, workflows: Workflows) -> JSONResponse:
    """End a run that is under way."""
    if not workflows.book.cancel(find_run(access, run_id)["id"]):
        raise conflict("Cannot cancel a workflow run that is completed.")
    workflows.wake()
    return JSONResponse({}, 202)


# Jobs, and the checks of a commit


def _job(access: Access, job_id: int) -> Row:
    row = access.forge.store.one(
        "SELECT j.* FROM workflow_jobs j JOIN workflow_runs r ON r.id = j.run_id"
        " WHERE j.id = ? AND r.repository_id = ?",
        [job_id, access.repository.id],
    )
    if row is None:
        raise not_found()
    return row


@router.get("/actions/jobs/{job_id:number}")
def get_job(job_id: int, access: Readable) -> dict[str, Any]:
    """A job by its id."""
    return _shapes(access).job(_job(access, job_id))


@router.get("/actions/jobs/{job_id:number}/logs")
def get_job_logs(job_id: int, access: Readable) -> Response:
    """Where the log of a job is, as GitHub answers: a redirect."""
    return RedirectResponse(f"{access.url}/actions/jobs/{_job(access, job_id)['id']}/log.txt", 302)


@router.get("/actions/jobs/{job_id:number}/log.txt")
def get_job_log(job_id: int, access: Readable, workflows: Workflows) -> Response:
    """The log of a job, as far as it has come."""
    return PlainTextResponse(workflows.log(_job(access, job_id)))


@router.get("/commits/{ref:path}/check-runs")
def list_check_runs(ref: str, request: Request, access: Readable) -> JSONResponse:
    """The jobs of the latest attempts that ran on a commit, as its checks."""
    sha = access.bare.resolve(ref)
    if sha is None:
        raise ForgeError(422, f"No commit found for SHA: {ref[:255]}")
    rows = access.forge.store.all(
        "SELECT j.* FROM workflow_jobs j JOIN workflow_runs r ON r.id = j.run_id AND r.attempt = j.attempt"
        " WHERE r.repository_id = ? AND r.head_sha = ? ORDER BY j.id DESC",
        [access.repository.id, sha],
    )
    if name := request.query_params.get("check_name"):
        rows = [row for row in rows if row["name"] == name]
    return paged(request, rows, _shapes(access).check_run, key="check_runs")


@router.get("/check-runs/{job_id:number}")
def get_check_run(job_id: int, access: Readable) -> dict[str, Any]:
    """A check by its id, which is its job's."""
    return _shapes(access).check_run(_job(access, job_id))


# Who a job is


@identity_router.get("/.well-known/openid-configuration")
def get_configuration(workflows: Workflows) -> dict[str, Any]:
    """OpenID Connect discovery."""
    return workflows.identities.configuration()


@identity_router.get("/.well-known/jwks")
def get_keys(workflows: Workflows) -> dict[str, Any]:
    """The keys that identity tokens are signed with."""
    return workflows.identities.key_set()


@identity_router.get("/jobs/{job_id:number}")
def issue_token(job_id: int, request: Request, workflows: Workflows) -> dict[str, str]:
    """An identity token for the job whose request token is given: `{"value": "<JWT>"}`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        value = workflows.identities.issue(job_id, token.strip(), request.query_params.get("audience"))
    except IdentityError as error:
        raise unprocessable(str(error)) from None
    if value is None or scheme.lower() != "bearer":
        raise ForgeError(401, "This request token belongs to no job that is under way")
    return {"value": value}

"""REST: deployments and how they go."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from deploy.embedded.forge import names, shapes, threads
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Access, Readable, Writable
from deploy.embedded.forge.errors import conflict, not_found, unprocessable
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.store import Row

router = APIRouter(prefix="/repos/{owner}/{repo}/deployments")
State = Literal["error", "failure", "inactive", "in_progress", "queued", "pending", "success"]
_URL = r"^(https?://[^\s]*)?$"


class NewDeployment(Body):
    """`POST …/deployments`. There are no required contexts here and nothing is merged."""

    ref: str
    task: str = Field(default="deploy", max_length=100)
    payload: dict[str, Any] | str = Field(default_factory=dict)
    environment: str = "production"
    description: str | None = Field(default=None, max_length=1000)
    transient_environment: bool = False
    production_environment: bool | None = None


class NewDeploymentStatus(Body):
    """`POST …/deployments/{id}/statuses`."""

    state: State
    log_url: str = Field(default="", max_length=2000, pattern=_URL)
    target_url: str = Field(default="", max_length=2000, pattern=_URL)
    environment_url: str = Field(default="", max_length=2000, pattern=_URL)
    description: str = Field(default="", max_length=1000)
    auto_inactive: bool = True


def _find(access: Access, deployment_id: int) -> Row:
    row = access.forge.store.one(
        "SELECT * FROM deployments WHERE id = ? AND repository_id = ?", [deployment_id, access.repository.id]
    )
    if row is None:
        raise not_found()
    return row


def _shape(access: Access, row: Row) -> dict[str, Any]:
    url = f"{access.url}/deployments/{row['id']}"
    return {
        "id": row["id"],
        "node_id": shapes.node_id("Deployment", row["id"]),
        "url": url,
        "sha": row["sha"],
        "ref": row["ref"],
        "task": row["task"],
        "payload": json.loads(row["payload"]),
        "original_environment": row["environment"],
        "environment": row["environment"],
        "description": row["description"],
        "creator": threads.account_shape(access, row["creator_id"]),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "statuses_url": f"{url}/statuses",
        "repository_url": access.url,
        "transient_environment": bool(row["transient_environment"]),
        "production_environment": bool(row["production_environment"]),
    }


def _status_shape(access: Access, deployment: Row, row: Row) -> dict[str, Any]:
    url = f"{access.url}/deployments/{deployment['id']}"
    return {
        "id": row["id"],
        "node_id": shapes.node_id("DeploymentStatus", row["id"]),
        "url": f"{url}/statuses/{row['id']}",
        "state": row["state"],
        "creator": threads.account_shape(access, row["creator_id"]),
        "description": row["description"],
        "environment": deployment["environment"],
        "target_url": row["log_url"],
        "log_url": row["log_url"],
        "environment_url": row["environment_url"],
        "created_at": row["created_at"],
        "updated_at": row["created_at"],
        "deployment_url": url,
        "repository_url": access.url,
    }


@router.post("", status_code=201)
def create_deployment(
    body: Annotated[NewDeployment, Depends(json_body(NewDeployment))], access: Writable
) -> dict[str, Any]:
    """Ask for a revision to be deployed to an environment."""
    sha = access.bare.resolve(body.ref)
    if sha is None:
        raise conflict(f"No ref found for: {body.ref[:255]}")
    if not names.is_environment(body.environment):
        raise unprocessable("The name of an environment is 1 to 255 printable characters without a slash")
    now = timestamp()
    production = body.production_environment
    deployment_id = access.forge.store.insert(
        "deployments",
        repository_id=access.repository.id,
        ref=body.ref,
        sha=sha,
        task=body.task,
        environment=body.environment,
        description=body.description,
        payload=json.dumps(body.payload),
        transient_environment=int(body.transient_environment),
        production_environment=int(body.environment == "production" if production is None else production),
        creator_id=access.caller.id,
        created_at=now,
        updated_at=now,
    )
    row = access.forge.store.row("deployments", deployment_id)
    access.forge.hooks.say(
        access.repository,
        "deployment",
        access.caller,
        lambda: {"action": "created", "deployment": _shape(access, row)},
    )
    return _shape(access, row)


@router.get("")
def list_deployments(request: Request, access: Readable) -> JSONResponse:
    """Deployments, newest first; `sha`, `ref`, `task` and `environment` narrow it."""
    given = {key: request.query_params.get(key) for key in ("sha", "ref", "task", "environment")}
    wanted = {key: value for key, value in given.items() if value}
    conditions = "".join(f" AND {column} = ?" for column in wanted)
    sql = f"SELECT * FROM deployments WHERE repository_id = ?{conditions} ORDER BY id DESC"  # noqa: S608 - our columns
    rows = access.forge.store.all(sql, [access.repository.id, *wanted.values()])
    return paged(request, rows, lambda row: _shape(access, row))


@router.get("/{deployment_id:number}")
def get_deployment(deployment_id: int, access: Readable) -> dict[str, Any]:
    """A deployment by its id."""
    return _shape(access, _find(access, deployment_id))


@router.delete("/{deployment_id:number}", status_code=204)
def delete_deployment(deployment_id: int, access: Writable) -> Response:
    """Forget a deployment; one that is active must be made inactive first."""
    row = _find(access, deployment_id)
    last = _statuses(access, row)[:1]
    others = access.forge.store.count(
        "SELECT count(*) FROM deployments WHERE repository_id = ?", [access.repository.id]
    )
    if others > 1 and last and last[0]["state"] not in ("inactive", "failure", "error"):
        raise unprocessable("We cannot delete an active deployment unless it is the only deployment in a repository")
    access.forge.store.execute("DELETE FROM deployments WHERE id = ?", [deployment_id])
    return Response(status_code=204)


def _statuses(access: Access, deployment: Row) -> list[Row]:
    return access.forge.store.all(
        "SELECT * FROM deployment_statuses WHERE deployment_id = ? ORDER BY id DESC", [deployment["id"]]
    )


@router.get("/{deployment_id:number}/statuses")
def list_deployment_statuses(deployment_id: int, request: Request, access: Readable) -> JSONResponse:
    """How a deployment went, newest first."""
    deployment = _find(access, deployment_id)
    return paged(request, _statuses(access, deployment), lambda row: _status_shape(access, deployment, row))


@router.get("/{deployment_id:number}/statuses/{status_id:number}")
def get_deployment_status(deployment_id: int, status_id: int, access: Readable) -> dict[str, Any]:
    """One status by its id."""
    deployment = _find(access, deployment_id)
    for row in _statuses(access, deployment):
        if row["id"] == status_id:
            return _status_shape(access, deployment, row)
    raise not_found()


@router.post("/{deployment_id:number}/statuses", status_code=201)
def create_deployment_status(
    deployment_id: int,
    body: Annotated[NewDeploymentStatus, Depends(json_body(NewDeploymentStatus))],
    access: Writable,
) -> dict[str, Any]:
    """Say how a deployment goes."""
    return add_status(access, deployment_id, body)


def add_status(
    access: Access, deployment_id: int, body: NewDeploymentStatus, workflow_run: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A new status; `workflow_run` is the run that makes the deployment, where one does. A success makes the
    environment's earlier deployments inactive, unless `auto_inactive` is false."""
    deployment = _find(access, deployment_id)
    with access.forge.store.transaction():
        status_id = _insert_status(access, deployment_id, body.state, body)
        access.forge.store.update("deployments", deployment_id, updated_at=timestamp())
        if body.state == "success" and body.auto_inactive:
            _retire_others(access, deployment)
    row = access.forge.store.row("deployment_statuses", status_id)
    access.forge.hooks.say(
        access.repository,
        "deployment_status",
        access.caller,
        lambda: {
            "action": "created",
            "deployment": _shape(access, deployment),
            "deployment_status": _status_shape(access, deployment, row),
            "workflow_run": workflow_run,
        },
    )
    return _status_shape(access, deployment, row)


def _insert_status(access: Access, deployment_id: int, state: str, body: NewDeploymentStatus | None) -> int:
    return access.forge.store.insert(
        "deployment_statuses",
        deployment_id=deployment_id,
        state=state,
        description=body.description if body is not None else "",
        log_url=(body.log_url or body.target_url) if body is not None else "",
        environment_url=body.environment_url if body is not None else "",
        creator_id=access.caller.id,
        created_at=timestamp(),
    )


def _retire_others(access: Access, deployment: Row) -> None:
    others = access.forge.store.all(
        "SELECT d.id FROM deployments d WHERE d.repository_id = ? AND d.environment = ? AND d.id < ?"
        " AND d.transient_environment = 0 AND d.production_environment = ?"
        " AND (SELECT s.state FROM deployment_statuses s WHERE s.deployment_id = d.id ORDER BY s.id DESC LIMIT 1)"
        " = 'success'",
        [
            access.repository.id,
            deployment["environment"],
            deployment["id"],
            deployment["production_environment"],
        ],
    )
    for row in others:
        _insert_status(access, row["id"], "inactive", None)

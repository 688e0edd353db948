"""REST: deployment environments, and the variables of repositories and environments."""

import json
import sqlite3
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from deploy.embedded.forge import names, shapes
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Access, Administered, Readable, Writable
from deploy.embedded.forge.errors import conflict, not_found, unprocessable
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.store import Row

router = APIRouter(prefix="/repos/{owner}/{repo}")
_LONGEST_VALUE = 48 * 1024
_OF_REPOSITORY = 0


class NewVariable(Body):
    """`POST …/variables`."""

    name: str
    value: str = Field(max_length=_LONGEST_VALUE)


class VariableChange(Body):
    """`PATCH …/variables/{name}`."""

    name: str | None = None
    value: str | None = Field(default=None, max_length=_LONGEST_VALUE)


class BranchPolicy(Body):
    """Which branches may deploy."""

    protected_branches: bool
    custom_branch_policies: bool


class EnvironmentChange(Body):
    """`PUT …/environments/{name}`."""

    wait_timer: int = Field(default=0, ge=0, le=43_200)
    prevent_self_review: bool = False
    deployment_branch_policy: BranchPolicy | None = None
    reviewers: list[dict[str, Any]] | None = Field(default=None, max_length=6)


# Environments


def _environment(access: Access, name: str) -> Row:
    row = access.forge.store.one(
        "SELECT * FROM environments WHERE repository_id = ? AND name = ?", [access.repository.id, name]
    )
    if row is None:
        raise not_found()
    return row


def _environment_shape(access: Access, row: Row) -> dict[str, Any]:
    protection = json.loads(row["protection"])
    rules: list[dict[str, Any]] = []
    if protection.get("wait_timer"):
        rules.append(_rule(row, 1, "wait_timer", wait_timer=protection["wait_timer"]))
    if protection.get("deployment_branch_policy"):
        rules.append(_rule(row, 2, "branch_policy"))
    return {
        "id": row["id"],
        "node_id": shapes.node_id("Environment", row["id"]),
        "name": row["name"],
        "url": f"{access.url}/environments/{row['name']}",
        "html_url": access.page,
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "protection_rules": rules,
        "deployment_branch_policy": protection.get("deployment_branch_policy"),
    }


def _rule(row: Row, index: int, kind: str, **more: Any) -> dict[str, Any]:
    number = row["id"] * 10 + index
    return {"id": number, "node_id": shapes.node_id("Gate", number), "type": kind, **more}


@router.get("/environments")
def list_environments(request: Request, access: Readable) -> JSONResponse:
    """The environments by name."""
    rows = access.forge.store.all(
        "SELECT * FROM environments WHERE repository_id = ? ORDER BY name", [access.repository.id]
    )
    return paged(request, rows, lambda row: _environment_shape(access, row), key="environments")


@router.get("/environments/{name}")
def get_environment(name: str, access: Readable) -> dict[str, Any]:
    """An environment by name."""
    return _environment_shape(access, _environment(access, name))


@router.put("/environments/{name}")
def put_environment(
    name: str, body: Annotated[EnvironmentChange, Depends(json_body(EnvironmentChange))], access: Administered
) -> dict[str, Any]:
    """Make an environment, or replace its protection."""
    if not names.is_environment(name):
        raise unprocessable("The name of an environment is 1 to 255 printable characters without a slash")
    policy = body.deployment_branch_policy
    if policy is not None and policy.protected_branches == policy.custom_branch_policies:
        raise unprocessable("protected_branches and custom_branch_policies cannot have the same value")
    if body.reviewers:
        # As GitHub answers where the plan of the owner has none.
        raise unprocessable("Failed to create the environment protection rule: this forge asks no reviewers")
    now = timestamp()
    access.forge.store.execute(
        "INSERT INTO environments (repository_id, name, protection, created_at, updated_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (repository_id, name)"
        " DO UPDATE SET protection = excluded.protection, updated_at = excluded.updated_at",
        [access.repository.id, name, body.model_dump_json(), now, now],
    )
    return get_environment(name, access)


@router.delete("/environments/{name}", status_code=204)
def delete_environment(name: str, access: Administered) -> Response:
    """Delete an environment with its variables."""
    row = _environment(access, name)
    with access.forge.store.transaction():
        access.forge.store.execute("DELETE FROM variables WHERE environment_id = ?", [row["id"]])
        access.forge.store.execute("DELETE FROM environments WHERE id = ?", [row["id"]])
    return Response(status_code=204)


# Variables


def _variable(access: Access, environment_id: int, name: str) -> Row:
    row = access.forge.store.one(
        "SELECT * FROM variables WHERE repository_id = ? AND environment_id = ? AND name = ?",
        [access.repository.id, environment_id, name.upper()],
    )
    if row is None:
        raise not_found()
    return row


def _variable_shape(row: Row) -> dict[str, Any]:
    return {key: row[key] for key in ("name", "value", "created_at", "updated_at")}


def _checked_name(name: str) -> str:
    if not names.is_variable(name.upper()):
        raise unprocessable(
            "Variable names can only contain alphanumeric characters and underscores, and must not start with a"
            " number or GITHUB_"
        )
    return name.upper()


def _list(request: Request, access: Access, environment_id: int) -> JSONResponse:
    rows = access.forge.store.all(
        "SELECT * FROM variables WHERE repository_id = ? AND environment_id = ? ORDER BY name",
        [access.repository.id, environment_id],
    )
    return paged(request, rows, _variable_shape, key="variables")


def _create(access: Access, environment_id: int, body: NewVariable) -> JSONResponse:
    now = timestamp()
    try:
        access.forge.store.insert(
            "variables",
            repository_id=access.repository.id,
            environment_id=environment_id,
            name=_checked_name(body.name),
            value=body.value,
            created_at=now,
            updated_at=now,
        )
    except sqlite3.IntegrityError:
        raise conflict("Already exists - Variable already exists") from None
    return JSONResponse({}, 201)


def _change(access: Access, environment_id: int, name: str, body: VariableChange) -> Response:
    row = _variable(access, environment_id, name)
    given = {key: value for key, value in body.given().items() if value is not None}
    if "name" in given:
        given["name"] = _checked_name(given["name"])
    try:
        access.forge.store.update("variables", row["id"], updated_at=timestamp(), **given)
    except sqlite3.IntegrityError:
        raise conflict("Already exists - Variable already exists") from None
    return Response(status_code=204)


def _delete(access: Access, environment_id: int, name: str) -> Response:
    access.forge.store.execute("DELETE FROM variables WHERE id = ?", [_variable(access, environment_id, name)["id"]])
    return Response(status_code=204)


@router.get("/actions/variables")
def list_variables(request: Request, access: Writable) -> JSONResponse:
    """The repository's variables by name."""
    return _list(request, access, _OF_REPOSITORY)


@router.post("/actions/variables", status_code=201)
def create_variable(body: Annotated[NewVariable, Depends(json_body(NewVariable))], access: Writable) -> JSONResponse:
    """A new variable of the repository."""
    return _create(access, _OF_REPOSITORY, body)


@router.get("/actions/variables/{name}")
def get_variable(name: str, access: Writable) -> dict[str, Any]:
    """A variable of the repository."""
    return _variable_shape(_variable(access, _OF_REPOSITORY, name))


@router.patch("/actions/variables/{name}", status_code=204)
def change_variable(
    name: str, body: Annotated[VariableChange, Depends(json_body(VariableChange))], access: Writable
) -> Response:
    """Another value or name for a variable of the repository."""
    return _change(access, _OF_REPOSITORY, name, body)


@router.delete("/actions/variables/{name}", status_code=204)
def delete_variable(name: str, access: Writable) -> Response:
    """Delete a variable of the repository."""
    return _delete(access, _OF_REPOSITORY, name)


@router.get("/environments/{environment}/variables")
def list_environment_variables(environment: str, request: Request, access: Writable) -> JSONResponse:
    """An environment's variables by name."""
    return _list(request, access, _environment(access, environment)["id"])


@router.post("/environments/{environment}/variables", status_code=201)
def create_environment_variable(
    environment: str, body: Annotated[NewVariable, Depends(json_body(NewVariable))], access: Writable
) -> JSONResponse:
    """A new variable of an environment."""
    return _create(access, _environment(access, environment)["id"], body)


@router.get("/environments/{environment}/variables/{name}")
def get_environment_variable(environment: str, name: str, access: Writable) -> dict[str, Any]:
    """A variable of an environment."""
    return _variable_shape(_variable(access, _environment(access, environment)["id"], name))


@router.patch("/environments/{environment}/variables/{name}", status_code=204)
def change_environment_variable(
    environment: str,
    name: str,
    body: Annotated[VariableChange, Depends(json_body(VariableChange))],
    access: Writable,
) -> Response:
    """Another value or name for a variable of an environment."""
    return _change(access, _environment(access, environment)["id"], name, body)


@router.delete("/environments/{environment}/variables/{name}", status_code=204)
def delete_environment_variable(environment: str, name: str, access: Writable) -> Response:
    """Delete a variable of an environment."""
    return _delete(access, _environment(access, environment)["id"], name)

"""REST: one repository: read, change, archive, delete; its topics and collaborators."""

import json
import sqlite3
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from deploy.embedded.forge import names, shapes
from deploy.embedded.forge.accounts import RANK, Account, Role
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.context import (
    Access,
    Administered,
    AdministeredEvenArchived,
    Readable,
)
from deploy.embedded.forge.errors import archived, invalid, not_found, unprocessable
from deploy.embedded.forge.pagination import paged

router = APIRouter(prefix="/repos/{owner}/{repo}")

# GitHub's five roles on the three that differ here.
_ROLES: Final[dict[str, Role]] = {
    "pull": "read",
    "read": "read",
    "triage": "read",
    "push": "write",
    "write": "write",
    "maintain": "write",
    "admin": "admin",
}


class RepositoryChange(Body):
    """`PATCH /repos/{owner}/{repo}`."""

    name: str | None = None
    description: str | None = Field(default=None, max_length=350)
    homepage: str | None = Field(default=None, max_length=255)
    private: bool | None = None
    visibility: Literal["public", "private", "internal"] | None = None
    has_issues: bool | None = None
    has_projects: bool | None = None
    has_wiki: bool | None = None
    default_branch: str | None = None
    delete_branch_on_merge: bool | None = None
    archived: bool | None = None


class Topics(Body):
    """`PUT …/topics`."""

    names: list[str] = Field(max_length=20)


class Collaboration(Body):
    """`PUT …/collaborators/{username}`."""

    permission: str = "push"


def _shape(access: Access) -> dict[str, Any]:
    forge = access.forge
    return shapes.repository(forge.urls, forge.repositories.known(access.repository.id), access.role)


@router.get("")
def get_repository(access: Readable) -> dict[str, Any]:
    """The repository."""
    return _shape(access)


@router.patch("")
def change_repository(
    body: Annotated[RepositoryChange, Depends(json_body(RepositoryChange))], access: AdministeredEvenArchived
) -> dict[str, Any]:
    """Change what is given. An archived repository can only be unarchived."""
    given = body.given()
    visibility = given.pop("visibility", None)
    if visibility is not None:
        given["private"] = visibility == "private"
    nullable = ("description", "homepage")
    changes = {key: value for key, value in given.items() if value is not None or key in nullable}
    if access.repository.archived and changes.get("archived") is not False:
        raise archived()
    if "name" in changes and not names.is_repository(changes["name"]):
        raise invalid("Repository", "name")
    branch = changes.get("default_branch")
    if branch is not None:
        if not names.is_branch(branch) or access.bare.branch(branch) is None:
            raise unprocessable(f"The branch {branch!r} was not found. Please push that ref first or create a new one.")
        access.bare.set_default_branch(branch)
    try:
        access.forge.repositories.change(access.repository.id, **changes)
    except sqlite3.IntegrityError:
        raise invalid("Repository", "name", "already_exists") from None
    return _shape(access)


@router.delete("", status_code=204)
def delete_repository(access: AdministeredEvenArchived) -> Response:
    """Delete it with everything in it. Its number is not used again."""
    with access.forge.store.transaction():
        access.forge.store.execute("DELETE FROM repositories WHERE id = ?", [access.repository.id])
    # Last: a forge that dies here has a directory too many, which nobody can reach; a repository without its directory
    # would be there and could neither be read nor deleted.
    access.forge.git.delete(access.repository.id)
    return Response(status_code=204)


@router.get("/topics")
def get_topics(access: Readable) -> dict[str, list[str]]:
    """The topics."""
    return {"names": list(access.repository.topics)}


@router.put("/topics")
def replace_topics(body: Annotated[Topics, Depends(json_body(Topics))], access: Administered) -> dict[str, list[str]]:
    """Replace all topics."""
    if not all(names.is_topic(name) for name in body.names):
        raise unprocessable("Topics must consist of lowercase alphanumeric characters or hyphens.")
    topics = list(dict.fromkeys(body.names))
    access.forge.repositories.change(access.repository.id, topics=json.dumps(topics))
    return {"names": topics}


# Collaborators


def _account(access: Access, username: str) -> Account:
    found = access.forge.accounts.by_login(username)
    if found is None or found.kind != "User":
        raise not_found()
    return found


def _given(access: Access, account: Account) -> Role:
    row = access.forge.store.one(
        "SELECT permission FROM collaborators WHERE repository_id = ? AND account_id = ?",
        [access.repository.id, account.id],
    )
    role: Role = row["permission"] if row is not None else "none"
    return role


@router.get("/collaborators")
def list_collaborators(request: Request, access: Readable) -> JSONResponse:
    """Those who were added by name."""
    rows = access.forge.store.all(
        "SELECT account_id, permission FROM collaborators WHERE repository_id = ? ORDER BY account_id",
        [access.repository.id],
    )

    def shape(row: Any) -> dict[str, Any]:
        account = access.forge.accounts.by_id(row["account_id"])
        return shapes.account(access.forge.urls, account) | {"role_name": row["permission"]}

    return paged(request, rows, shape)


@router.get("/collaborators/{username}", status_code=204)
def check_collaborator(username: str, access: Readable) -> Response:
    """204 for a collaborator, 404 for anybody else."""
    if _given(access, _account(access, username)) == "none":
        raise not_found()
    return Response(status_code=204)


@router.get("/collaborators/{username}/permission")
def get_permission(username: str, access: Readable) -> dict[str, Any]:
    """The most that a user may do, by name or as a member."""
    account = _account(access, username)
    held = max(_given(access, account), access.repository.owner.base_permission, key=RANK.__getitem__)
    if access.repository.owner.id == account.id:
        held = "admin"
    return {
        "permission": held,
        "role_name": held,
        "user": shapes.account(access.forge.urls, account),
    }


@router.put("/collaborators/{username}", status_code=204)
def add_collaborator(
    username: str, body: Annotated[Collaboration, Depends(json_body(Collaboration))], access: Administered
) -> Response:
    """Add a collaborator, or change what one may do. There is no invitation to accept."""
    permission = _ROLES.get(body.permission)
    if permission is None:
        raise invalid("Collaborator", "permission")
    access.forge.store.execute(
        "INSERT INTO collaborators (repository_id, account_id, permission) VALUES (?, ?, ?)"
        " ON CONFLICT (repository_id, account_id) DO UPDATE SET permission = excluded.permission",
        [access.repository.id, _account(access, username).id, permission],
    )
    return Response(status_code=204)


@router.delete("/collaborators/{username}", status_code=204)
def remove_collaborator(username: str, access: Administered) -> Response:
    """Take away what was given by name."""
    access.forge.store.execute(
        "DELETE FROM collaborators WHERE repository_id = ? AND account_id = ?",
        [access.repository.id, _account(access, username).id],
    )
    return Response(status_code=204)

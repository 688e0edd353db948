"""REST: the caller, users, organisations, and who owns what."""

import sqlite3
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import JSONResponse

from deploy.embedded.forge import names, shapes
from deploy.embedded.forge.accounts import RANK, Account, LoginTakenError
from deploy.embedded.forge.bare import Bare
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Call, Caller
from deploy.embedded.forge.errors import ForgeError, forbidden, invalid, not_found
from deploy.embedded.forge.git import ZERO_SHA
from deploy.embedded.forge.objects import TreeEntry, format_tree
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.people import now_by
from deploy.embedded.forge.records import Repository

router = APIRouter()


class NewRepository(Body):
    """`POST /orgs/{org}/repos` and `POST /user/repos`."""

    name: str
    description: str | None = Field(default=None, max_length=350)
    homepage: str | None = Field(default=None, max_length=255)
    private: bool = True
    has_issues: bool = True
    has_projects: bool = False
    has_wiki: bool = False
    auto_init: bool = False
    delete_branch_on_merge: bool = False


class NewOrganisation(Body):
    """`POST /admin/organizations`, as on GitHub Enterprise."""

    login: str
    profile_name: str | None = Field(default=None, max_length=255)


@router.get("/user")
def get_caller(call: Caller) -> dict[str, Any]:
    """The caller."""
    return shapes.user(call.forge.urls, call.caller, admin=call.principal.admin)


@router.get("/users/{login}")
def get_user(login: str, call: Caller) -> dict[str, Any]:
    """A user or an organisation."""
    return shapes.user(call.forge.urls, _known(call, login), admin=False)


@router.get("/user/orgs")
def list_own_organisations(request: Request, call: Caller) -> JSONResponse:
    """Everyone here belongs to every organisation; what that allows is each one's base permission."""
    return paged(request, call.forge.accounts.organisations(), lambda each: shapes.organisation(call.forge.urls, each))


@router.get("/organizations")
def list_organisations(request: Request, call: Caller) -> JSONResponse:
    """All organisations."""
    return list_own_organisations(request, call)


@router.post("/admin/organizations", status_code=201)
def create_organisation(
    body: Annotated[NewOrganisation, Depends(json_body(NewOrganisation))], call: Caller
) -> dict[str, Any]:
    """A new organisation in which everyone may push. Admins only."""
    if not call.principal.admin:
        raise forbidden("Must be a site administrator")
    if not names.is_login(body.login):
        raise invalid("Organization", "login")
    if call.forge.accounts.by_login(body.login) is not None:
        raise invalid("Organization", "login", "already_exists")
    try:
        made = call.forge.accounts.ensure(body.login, "Organization", name=body.profile_name, base_permission="write")
    except LoginTakenError:
        raise invalid("Organization", "login", "already_exists") from None
    return shapes.organisation(call.forge.urls, made)


@router.get("/orgs/{org}")
def get_organisation(org: str, call: Caller) -> dict[str, Any]:
    """An organisation."""
    return shapes.organisation(call.forge.urls, _organisation(call, org))


@router.get("/orgs/{org}/repos")
def list_organisation_repositories(org: str, request: Request, call: Caller) -> JSONResponse:
    """The organisation's repositories that the caller may read, newest first."""
    return _list(request, call, call.forge.repositories.of(_organisation(call, org)))


@router.get("/users/{login}/repos")
def list_user_repositories(login: str, request: Request, call: Caller) -> JSONResponse:
    """A user's repositories that the caller may read, newest first."""
    return _list(request, call, call.forge.repositories.of(_known(call, login)))


@router.get("/user/repos")
def list_own_repositories(request: Request, call: Caller) -> JSONResponse:
    """Everything the caller may read, newest first."""
    return _list(request, call, call.forge.repositories.of())


@router.post("/orgs/{org}/repos", status_code=201)
def create_organisation_repository(
    org: str, body: Annotated[NewRepository, Depends(json_body(NewRepository))], call: Caller
) -> dict[str, Any]:
    """A new repository. The caller must be an admin, or a member where members may write."""
    owner = _organisation(call, org)
    if not call.principal.admin and RANK[owner.base_permission] < RANK["write"]:
        raise forbidden("You need admin access to the organization before adding a repository to it.")
    return _create(call, owner, body)


@router.post("/user/repos", status_code=201)
def create_own_repository(
    body: Annotated[NewRepository, Depends(json_body(NewRepository))], call: Caller
) -> dict[str, Any]:
    """A new repository of the caller's own."""
    return _create(call, call.caller, body)


def _known(call: Call, login: str) -> Account:
    found = call.forge.accounts.by_login(login)
    if found is None:
        raise not_found()
    return found


def _organisation(call: Call, login: str) -> Account:
    found = _known(call, login)
    if found.kind != "Organization":
        raise not_found()
    return found


def _list(request: Request, call: Call, repositories: list[Repository]) -> JSONResponse:
    forge = call.forge

    def shape(each: Repository) -> dict[str, Any]:
        return shapes.repository(forge.urls, each, forge.repositories.role(call.principal, each))

    return paged(request, forge.repositories.visible(call.principal, repositories), shape)


def _create(call: Call, owner: Account, body: NewRepository) -> dict[str, Any]:
    forge = call.forge
    if not names.is_repository(body.name):
        raise _refused("name is invalid: use letters, digits and . _ - and do not begin with a hyphen")
    now = timestamp()
    values = body.model_dump(exclude={"auto_init"})
    with forge.store.transaction():
        try:
            repository_id = forge.store.insert(
                "repositories", owner_id=owner.id, created_at=now, updated_at=now, **values
            )
        except sqlite3.IntegrityError:
            raise _refused("name already exists on this account") from None
        forge.store.insert("collaborators", repository_id=repository_id, account_id=call.caller.id, permission="admin")
        repository = forge.repositories.known(repository_id)
        forge.git.create(repository.id, repository.full_name, repository.default_branch)
        if body.auto_init:
            _first_commit(Bare(forge.git, repository.id), repository, call.caller)
    return shapes.repository(forge.urls, repository, "admin")


def _refused(message: str) -> ForgeError:
    error = {"resource": "Repository", "code": "custom", "field": "name", "message": message}
    return ForgeError(422, "Repository creation failed.", [error])


def _first_commit(bare: Bare, repository: Repository, author: Account) -> None:
    text = f"# {repository.name}\n" + (f"\n{repository.description}\n" if repository.description else "")
    blob = bare.write("blob", text.encode())
    tree = bare.write("tree", format_tree([TreeEntry("100644", "README.md", blob)]))
    person = now_by(author)
    commit = bare.write_commit(tree, [], person, person, "Initial commit")
    bare.move_ref(f"refs/heads/{repository.default_branch}", commit.sha, ZERO_SHA)

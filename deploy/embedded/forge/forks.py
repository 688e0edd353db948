"""REST: forks; and bringing a fork's commits into the repository that they are offered to.

Invariant: commits come over by Git's own transport between two directories of ours; no name that a person typed is part
of a command.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from deploy.embedded.forge import names, shapes
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Access, Forge, Readable
from deploy.embedded.forge.errors import invalid
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.records import Repository

router = APIRouter(prefix="/repos/{owner}/{repo}/forks")
# The shared configuration allows no transport at all.
_FETCH: Final = (
    *("-c", "protocol.file.allow=always", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head"),
    "--no-auto-maintenance",
)


class NewFork(Body):
    """`POST …/forks`: into the caller's own account."""

    name: str | None = None


def bring(forge: Forge, source: Repository, target: Repository, *refspecs: str) -> None:
    """Copy what `refspecs` name, commits or refs, from one repository into another. Raises GitError."""
    forge.git.run(target.id, [*_FETCH, str(forge.git.directory(source.id)), *refspecs])


def of(access: Access, owner: str) -> Repository | None:
    """The fork of this repository that `owner` has and that the caller may read."""
    repositories = access.forge.repositories
    row = access.forge.store.one(
        "SELECT r.id FROM repositories r JOIN accounts a ON a.id = r.owner_id WHERE r.parent_id = ? AND a.login = ?",
        [access.repository.id, owner],
    )
    found = repositories.by_id(row["id"]) if row is not None else None
    return found if found is not None and repositories.role(access.principal, found) != "none" else None


@router.post("", status_code=202)
def create_fork(body: Annotated[NewFork, Depends(json_body(NewFork))], access: Readable) -> dict[str, Any]:
    """A fork in the caller's own account, or the one that is there."""
    forge = access.forge
    found = of(access, access.caller.login) or _create(access, body.name or access.repository.name)
    return shapes.repository(forge.urls, found, forge.repositories.role(access.principal, found))


def _create(access: Access, name: str) -> Repository:
    forge, origin, now = access.forge, access.repository, timestamp()
    if not names.is_repository(name):
        raise invalid("Repository", "name")
    if forge.repositories.by_name(access.caller.login, name) is not None:
        raise invalid("Repository", "name", "already_exists")
    with forge.store.transaction():
        made = forge.repositories.known(
            forge.store.insert(
                "repositories",
                owner_id=access.caller.id,
                name=name,
                parent_id=origin.id,
                description=origin.description,
                private=int(origin.private),
                default_branch=origin.default_branch,
                has_issues=0,
                created_at=now,
                updated_at=now,
            )
        )
        forge.git.create(made.id, made.full_name, made.default_branch)
        bring(forge, origin, made, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
    return made


@router.get("")
def list_forks(request: Request, access: Readable) -> JSONResponse:
    """The forks that the caller may read, newest first."""
    forge = access.forge
    rows = forge.store.all("SELECT id FROM repositories WHERE parent_id = ? ORDER BY id DESC", [access.repository.id])
    found = forge.repositories.visible(access.principal, [forge.repositories.known(row["id"]) for row in rows])
    return paged(request, found, lambda each: shapes.repository(forge.urls, each, "read"))

"""REST: pull requests, from a branch of the repository or of a fork.

Their heads are also refs, `refs/pull/<number>/head`, which only the forge moves: a branch that is deleted takes no
pull request's commits with it.
"""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import JSONResponse

from deploy.embedded.forge import forks, history, names, shapes, threads
from deploy.embedded.forge.bare import RefMovedError
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.commits import commit_shape, file_shape
from deploy.embedded.forge.context import Access, Commentable, Readable
from deploy.embedded.forge.errors import ForgeError, invalid, not_found, unprocessable
from deploy.embedded.forge.git import ZERO_SHA
from deploy.embedded.forge.history import Log
from deploy.embedded.forge.issues import LONGEST_TEXT
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.records import Repository
from deploy.embedded.forge.store import Row

router = APIRouter(prefix="/repos/{owner}/{repo}/pulls")
_MOST_COMMITS: Final = 250
SELECT: Final = """
    SELECT i.*, p.id AS pull_id, p.head_ref, p.head_sha, p.base_ref, p.base_sha, p.draft, p.merged_at,
           p.merged_by_id, p.merge_commit_sha, p.head_repository_id
    FROM issues i JOIN pulls p ON p.issue_id = i.id
"""


class NewPull(Body):
    """`POST …/pulls`; `head` is a branch, or `owner:branch`, which may be one of a fork of theirs."""

    title: str = Field(min_length=1, max_length=256)
    head: str
    base: str
    body: str | None = Field(default=None, max_length=LONGEST_TEXT)
    draft: bool = False


class PullChange(Body):
    """`PATCH …/pulls/{number}`."""

    title: str | None = Field(default=None, min_length=1, max_length=256)
    body: str | None = Field(default=None, max_length=LONGEST_TEXT)
    state: Literal["open", "closed"] | None = None
    base: str | None = None


def find(access: Access, number: int) -> Row:
    """The pull request with this number. Raises ForgeError 404."""
    row = access.forge.store.one(f"{SELECT} WHERE i.repository_id = ? AND i.number = ?", [access.repository.id, number])
    if row is None:
        raise not_found()
    return row


def payload(access: Access, action: str, number: int, **more: Any) -> dict[str, Any]:
    """What the `pull_request` event says beside who and where."""
    return {"action": action, "number": number, "pull_request": full_shape(access, find(access, number)), **more}


def say(access: Access, action: str, number: int, **more: Any) -> None:
    """The `pull_request` event: webhooks, and whoever listens within the forge."""
    access.forge.hooks.say(
        access.repository, "pull_request", access.caller, lambda: payload(access, action, number, **more)
    )
    for listener in access.forge.pull_listeners:
        listener(access, action, number)


def head_repository(access: Access, row: Row) -> Repository | None:
    """Where the head is; None where that fork is gone."""
    fork = row["head_repository_id"]
    return access.forge.repositories.by_id(fork) if fork else access.repository


def _end(access: Access, repository: Repository | None, ref: str, sha: str) -> dict[str, Any]:
    if repository is None:
        return {"label": ref, "ref": ref, "sha": sha, "user": None, "repo": None}
    role = access.role if repository.id == access.repository.id else "read"
    return {
        "label": f"{repository.owner.login}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": shapes.account(access.forge.urls, repository.owner),
        "repo": shapes.repository(access.forge.urls, repository, role),
    }


def shape(access: Access, row: Row) -> dict[str, Any]:
    """A pull request in lists."""
    number = row["number"]
    url, issue_url = f"{access.url}/pulls/{number}", f"{access.url}/issues/{number}"
    html_url = f"{access.page}/pull/{number}"
    common = threads.common_shape(access, row)
    del common["comments"]
    return common | {
        "id": row["pull_id"],
        "node_id": shapes.node_id("PullRequest", row["pull_id"]),
        "url": url,
        "html_url": html_url,
        "diff_url": f"{html_url}.diff",
        "issue_url": issue_url,
        "commits_url": f"{url}/commits",
        "comments_url": f"{issue_url}/comments",
        "statuses_url": f"{access.url}/statuses/{row['head_sha']}",
        "draft": bool(row["draft"]),
        "merged_at": row["merged_at"],
        "merge_commit_sha": row["merge_commit_sha"],
        "requested_reviewers": [],
        "requested_teams": [],
        "auto_merge": None,
        "head": _end(access, head_repository(access, row), row["head_ref"], row["head_sha"]),
        "base": _end(access, access.repository, row["base_ref"], row["base_sha"]),
        "_links": {
            "self": {"href": url},
            "html": {"href": html_url},
            "issue": {"href": issue_url},
            "comments": {"href": f"{issue_url}/comments"},
            "commits": {"href": f"{url}/commits"},
            "statuses": {"href": f"{access.url}/statuses/{row['head_sha']}"},
        },
    }


def _mergeable(access: Access, row: Row) -> tuple[bool | None, str]:
    if row["state"] == "closed":
        return None, "unknown"
    base = access.bare.branch(row["base_ref"])
    if base is None:
        return False, "dirty"
    clean = history.merged_tree(access.bare, base, row["head_sha"]) is not None
    if not clean:
        return False, "dirty"
    return True, "draft" if row["draft"] else "clean"


def full_shape(access: Access, row: Row) -> dict[str, Any]:
    """A pull request by itself, with what only its history tells."""
    mergeable, state = _mergeable(access, row)
    changes = history.changes(access.bare, _base_of(access, row), row["head_sha"])
    own = Log((row["head_sha"], f"^{row['base_sha']}"))
    comments = access.forge.store.count("SELECT count(*) FROM comments WHERE issue_id = ?", [row["id"]])
    return shape(access, row) | {
        "merged": row["merged_at"] is not None,
        "merged_by": threads.account_shape(access, row["merged_by_id"]),
        "mergeable": mergeable,
        "mergeable_state": state,
        "rebaseable": False,
        "maintainer_can_modify": False,
        "comments": comments,
        "review_comments": 0,
        "commits": history.count(access.bare, own),
        "additions": sum(each.additions for each in changes),
        "deletions": sum(each.deletions for each in changes),
        "changed_files": len(changes),
    }


def _base_of(access: Access, row: Row) -> str:
    """Where the pull request's own changes begin."""
    return history.merge_base(access.bare, row["base_sha"], row["head_sha"]) or str(row["base_sha"])


@router.post("", status_code=201)
def create_pull(body: Annotated[NewPull, Depends(json_body(NewPull))], access: Commentable) -> dict[str, Any]:
    """Ask for a branch to be merged into another one."""
    fork, head_ref = _head(access, body.head)
    head = access.forge.bare(fork or access.repository).branch(head_ref) if names.is_branch(head_ref) else None
    base = access.bare.branch(body.base) if names.is_branch(body.base) else None
    if head is None:
        raise invalid("PullRequest", "head")
    if base is None:
        raise invalid("PullRequest", "base")
    if fork is not None:
        forks.bring(access.forge, fork, access.repository, head)
    if history.is_ancestor(access.bare, head, base):
        message = f"No commits between {body.base} and {head_ref}"
        raise ForgeError(422, "Validation Failed", [_custom(message)])
    with access.forge.store.transaction():
        _refuse_second(access, fork, head_ref, body.base)
        issue_id = threads.open_new(access, title=body.title, body=body.body, is_pull=True, assignees=[])
        access.forge.store.insert(
            "pulls",
            issue_id=issue_id,
            head_ref=head_ref,
            head_sha=head,
            base_ref=body.base,
            base_sha=base,
            draft=int(body.draft),
            head_repository_id=fork.id if fork is not None else 0,
        )
    number = int(access.forge.store.row("issues", issue_id)["number"])
    try:
        access.bare.move_ref(f"refs/pull/{number}/head", head, ZERO_SHA)
    except RefMovedError as error:
        raise unprocessable(f"The pull request's head could not be kept: {error}") from None
    say(access, "opened", number)
    return full_shape(access, find(access, number))


def _head(access: Access, head: str) -> tuple[Repository | None, str]:
    """The fork, or None for the repository itself, and the branch. Raises ForgeError 422."""
    owner, colon, ref = head.rpartition(":")
    if not colon or owner.lower() == access.repository.owner.login.lower():
        return None, ref
    fork = forks.of(access, owner)
    if fork is None:
        raise invalid("PullRequest", "head")
    return fork, ref


def _custom(message: str) -> dict[str, str]:
    return {"resource": "PullRequest", "code": "custom", "message": message}


def _refuse_second(access: Access, fork: Repository | None, head_ref: str, base_ref: str) -> None:
    found = access.forge.store.one(
        f"{SELECT} WHERE i.repository_id = ? AND i.state = 'open' AND p.head_ref = ? AND p.base_ref = ?"
        " AND p.head_repository_id = ?",
        [access.repository.id, head_ref, base_ref, fork.id if fork is not None else 0],
    )
    if found is not None:
        label = f"{(fork or access.repository).owner.login}:{head_ref}"
        raise ForgeError(422, "Validation Failed", [_custom(f"A pull request already exists for {label}.")])


@router.get("")
def list_pulls(request: Request, access: Readable) -> JSONResponse:
    """Pull requests, newest first; `state`, `head` (`owner:branch`) and `base` narrow it."""
    query = request.query_params
    conditions, values = ["i.repository_id = ?"], [access.repository.id]
    given: list[tuple[str, str]] = []
    if (state := query.get("state") or "open") != "all":
        given.append(("i.state = ?", state))
    if head := query.get("head"):
        owner, colon, ref = head.rpartition(":")
        given.append(("p.head_ref = ?", ref))
        if colon and owner.lower() != access.repository.owner.login.lower():
            of_a_fork = "SELECT r.id FROM repositories r JOIN accounts a ON a.id = r.owner_id WHERE a.login = ?"
            given.append((f"p.head_repository_id IN ({of_a_fork})", owner))
        else:
            given.append(("p.head_repository_id = ?", "0"))
    if base := query.get("base"):
        given.append(("p.base_ref = ?", base))
    conditions += [condition for condition, _ in given]
    order = "ASC" if query.get("direction") == "asc" else "DESC"
    sql = f"{SELECT} WHERE {' AND '.join(conditions)} ORDER BY i.number {order}"
    rows = access.forge.store.all(sql, [*values, *(value for _, value in given)])
    return paged(request, rows, lambda row: shape(access, row))


@router.get("/{number:number}")
def get_pull(number: int, access: Readable) -> dict[str, Any]:
    """A pull request by its number."""
    return full_shape(access, find(access, number))


@router.patch("/{number:number}")
def change_pull(
    number: int, body: Annotated[PullChange, Depends(json_body(PullChange))], access: Commentable
) -> dict[str, Any]:
    """Change what is given. One that was merged is not opened again."""
    row = find(access, number)
    threads.require_author_or_writer(access, row["author_id"])
    if body.state == "open" and row["merged_at"] is not None:
        raise invalid("PullRequest", "state", "invalid", "state cannot be changed. The pull request was merged.")
    given = body.given()
    texts = {key: given[key] for key in ("title", "body") if key in given and (given[key] or key == "body")}
    base = access.bare.branch(body.base) if body.base is not None and names.is_branch(body.base) else None
    if body.base is not None and base is None:
        raise invalid("PullRequest", "base")
    with access.forge.store.transaction():
        if texts:
            access.forge.store.update("issues", row["id"], updated_at=timestamp(), **texts)
        if base is not None:
            access.forge.store.update("pulls", row["pull_id"], base_ref=body.base, base_sha=base)
        action = threads.change_state(access, row, body.state) if body.state is not None else None
    if texts or base is not None:
        say(access, "edited", number)
    if action is not None:
        say(access, action, number)
    return full_shape(access, find(access, number))


@router.get("/{number:number}/commits")
def list_pull_commits(number: int, request: Request, access: Readable) -> JSONResponse:
    """The pull request's own commits, oldest first."""
    row = find(access, number)
    own = Log((row["head_sha"], f"^{row['base_sha']}"))
    found = history.commits(access.bare, own, limit=_MOST_COMMITS)[::-1]
    return paged(request, found, lambda commit: commit_shape(access, commit))


@router.get("/{number:number}/files")
def list_pull_files(number: int, request: Request, access: Readable) -> JSONResponse:
    """What the pull request changes."""
    row = find(access, number)
    changes = history.changes(access.bare, _base_of(access, row), row["head_sha"])
    return paged(request, changes, lambda each: file_shape(access, each, row["head_sha"]))

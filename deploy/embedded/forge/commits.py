"""REST: branches, commits, comparisons, and the statuses of commits."""

from datetime import UTC
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import JSONResponse

from deploy.embedded.forge import clock, history, names, shapes
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Access, Readable, Writable
from deploy.embedded.forge.errors import ForgeError, not_found, unprocessable
from deploy.embedded.forge.history import FileChange, Log
from deploy.embedded.forge.objects import Commit
from deploy.embedded.forge.pagination import link_header, paged, window
from deploy.embedded.forge.store import Row

router = APIRouter(prefix="/repos/{owner}/{repo}")
_MOST_COMPARED = 250


class NewStatus(Body):
    """`POST …/statuses/{sha}`."""

    state: Literal["error", "failure", "pending", "success"]
    context: str = Field(default="default", min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=1000)
    target_url: str | None = Field(default=None, max_length=2000)


def file_shape(access: Access, change: FileChange, revision: str) -> dict[str, Any]:
    """A changed file, as in commits, comparisons and pull requests."""
    urls, name = access.forge.urls, access.repository.full_name
    shape = {
        "sha": change.sha,
        "filename": change.path,
        "status": change.status,
        "additions": change.additions,
        "deletions": change.deletions,
        "changes": change.additions + change.deletions,
        "blob_url": urls.file_page(name, revision, change.path),
        "raw_url": urls.raw(name, revision, change.path),
        "contents_url": f"{access.url}/contents/{change.path}?ref={revision}",
    }
    if change.previous_path is not None:
        shape["previous_filename"] = change.previous_path
    if change.patch is not None:
        shape["patch"] = change.patch
    return shape


def commit_shape(access: Access, commit: Commit) -> dict[str, Any]:
    """A commit in lists."""
    return shapes.commit(access.forge.urls, access.repository, commit)


# Branches


@router.get("/branches")
def list_branches(request: Request, access: Readable) -> JSONResponse:
    """The branches by name."""

    def shape(name: str, sha: str) -> dict[str, Any]:
        return {
            "name": name,
            "commit": {"sha": sha, "url": f"{access.url}/commits/{sha}"},
            "protected": False,
        }

    refs = access.bare.refs("refs/heads")
    return paged(request, refs, lambda ref: shape(ref.name.removeprefix("refs/heads/"), ref.sha))


@router.get("/branches/{branch:path}")
def get_branch(branch: str, access: Readable) -> dict[str, Any]:
    """A branch with its last commit."""
    sha = access.bare.branch(branch) if names.is_branch(branch) else None
    commit = access.bare.commit(sha) if sha is not None else None
    if commit is None:
        raise ForgeError(404, "Branch not found")
    url = f"{access.url}/branches/{branch}"
    return {
        "name": branch,
        "commit": commit_shape(access, commit),
        "_links": {"self": url, "html": f"{access.page}/tree/{branch}"},
        "protected": False,
        "protection": {"enabled": False},
        "protection_url": f"{url}/protection",
    }


# Commits


def _instant(request: Request, name: str) -> str | None:
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        return clock.parse(text).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise unprocessable(f"{name} must be an ISO 8601 date") from None


@router.get("/commits")
def list_commits(request: Request, access: Readable) -> JSONResponse:
    """The history of `sha` (a branch, tag or commit; else the default branch), newest first."""
    query = request.query_params
    commit = access.bare.resolve(query.get("sha") or access.repository.default_branch)
    if commit is None:
        raise ForgeError(409, "Git Repository is empty.") if access.bare.is_empty() else not_found()
    path = query.get("path") or None
    if path is not None and not names.is_tree_path(path):
        raise unprocessable("path contains a malformed path component")
    author = query.get("author") or None
    log = Log((commit,), path, _instant(request, "since"), _instant(request, "until"), author)
    page, per_page = window(request)
    found = history.commits(access.bare, log, limit=per_page, skip=(page - 1) * per_page)
    headers = link_header(request, history.count(access.bare, log))
    return JSONResponse([commit_shape(access, each) for each in found], headers=headers)


def _commit(access: Access, revision: str) -> Commit:
    sha = access.bare.resolve(revision)
    found = access.bare.commit(sha) if sha is not None else None
    if found is None:
        raise ForgeError(422, f"No commit found for SHA: {revision[:255]}")
    return found


@router.get("/commits/{ref:path}/status")
def get_combined_status(ref: str, access: Readable) -> dict[str, Any]:
    """The newest status of every context, and what they come to."""
    commit = _commit(access, ref)
    rows = _statuses(access, commit.sha)
    newest = list({row["context"]: row for row in reversed(rows)}.values())
    states = {row["state"] for row in newest}
    state = "failure" if states & {"error", "failure"} else "success" if states == {"success"} else "pending"
    return {
        "state": state,
        "statuses": [_status_shape(access, row) for row in newest],
        "sha": commit.sha,
        "total_count": len(newest),
        "repository": shapes.repository(access.forge.urls, access.repository, access.role),
        "commit_url": f"{access.url}/commits/{commit.sha}",
        "url": f"{access.url}/commits/{commit.sha}/status",
    }


@router.get("/commits/{ref:path}/statuses")
def list_statuses(ref: str, request: Request, access: Readable) -> JSONResponse:
    """Every status of a commit, newest first."""
    rows = _statuses(access, _commit(access, ref).sha)
    return paged(request, rows, lambda row: _status_shape(access, row))


@router.get("/statuses/{ref:path}")
def list_statuses_of_ref(ref: str, request: Request, access: Readable) -> JSONResponse:
    """The same under its older address."""
    return list_statuses(ref, request, access)


@router.get("/commits/{ref:path}")
def get_commit(ref: str, access: Readable) -> dict[str, Any]:
    """A commit with its files."""
    commit = _commit(access, ref)
    changes = history.changes(access.bare, commit.parents[0] if commit.parents else None, commit.sha)
    additions, deletions = sum(each.additions for each in changes), sum(each.deletions for each in changes)
    return commit_shape(access, commit) | {
        "stats": {"additions": additions, "deletions": deletions, "total": additions + deletions},
        "files": [file_shape(access, each, commit.sha) for each in changes],
    }


@router.get("/compare/{basehead:path}")
def compare(basehead: str, access: Readable) -> dict[str, Any]:
    """What `head` has that `base` has not: `main...feature`."""
    base_name, dots, head_name = basehead.partition("...")
    owner = f"{access.repository.owner.login}:"
    base = access.bare.resolve(base_name.removeprefix(owner)) if dots else None
    head = access.bare.resolve(head_name.removeprefix(owner))
    if base is None or head is None:
        raise not_found()
    common = history.merge_base(access.bare, base, head)
    if common is None:
        raise ForgeError(404, "No common ancestor between the two")
    ahead, behind = history.ahead_behind(access.bare, base, head)
    status = {(False, False): "identical", (True, False): "ahead", (False, True): "behind"}
    found = history.commits(access.bare, Log((head, f"^{base}")), limit=_MOST_COMPARED)[::-1]
    changes = history.changes(access.bare, common, head)
    url = f"{access.url}/compare/{basehead}"
    return {
        "url": url,
        "html_url": f"{access.page}/compare/{basehead}",
        "permalink_url": f"{access.page}/compare/{base}...{head}",
        "base_commit": commit_shape(access, _commit(access, base)),
        "merge_base_commit": commit_shape(access, _commit(access, common)),
        "status": status.get((ahead > 0, behind > 0), "diverged"),
        "ahead_by": ahead,
        "behind_by": behind,
        "total_commits": ahead,
        "commits": [commit_shape(access, each) for each in found],
        "files": [file_shape(access, each, head) for each in changes],
    }


# Statuses


def _statuses(access: Access, sha: str) -> list[Row]:
    return access.forge.store.all(
        "SELECT * FROM commit_statuses WHERE repository_id = ? AND sha = ? ORDER BY id DESC",
        [access.repository.id, sha],
    )


def _status_shape(access: Access, row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "node_id": shapes.node_id("StatusContext", row["id"]),
        "url": f"{access.url}/statuses/{row['sha']}",
        "state": row["state"],
        "context": row["context"],
        "description": row["description"],
        "target_url": row["target_url"],
        "creator": shapes.account(access.forge.urls, access.forge.accounts.by_id(row["creator_id"])),
        "created_at": row["created_at"],
        "updated_at": row["created_at"],
    }


@router.post("/statuses/{sha}", status_code=201)
def create_status(
    sha: str, body: Annotated[NewStatus, Depends(json_body(NewStatus))], access: Writable
) -> dict[str, Any]:
    """Say how a commit fares in a context."""
    commit = access.bare.commit(sha) if names.is_sha(sha) else None
    if commit is None:
        raise unprocessable(f"No commit found for SHA: {sha[:40]}")
    row_id = access.forge.store.insert(
        "commit_statuses",
        repository_id=access.repository.id,
        sha=sha,
        creator_id=access.caller.id,
        created_at=timestamp(),
        **body.model_dump(),
    )
    return _status_shape(access, access.forge.store.row("commit_statuses", row_id))

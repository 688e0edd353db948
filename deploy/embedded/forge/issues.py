"""REST: issues. Pull requests answer here too."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import JSONResponse

from deploy.embedded.forge import shapes, threads
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Access, Commentable, Readable
from deploy.embedded.forge.errors import ForgeError
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.store import Row

router = APIRouter(prefix="/repos/{owner}/{repo}")
LONGEST_TEXT = 65_536


class NewIssue(Body):
    """`POST …/issues`."""

    title: str = Field(min_length=1, max_length=256)
    body: str | None = Field(default=None, max_length=LONGEST_TEXT)
    labels: list[str] = Field(default_factory=list, max_length=100)
    assignee: str | None = None
    assignees: list[str] = Field(default_factory=list, max_length=10)


class IssueChange(Body):
    """`PATCH …/issues/{number}`."""

    title: str | None = Field(default=None, min_length=1, max_length=256)
    body: str | None = Field(default=None, max_length=LONGEST_TEXT)
    state: Literal["open", "closed"] | None = None
    state_reason: Literal["completed", "not_planned", "reopened", "duplicate"] | None = None
    labels: list[str] | None = Field(default=None, max_length=100)
    assignees: list[str] | None = Field(default=None, max_length=10)


def issue_shape(access: Access, row: Row) -> dict[str, Any]:
    """An issue."""
    url = f"{access.url}/issues/{row['number']}"
    kind = "pull" if row["is_pull"] else "issues"
    html_url = f"{access.page}/{kind}/{row['number']}"
    shape = threads.common_shape(access, row) | {
        "id": row["id"],
        "node_id": shapes.node_id("Issue", row["id"]),
        "url": url,
        "repository_url": access.url,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "html_url": html_url,
        "state_reason": row["state_reason"],
        "closed_by": threads.account_shape(access, row["closed_by_id"]),
    }
    if row["is_pull"]:
        pull = access.forge.store.one("SELECT merged_at FROM pulls WHERE issue_id = ?", [row["id"]])
        shape["pull_request"] = {
            "url": f"{access.url}/pulls/{row['number']}",
            "html_url": html_url,
            "merged_at": pull["merged_at"] if pull is not None else None,
        }
    return shape


def say(access: Access, action: str, number: int, **more: Any) -> None:
    """The `issues` event."""
    access.forge.hooks.say(
        access.repository,
        "issues",
        access.caller,
        lambda: {"action": action, "issue": issue_shape(access, threads.find(access, number)), **more},
    )


def _require_issues(access: Access) -> None:
    if not access.repository.has_issues:
        raise ForgeError(410, "Issues has been disabled in this repository.")


@router.post("/issues", status_code=201)
def create_issue(body: Annotated[NewIssue, Depends(json_body(NewIssue))], access: Commentable) -> dict[str, Any]:
    """A new issue. Labels and assignees are for those who may push; from others they are dropped, as on GitHub."""
    _require_issues(access)
    may_sort = access.role in ("write", "admin")
    logins = [*body.assignees, *([body.assignee] if body.assignee else [])] if may_sort else []
    with access.forge.store.transaction():
        issue_id = threads.open_new(
            access,
            title=body.title,
            body=body.body,
            is_pull=False,
            assignees=threads.checked_assignees(access, logins),
        )
        threads.add_labels(access, issue_id, body.labels if may_sort else [])
    row = access.forge.store.row("issues", issue_id)
    say(access, "opened", row["number"])
    return issue_shape(access, row)


def _assigned(login: str) -> tuple[str, str]:
    """The condition for a login, or for GitHub's words `none` and `*` (anybody)."""
    if login in ("none", "*"):
        return f"assignees {'=' if login == 'none' else '!='} ?", "[]"
    return "EXISTS (SELECT 1 FROM json_each(assignees) WHERE value = ? COLLATE NOCASE)", login


@router.get("/issues")
def list_issues(request: Request, access: Readable) -> JSONResponse:
    """Issues and pull requests, newest first; `state`, `labels`, `creator`, `assignee` and `since` narrow it."""
    query = request.query_params
    conditions, values = ["repository_id = ?"], [access.repository.id]
    given: list[tuple[str, Any]] = []
    if (state := query.get("state") or "open") != "all":
        given.append(("state = ?", state))
    if creator := query.get("creator"):
        given.append(("author_id = (SELECT id FROM accounts WHERE login = ?)", creator))
    if since := query.get("since"):
        given.append(("updated_at >= ?", since))
    if assignee := query.get("assignee"):
        given.append(_assigned(assignee))
    for label in (query.get("labels") or "").split(","):
        if label:
            sql = "EXISTS (SELECT 1 FROM issue_labels i JOIN labels l ON l.id = i.label_id"
            given.append((f"{sql} WHERE i.issue_id = issues.id AND l.name = ?)", label))
    conditions += [condition for condition, _ in given]
    values += [value for _, value in given]
    order = "ASC" if query.get("direction") == "asc" else "DESC"
    column = "updated_at" if query.get("sort") == "updated" else "number"
    sql = f"SELECT * FROM issues WHERE {' AND '.join(conditions)} ORDER BY {column} {order}"  # noqa: S608 - our own
    return paged(request, access.forge.store.all(sql, values), lambda row: issue_shape(access, row))


@router.get("/issues/{number:number}")
def get_issue(number: int, access: Readable) -> dict[str, Any]:
    """An issue by its number."""
    return issue_shape(access, threads.find(access, number))


@router.patch("/issues/{number:number}")
def change_issue(
    number: int, body: Annotated[IssueChange, Depends(json_body(IssueChange))], access: Commentable
) -> dict[str, Any]:
    """Change what is given."""
    row = threads.find(access, number)
    threads.require_author_or_writer(access, row["author_id"])
    given = body.given()
    texts = {key: given[key] for key in ("title", "body") if key in given and (given[key] or key == "body")}
    with access.forge.store.transaction():
        if texts:
            access.forge.store.update("issues", row["id"], updated_at=timestamp(), **texts)
        if body.assignees is not None:
            logins = threads.checked_assignees(access, body.assignees)
            access.forge.store.update("issues", row["id"], assignees=json.dumps(logins), updated_at=timestamp())
        if body.labels is not None:
            threads.add_labels(access, row["id"], body.labels, replace=True)
        action = threads.change_state(access, row, body.state, body.state_reason) if body.state else None
    if not row["is_pull"]:
        if texts:
            say(access, "edited", number)
        if action is not None:
            say(access, action, number)
    return issue_shape(access, threads.find(access, number))

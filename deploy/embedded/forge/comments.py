"""REST: comments on issues and pull requests."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from deploy.embedded.forge import shapes, threads
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Access, Commentable, Readable
from deploy.embedded.forge.errors import not_found
from deploy.embedded.forge.issues import LONGEST_TEXT, issue_shape
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.store import Row

router = APIRouter(prefix="/repos/{owner}/{repo}")


class NewComment(Body):
    """A comment's text."""

    body: str = Field(min_length=1, max_length=LONGEST_TEXT)


def _comment_shape(access: Access, row: Row, issue: Row) -> dict[str, Any]:
    kind = "pull" if issue["is_pull"] else "issues"
    return {
        "id": row["id"],
        "node_id": shapes.node_id("IssueComment", row["id"]),
        "url": f"{access.url}/issues/comments/{row['id']}",
        "html_url": f"{access.page}/{kind}/{issue['number']}#issuecomment-{row['id']}",
        "issue_url": f"{access.url}/issues/{issue['number']}",
        "body": row["body"],
        "user": threads.account_shape(access, row["author_id"]),
        "author_association": threads.association(access, row["author_id"]),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def _comment(access: Access, comment_id: int) -> tuple[Row, Row]:
    row = access.forge.store.one("SELECT * FROM comments WHERE id = ?", [comment_id])
    issue = access.forge.store.row("issues", row["issue_id"]) if row is not None else None
    if row is None or issue is None or issue["repository_id"] != access.repository.id:
        raise not_found()
    return row, issue


def _say_comment(access: Access, action: str, row: Row, issue: Row) -> None:
    access.forge.hooks.say(
        access.repository,
        "issue_comment",
        access.caller,
        lambda: {
            "action": action,
            "issue": issue_shape(access, issue),
            "comment": _comment_shape(access, row, issue),
        },
    )


@router.get("/issues/{number:number}/comments")
def list_comments(number: int, request: Request, access: Readable) -> JSONResponse:
    """The comments, oldest first."""
    issue = threads.find(access, number)
    rows = access.forge.store.all("SELECT * FROM comments WHERE issue_id = ? ORDER BY id", [issue["id"]])
    return paged(request, rows, lambda row: _comment_shape(access, row, issue))


@router.post("/issues/{number:number}/comments", status_code=201)
def create_comment(
    number: int, body: Annotated[NewComment, Depends(json_body(NewComment))], access: Commentable
) -> dict[str, Any]:
    """A comment on an issue or a pull request."""
    issue = threads.find(access, number)
    now = timestamp()
    with access.forge.store.transaction():
        comment_id = access.forge.store.insert(
            "comments",
            issue_id=issue["id"],
            author_id=access.caller.id,
            body=body.body,
            created_at=now,
            updated_at=now,
        )
        access.forge.store.update("issues", issue["id"], updated_at=now)
    row = access.forge.store.row("comments", comment_id)
    _say_comment(access, "created", row, issue)
    return _comment_shape(access, row, issue)


@router.get("/issues/comments/{comment_id:number}")
def get_comment(comment_id: int, access: Readable) -> dict[str, Any]:
    """A comment by its id."""
    return _comment_shape(access, *_comment(access, comment_id))


@router.patch("/issues/comments/{comment_id:number}")
def change_comment(
    comment_id: int, body: Annotated[NewComment, Depends(json_body(NewComment))], access: Commentable
) -> dict[str, Any]:
    """Another text for a comment."""
    row, issue = _comment(access, comment_id)
    threads.require_author_or_writer(access, row["author_id"])
    access.forge.store.update("comments", comment_id, body=body.body, updated_at=timestamp())
    row = access.forge.store.row("comments", comment_id)
    _say_comment(access, "edited", row, issue)
    return _comment_shape(access, row, issue)


@router.delete("/issues/comments/{comment_id:number}", status_code=204)
def delete_comment(comment_id: int, access: Commentable) -> Response:
    """Take a comment away."""
    row, issue = _comment(access, comment_id)
    threads.require_author_or_writer(access, row["author_id"])
    access.forge.store.execute("DELETE FROM comments WHERE id = ?", [comment_id])
    _say_comment(access, "deleted", row, issue)
    return Response(status_code=204)

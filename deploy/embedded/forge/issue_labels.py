"""REST: the labels and assignees of one issue or pull request."""

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field, RootModel
from starlette.responses import JSONResponse, Response

from deploy.embedded.forge import pulls, threads
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Access, Readable, Writable
from deploy.embedded.forge.errors import ForgeError, invalid
from deploy.embedded.forge.issues import issue_shape, say
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.store import Row

router = APIRouter(prefix="/repos/{owner}/{repo}")


class LabelNames(RootModel[list[str] | dict[str, list[str]]]):
    """Labels for an issue: a list, or `{"labels": [...]}`."""

    def names(self) -> list[str]:
        """The list."""
        return self.root if isinstance(self.root, list) else self.root.get("labels", [])


class AssigneeNames(Body):
    """`POST` and `DELETE …/assignees`."""

    assignees: list[str] = Field(default_factory=list, max_length=10)


def _labels(access: Access, issue: Row) -> list[dict[str, Any]]:
    return [threads.label_shape(access, row) for row in threads.label_rows(access, issue["id"])]


def _change_labels(access: Access, issue: Row, change: Callable[[], None]) -> list[dict[str, Any]]:
    """Change the labels, and say which came and which went."""
    before = {label["name"]: label for label in _labels(access, issue)}
    with access.forge.store.transaction():
        change()
        access.forge.store.update("issues", issue["id"], updated_at=timestamp())
    after = {label["name"]: label for label in _labels(access, issue)}
    for action, ours, theirs in (("labeled", after, before), ("unlabeled", before, after)):
        for name in ours.keys() - theirs.keys():
            if issue["is_pull"]:
                pulls.say(access, action, issue["number"], label=ours[name])
            else:
                say(access, action, issue["number"], label=ours[name])
    return list(after.values())


@router.get("/issues/{number:number}/labels")
def list_issue_labels(number: int, request: Request, access: Readable) -> JSONResponse:
    """The labels of an issue."""
    return paged(request, _labels(access, threads.find(access, number)), lambda shape: shape)


@router.post("/issues/{number:number}/labels")
def add_issue_labels(
    number: int, body: Annotated[LabelNames, Depends(json_body(LabelNames))], access: Writable
) -> list[dict[str, Any]]:
    """Put labels on an issue."""
    issue = threads.find(access, number)
    return _change_labels(access, issue, lambda: threads.add_labels(access, issue["id"], body.names()))


@router.put("/issues/{number:number}/labels")
def set_issue_labels(
    number: int, body: Annotated[LabelNames, Depends(json_body(LabelNames))], access: Writable
) -> list[dict[str, Any]]:
    """Replace the labels of an issue."""
    issue = threads.find(access, number)
    return _change_labels(access, issue, lambda: threads.add_labels(access, issue["id"], body.names(), replace=True))


@router.delete("/issues/{number:number}/labels", status_code=204)
def clear_issue_labels(number: int, access: Writable) -> Response:
    """Take all labels off an issue."""
    issue = threads.find(access, number)
    _change_labels(access, issue, lambda: threads.add_labels(access, issue["id"], [], replace=True))
    return Response(status_code=204)


@router.delete("/issues/{number:number}/labels/{name}")
def remove_issue_label(number: int, name: str, access: Writable) -> list[dict[str, Any]]:
    """Take one label off an issue."""
    issue = threads.find(access, number)
    held = [row for row in threads.label_rows(access, issue["id"]) if row["name"].lower() == name.lower()]
    if not held:
        raise ForgeError(404, "Label does not exist")

    def remove() -> None:
        access.forge.store.execute(
            "DELETE FROM issue_labels WHERE issue_id = ? AND label_id = ?", [issue["id"], held[0]["id"]]
        )

    return _change_labels(access, issue, remove)


def _change_assignees(access: Access, number: int, logins: list[str], *, add: bool) -> dict[str, Any]:
    row = threads.find(access, number)
    current: list[str] = json.loads(row["assignees"])
    given = threads.checked_assignees(access, logins)
    after = list(dict.fromkeys([*current, *given])) if add else [each for each in current if each not in given]
    if len(after) > 10:
        raise invalid("Issue", "assignees")
    access.forge.store.update("issues", row["id"], assignees=json.dumps(after), updated_at=timestamp())
    return issue_shape(access, threads.find(access, number))


@router.post("/issues/{number:number}/assignees", status_code=201)
def add_assignees(
    number: int, body: Annotated[AssigneeNames, Depends(json_body(AssigneeNames))], access: Writable
) -> dict[str, Any]:
    """Assign people."""
    return _change_assignees(access, number, body.assignees, add=True)


@router.delete("/issues/{number:number}/assignees")
def remove_assignees(
    number: int, body: Annotated[AssigneeNames, Depends(json_body(AssigneeNames))], access: Writable
) -> dict[str, Any]:
    """Unassign people."""
    return _change_assignees(access, number, body.assignees, add=False)

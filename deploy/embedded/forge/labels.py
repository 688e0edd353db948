"""REST: the labels of a repository."""

import sqlite3
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from deploy.embedded.forge import threads
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.context import Access, Readable, Writable
from deploy.embedded.forge.errors import invalid, not_found
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.store import Row

router = APIRouter(prefix="/repos/{owner}/{repo}/labels")
_COLOUR = r"^[0-9A-Fa-f]{6}$"


class NewLabel(Body):
    """`POST …/labels`; `color` is six hexadecimal digits."""

    name: str = Field(min_length=1, max_length=50)
    color: str = Field(default=threads.DEFAULT_LABEL_COLOUR, pattern=_COLOUR)
    description: str | None = Field(default=None, max_length=100)


class LabelChange(Body):
    """`PATCH …/labels/{name}`."""

    new_name: str | None = Field(default=None, min_length=1, max_length=50)
    color: str | None = Field(default=None, pattern=_COLOUR)
    description: str | None = Field(default=None, max_length=100)


def _find(access: Access, name: str) -> Row:
    row = access.forge.store.one(
        "SELECT * FROM labels WHERE repository_id = ? AND name = ?", [access.repository.id, name]
    )
    if row is None:
        raise not_found()
    return row


@router.get("")
def list_labels(request: Request, access: Readable) -> JSONResponse:
    """All labels by name."""
    rows = access.forge.store.all("SELECT * FROM labels WHERE repository_id = ? ORDER BY name", [access.repository.id])
    return paged(request, rows, lambda row: threads.label_shape(access, row))


@router.post("", status_code=201)
def create_label(body: Annotated[NewLabel, Depends(json_body(NewLabel))], access: Writable) -> dict[str, Any]:
    """A new label."""
    try:
        label_id = access.forge.store.insert("labels", repository_id=access.repository.id, **body.model_dump())
    except sqlite3.IntegrityError:
        raise invalid("Label", "name", "already_exists") from None
    return threads.label_shape(access, access.forge.store.row("labels", label_id))


@router.get("/{name}")
def get_label(name: str, access: Readable) -> dict[str, Any]:
    """A label by name."""
    return threads.label_shape(access, _find(access, name))


@router.patch("/{name}")
def change_label(
    name: str, body: Annotated[LabelChange, Depends(json_body(LabelChange))], access: Writable
) -> dict[str, Any]:
    """Rename or recolour a label."""
    row = _find(access, name)
    given = {key: value for key, value in body.given().items() if value is not None or key == "description"}
    if "new_name" in given:
        given["name"] = given.pop("new_name")
    try:
        access.forge.store.update("labels", row["id"], **given)
    except sqlite3.IntegrityError:
        raise invalid("Label", "name", "already_exists") from None
    return threads.label_shape(access, access.forge.store.row("labels", row["id"]))


@router.delete("/{name}", status_code=204)
def delete_label(name: str, access: Writable) -> Response:
    """Delete a label, from every issue as well."""
    access.forge.store.execute("DELETE FROM labels WHERE id = ?", [_find(access, name)["id"]])
    return Response(status_code=204)

"""REST: refs: branches and tags by their full names.

Invariant: a ref moves only through `Pushes`, so whoever listens hears of it.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from deploy.embedded.forge import history, names, protection, shapes
from deploy.embedded.forge.bare import Ref, RefMovedError
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.context import Access, Readable, Writable
from deploy.embedded.forge.errors import not_found, unprocessable
from deploy.embedded.forge.git import ZERO_SHA
from deploy.embedded.forge.git_data import require_content
from deploy.embedded.forge.pagination import paged

router = APIRouter(prefix="/repos/{owner}/{repo}/git")


class NewRef(Body):
    """`POST …/git/refs`."""

    ref: str
    sha: str


class RefChange(Body):
    """`PATCH …/git/refs/{ref}`."""

    sha: str
    force: bool = False


def _ref_shape(access: Access, ref: Ref) -> dict[str, Any]:
    kind = {"commit": "commits", "tag": "tags", "tree": "trees", "blob": "blobs"}[ref.kind]
    return {
        "ref": ref.name,
        "node_id": shapes.node_id("Ref", f"{access.repository.id}:{ref.name}"),
        "url": f"{access.url}/git/{ref.name}",
        "object": {"sha": ref.sha, "type": ref.kind, "url": f"{access.url}/git/{kind}/{ref.sha}"},
    }


def _existing(access: Access, ref: str) -> Ref:
    found = access.bare.ref(f"refs/{ref}")
    if found is None:
        raise not_found()
    return found


@router.get("/ref/{ref:path}")
def get_ref(ref: str, access: Readable) -> dict[str, Any]:
    """`heads/main`, `tags/v1`."""
    return _ref_shape(access, _existing(access, ref))


@router.get("/refs")
def list_refs(request: Request, access: Readable) -> JSONResponse:
    """All refs."""
    return paged(request, access.bare.refs(), lambda ref: _ref_shape(access, ref))


@router.get("/matching-refs/{ref:path}")
def list_matching_refs(ref: str, request: Request, access: Readable) -> JSONResponse:
    """All refs whose names begin with `ref`."""
    found = [each for each in access.bare.refs() if each.name.startswith(f"refs/{ref}")]
    return paged(request, found, lambda each: _ref_shape(access, each))


@router.get("/refs/{ref:path}")
def get_ref_in_plural(ref: str, access: Readable) -> dict[str, Any]:
    """The same under the address that a ref calls its own."""
    return get_ref(ref, access)


@router.post("/refs", status_code=201)
def create_ref(body: Annotated[NewRef, Depends(json_body(NewRef))], access: Writable) -> dict[str, Any]:
    """A new branch or tag."""
    branch = body.ref.removeprefix("refs/heads/")
    malformed = not names.is_ref(body.ref) or body.ref.startswith("refs/pull/")
    if malformed or (branch != body.ref and not names.is_branch(branch)):
        raise unprocessable("Reference name is malformed: it must start with 'refs/' and have at least two slashes")
    require_content(access)
    kind = _object_kind(access, body.ref, body.sha)
    if access.bare.ref(body.ref) is not None:
        raise unprocessable("Reference already exists")
    _move(access, body.ref, body.sha, ZERO_SHA, "Reference already exists")
    return _ref_shape(access, Ref(body.ref, body.sha, kind))


@router.patch("/refs/{ref:path}")
def change_ref(ref: str, body: Annotated[RefChange, Depends(json_body(RefChange))], access: Writable) -> dict[str, Any]:
    """Move a ref forward, or anywhere with `force`."""
    current = access.bare.ref(f"refs/{ref}")
    if current is None or current.name.startswith("refs/pull/"):
        raise unprocessable("Reference does not exist")
    kind = _object_kind(access, current.name, body.sha)
    forward = current.kind == kind == "commit" and history.is_ancestor(access.bare, current.sha, body.sha)
    if not forward and not body.force and current.sha != body.sha:
        raise unprocessable("Update is not a fast forward")
    if not forward:
        protection.refuse_if_protected(access, current.name, "rewritten")
    if current.sha != body.sha:
        _move(access, current.name, body.sha, current.sha, "Reference cannot be updated: it has just moved")
    return _ref_shape(access, Ref(current.name, body.sha, kind))


@router.delete("/refs/{ref:path}", status_code=204)
def delete_ref(ref: str, access: Writable) -> Response:
    """Delete a branch or tag; the default branch stays."""
    current = access.bare.ref(f"refs/{ref}")
    if current is None or current.name.startswith("refs/pull/"):
        raise unprocessable("Reference does not exist")
    if current.name == f"refs/heads/{access.repository.default_branch}":
        raise unprocessable("Cannot delete the default branch: choose another one first")
    protection.refuse_if_protected(access, current.name, "deleted")
    _move(access, current.name, ZERO_SHA, current.sha, "Reference cannot be deleted: it has just moved")
    return Response(status_code=204)


def _object_kind(access: Access, ref: str, sha: str) -> str:
    found = access.bare.info(sha) if names.is_sha(sha) else None
    if found is None:
        raise unprocessable("Object does not exist")
    if ref.startswith("refs/heads/") and found.kind != "commit":
        raise unprocessable("Object is not a commit")
    return found.kind


def _move(access: Access, ref: str, new: str, old: str, otherwise: str) -> None:
    try:
        access.forge.pushes.move_ref(access.repository, access.caller, ref, new, old)
    except RefMovedError:
        raise unprocessable(otherwise) from None

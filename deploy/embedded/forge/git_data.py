"""REST: Git's own things: blobs, trees, commits (refs have their own file).

As on GitHub, the calls that write need a repository with at least one commit (`auto_init` makes one).
"""

import base64
import binascii
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from deploy.embedded.forge import names, shapes
from deploy.embedded.forge.bare import Changes, Leaf, TreePathError
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.cat_file import ObjectTooLargeError
from deploy.embedded.forge.context import Access, Readable, Writable
from deploy.embedded.forge.errors import ForgeError, conflict, not_found, unprocessable
from deploy.embedded.forge.objects import TreeEntry
from deploy.embedded.forge.people import Signature, people

router = APIRouter(prefix="/repos/{owner}/{repo}/git")

Mode = Literal["100644", "100755", "040000", "160000", "120000"]
_MOST_RECURSIVE = 100_000


class NewBlob(Body):
    """`POST …/git/blobs`."""

    content: str
    encoding: Literal["utf-8", "base64"] = "utf-8"


class NewTreeEntry(Body):
    """One change of `POST …/git/trees`: an object's name, text of a new blob, or null to take the path away."""

    path: str
    mode: Mode
    type: Literal["blob", "tree", "commit"] | None = None
    sha: str | None = None
    content: str | None = None


class NewTree(Body):
    """`POST …/git/trees`."""

    tree: list[NewTreeEntry] = Field(max_length=10_000)
    base_tree: str | None = None


class NewCommit(Body):
    """`POST …/git/commits`."""

    message: str
    tree: str
    parents: list[str] = Field(default_factory=list, max_length=100)
    author: Signature | None = None
    committer: Signature | None = None


def require_content(access: Access) -> None:
    """Raises ForgeError 409 for a repository without a commit, as GitHub does."""
    if access.bare.is_empty():
        raise conflict("Git Repository is empty.")


# Blobs


@router.post("/blobs", status_code=201)
def create_blob(body: Annotated[NewBlob, Depends(json_body(NewBlob))], access: Writable) -> dict[str, str]:
    """Store a file's content."""
    require_content(access)
    try:
        data = base64.b64decode(body.content) if body.encoding == "base64" else body.content.encode()
    except (binascii.Error, ValueError):
        raise unprocessable("content is not valid Base64") from None
    sha = access.bare.write("blob", data)
    return {"sha": sha, "url": f"{access.url}/git/blobs/{sha}"}


@router.get("/blobs/{sha}")
def get_blob(sha: str, access: Readable) -> dict[str, Any]:
    """A file's content, in Base64."""
    try:
        found = access.bare.read(sha) if names.is_sha(sha) else None
    except ObjectTooLargeError as error:
        raise ForgeError(403, f"The blob has {error.size} bytes: too large to be fetched over the API") from None
    if found is None or found[0].kind != "blob":
        raise not_found()
    return {
        "sha": sha,
        "node_id": shapes.node_id("Blob", f"{access.repository.id}:{sha}"),
        "size": found[0].size,
        "url": f"{access.url}/git/blobs/{sha}",
        "content": base64.encodebytes(found[1]).decode(),
        "encoding": "base64",
    }


# Trees


def _entry_shape(access: Access, path: str, entry: TreeEntry) -> dict[str, Any]:
    shape: dict[str, Any] = {"path": path, "mode": entry.mode, "type": entry.kind, "sha": entry.sha}
    if entry.kind == "blob":
        found = access.bare.info(entry.sha)
        shape["size"] = found.size if found is not None else 0
    if entry.kind != "commit":
        shape["url"] = f"{access.url}/git/{entry.kind}s/{entry.sha}"
    return shape


def _tree_shape(access: Access, sha: str, *, recursive: bool) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []
    waiting = [("", sha)]
    while waiting and len(listed) < _MOST_RECURSIVE:
        prefix, current = waiting.pop(0)
        for entry in access.bare.tree(current) or ():
            listed.append(_entry_shape(access, prefix + entry.name, entry))
            if recursive and entry.kind == "tree":
                waiting.append((f"{prefix}{entry.name}/", entry.sha))
    listed.sort(key=lambda entry: str(entry["path"]))
    return {"sha": sha, "url": f"{access.url}/git/trees/{sha}", "tree": listed, "truncated": bool(waiting)}


@router.get("/trees/{sha:path}")
def get_tree(sha: str, request: Request, access: Readable) -> dict[str, Any]:
    """A directory by its name, or that of a commit or branch. `recursive` shows everything below."""
    commit = access.bare.resolve(sha)
    found = access.bare.info(f"{commit or sha}^{{tree}}") if commit or names.is_sha(sha) else None
    if found is None:
        raise not_found()
    return _tree_shape(access, found.sha, recursive=bool(request.query_params.get("recursive")))


@router.post("/trees", status_code=201)
def create_tree(body: Annotated[NewTree, Depends(json_body(NewTree))], access: Writable) -> dict[str, Any]:
    """A new tree from `base_tree` with the changes; files may be given as text."""
    require_content(access)
    base: str | None = None
    if body.base_tree is not None:
        found = access.bare.info(f"{body.base_tree}^{{tree}}") if names.is_sha(body.base_tree) else None
        if found is None:
            raise unprocessable("base_tree is not a valid tree")
        base = found.sha
    try:
        sha = access.bare.write_tree(base, _changes(access, body.tree))
    except TreePathError as error:
        raise unprocessable(f"GitRPC::BadObjectState: {error}") from None
    if sha is None:
        raise unprocessable("Invalid tree info: nothing would be left")
    return _tree_shape(access, sha, recursive=False)


def _changes(access: Access, entries: list[NewTreeEntry]) -> Changes:
    changes: dict[str, Leaf | None] = {}
    for entry in entries:
        if not names.is_tree_path(entry.path):
            raise unprocessable("tree.path contains a malformed path component")
        if entry.content is not None:
            if entry.sha is not None or entry.mode in ("040000", "160000"):
                raise unprocessable("Must supply either tree.sha or tree.content, and content only for files")
            changes[entry.path] = Leaf(entry.mode, access.bare.write("blob", entry.content.encode()))
        elif entry.sha is None:
            if "sha" not in entry.model_fields_set:
                raise unprocessable("Must supply tree.sha or tree.content")
            changes[entry.path] = None
        else:
            changes[entry.path] = Leaf(entry.mode, _checked_sha(access, entry.mode, entry.sha))
    for path in changes:
        if any(str(above) in changes for above in PurePosixPath(path).parents):
            raise unprocessable(f"tree.path {path!r} lies below another changed path")
    return changes


def _checked_sha(access: Access, mode: str, sha: str) -> str:
    expected = TreeEntry(mode, "", sha).kind
    # A submodule's commit lies in another repository.
    found = access.bare.info(sha) if names.is_sha(sha) and expected != "commit" else None
    if not names.is_sha(sha) or (expected != "commit" and (found is None or found.kind != expected)):
        raise unprocessable(f"tree.sha is not a valid {expected}")
    return sha


# Commits


@router.get("/commits/{sha}")
def get_commit(sha: str, access: Readable) -> dict[str, Any]:
    """A commit by its name."""
    found = access.bare.commit(sha) if names.is_sha(sha) else None
    if found is None:
        raise not_found()
    return shapes.git_commit(access.forge.urls, access.repository, found)


@router.post("/commits", status_code=201)
def create_commit(body: Annotated[NewCommit, Depends(json_body(NewCommit))], access: Writable) -> dict[str, Any]:
    """A new commit; no ref points at it yet."""
    require_content(access)
    tree = access.bare.info(body.tree) if names.is_sha(body.tree) else None
    if tree is None or tree.kind != "tree":
        raise unprocessable("Tree SHA does not exist")
    for parent in body.parents:
        found = access.bare.info(parent) if names.is_sha(parent) else None
        if found is None or found.kind != "commit":
            raise unprocessable("Parent SHA does not exist or is not a commit object")
    author, committer = people(body.author, body.committer, access.caller)
    made = access.bare.write_commit(tree.sha, body.parents, author, committer, body.message)
    return shapes.git_commit(access.forge.urls, access.repository, made)

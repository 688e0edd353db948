"""REST: files: read them, and change one per commit."""

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from deploy.embedded.forge import names, shapes
from deploy.embedded.forge.bare import Leaf, RefMovedError, TreePathError
from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.cat_file import ObjectInfo, ObjectTooLargeError
from deploy.embedded.forge.context import Access, Readable, Writable
from deploy.embedded.forge.errors import ForgeError, conflict, not_found, unprocessable
from deploy.embedded.forge.git import ZERO_SHA
from deploy.embedded.forge.objects import Commit, TreeEntry, format_tree
from deploy.embedded.forge.people import Signature, people

router = APIRouter(prefix="/repos/{owner}/{repo}")
_INLINE_LIMIT_BYTES: Final = 1024 * 1024


class FileChange(Body):
    """`PUT …/contents/{path}`; `content` is Base64, `sha` the blob that it replaces."""

    message: str
    content: str
    sha: str | None = None
    branch: str | None = None
    author: Signature | None = None
    committer: Signature | None = None


class FileDeletion(Body):
    """`DELETE …/contents/{path}`."""

    message: str
    sha: str
    branch: str | None = None
    author: Signature | None = None
    committer: Signature | None = None


@dataclass(frozen=True)
class _Place:
    """A path at a revision."""

    access: Access
    revision: str
    path: str

    def shape(self, info: ObjectInfo) -> dict[str, Any]:
        """What files and directories have in common."""
        access, name = self.access, self.access.repository.full_name
        urls = access.forge.urls
        url = f"{access.url}/contents/{quote(self.path)}?ref={quote(self.revision, safe='')}"
        is_file = info.kind == "blob"
        git_url = f"{access.url}/git/{info.kind}s/{info.sha}"
        html_url = urls.file_page(name, self.revision, self.path)
        html_url = html_url if is_file else html_url.replace("/blob/", "/tree/", 1)
        return {
            "name": self.path.rsplit("/", 1)[-1],
            "path": self.path,
            "sha": info.sha,
            "size": info.size if is_file else 0,
            "url": url,
            "html_url": html_url,
            "git_url": git_url,
            "download_url": urls.raw(name, self.revision, self.path) if is_file else None,
            "type": {"blob": "file", "tree": "dir"}[info.kind],
            "_links": {"self": url, "git": git_url, "html": html_url},
        }


@router.get("/contents", response_model=None)
@router.get("/contents/{path:path}", response_model=None)
def get_contents(request: Request, access: Readable, path: str = "") -> JSONResponse | Response:
    """A file with its content in Base64 (up to 1 MB), or what a directory holds. The media type
    `application/vnd.github.raw` gives the bytes."""
    revision = request.query_params.get("ref") or access.repository.default_branch
    path = path.strip("/")
    commit = access.bare.resolve(revision)
    if commit is None:
        raise not_found() if not access.bare.is_empty() else ForgeError(404, "This repository is empty.")
    info = access.bare.entry(commit, path)
    if info is None or info.kind not in ("blob", "tree"):
        raise not_found()
    if info.kind == "tree":
        return JSONResponse([_listed(access, revision, path, each) for each in access.bare.tree(info.sha) or ()])
    if "github.raw" in request.headers.get("accept", "") or ".raw" in request.headers.get("accept", ""):
        return _raw(access, info)
    return JSONResponse(_Place(access, revision, path).shape(info) | _inline(access, info))


def _listed(access: Access, revision: str, directory: str, entry: TreeEntry) -> dict[str, Any]:
    path = f"{directory}/{entry.name}" if directory else entry.name
    if entry.kind == "commit":
        shape = _Place(access, revision, path).shape(ObjectInfo(entry.sha, "tree", 0))
        return shape | {"type": "submodule"}
    info = access.bare.info(entry.sha) if entry.kind == "blob" else None
    return _Place(access, revision, path).shape(info or ObjectInfo(entry.sha, entry.kind, 0))


def _inline(access: Access, info: ObjectInfo) -> dict[str, str]:
    if info.size > _INLINE_LIMIT_BYTES:
        return {"content": "", "encoding": "none"}
    found = access.bare.read(info.sha)
    return {"content": base64.encodebytes(found[1] if found else b"").decode(), "encoding": "base64"}


def _raw(access: Access, info: ObjectInfo) -> Response:
    try:
        found = access.bare.read(info.sha)
    except ObjectTooLargeError as error:
        raise ForgeError(403, f"The file has {error.size} bytes: too large to be fetched over the API") from None
    return Response(found[1] if found else b"", media_type="application/octet-stream")


@router.put("/contents/{path:path}")
def put_file(path: str, body: Annotated[FileChange, Depends(json_body(FileChange))], access: Writable) -> JSONResponse:
    """Create a file, or replace the one whose blob is `sha`; one commit on the branch."""
    try:
        data = base64.b64decode(body.content)
    except (binascii.Error, ValueError):
        raise unprocessable("content is not valid Base64") from None
    change = _Change(access, path, body)
    current = change.current()
    if current is not None and body.sha is None:
        raise unprocessable('Invalid request.\n\n"sha" wasn\'t supplied.')
    if body.sha is not None and (current is None or current.sha != body.sha):
        raise conflict(f"{path} does not match {body.sha}")
    blob = access.bare.write("blob", data)
    # What was executable stays so.
    commit = change.commit(Leaf(change.mode(current), blob))
    place = _Place(access, change.branch, path)
    answer = {
        "content": place.shape(ObjectInfo(blob, "blob", len(data))),
        "commit": shapes.git_commit(access.forge.urls, access.repository, commit),
    }
    return JSONResponse(answer, 201 if current is None else 200)


@router.delete("/contents/{path:path}")
def delete_file(
    path: str, body: Annotated[FileDeletion, Depends(json_body(FileDeletion))], access: Writable
) -> dict[str, Any]:
    """Delete the file whose blob is `sha`; one commit on the branch."""
    change = _Change(access, path, body)
    current = change.current()
    if current is None:
        raise not_found()
    if current.sha != body.sha:
        raise conflict(f"{path} does not match {body.sha}")
    commit = change.commit(None)
    return {"content": None, "commit": shapes.git_commit(access.forge.urls, access.repository, commit)}


class _Change:
    """A commit that changes one path of a branch."""

    def __init__(self, access: Access, path: str, body: FileChange | FileDeletion) -> None:
        if not names.is_tree_path(path):
            raise unprocessable("path contains a malformed path component")
        self.branch = body.branch or access.repository.default_branch
        self._access = access
        self._path = path
        self._body = body
        tip = access.bare.branch(self.branch) if names.is_branch(self.branch) else None
        first = tip is None and self.branch == access.repository.default_branch and access.bare.is_empty()
        if tip is None and not first:
            raise ForgeError(404, f"Branch {self.branch} not found")
        self._tip: Commit | None = access.bare.commit(tip) if tip is not None else None

    def current(self) -> ObjectInfo | None:
        """What is at the path now. Raises ForgeError 422 for a directory."""
        found = self._access.bare.entry(self._tip.sha, self._path) if self._tip is not None else None
        if found is not None and found.kind != "blob":
            raise unprocessable(f"{self._path} is a directory")
        return found

    def mode(self, current: ObjectInfo | None) -> str:
        """The mode of the file that is there, or an ordinary file's."""
        if current is None or self._tip is None:
            return "100644"
        directory, _, name = self._path.rpartition("/")
        above = self._access.bare.entry(self._tip.sha, directory)
        entries = self._access.bare.tree(above.sha) or [] if above is not None else []
        return next((entry.mode for entry in entries if entry.name == name), "100644")

    def commit(self, leaf: Leaf | None) -> Commit:
        """Commit and move the branch. Raises ForgeError 409 when somebody else was faster."""
        access, tip = self._access, self._tip
        try:
            tree = access.bare.write_tree(tip.tree if tip is not None else None, {self._path: leaf})
        except TreePathError as error:
            raise unprocessable(str(error)) from None
        author, committer = people(self._body.author, self._body.committer, access.caller)
        made = access.bare.write_commit(
            tree or access.bare.write("tree", format_tree([])),
            [tip.sha] if tip is not None else [],
            author,
            committer,
            self._body.message,
        )
        ref, old = f"refs/heads/{self.branch}", tip.sha if tip is not None else ZERO_SHA
        try:
            access.forge.pushes.move_ref(access.repository, access.caller, ref, made.sha, old)
        except RefMovedError:
            raise conflict(f"{self.branch} is no longer at {old}: read it again and retry") from None
        return made

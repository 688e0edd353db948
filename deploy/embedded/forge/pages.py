"""The pages behind the addresses that the forge prints: plain HTML for people, no script, nothing from elsewhere.

Everything that somebody wrote is shown as text: templates escape by themselves, and file contents are never served as
anything but plain text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from deploy.embedded.forge import history
from deploy.embedded.forge.accounts import Principal
from deploy.embedded.forge.bare import Bare
from deploy.embedded.forge.cat_file import ObjectTooLargeError
from deploy.embedded.forge.context import Forge
from deploy.embedded.forge.git import GitError
from deploy.embedded.forge.history import Log
from deploy.embedded.forge.objects import TreeEntry
from deploy.embedded.forge.records import Repository

_SHOWN_BYTES: Final = 512 * 1024
_LAST_COMMITS: Final = 10
_LAST_RUNS: Final = 5
_SHOWN_THREADS: Final = 30
_MOST_REVISION_PARTS: Final = 10


@dataclass(frozen=True)
class View:
    """A repository that the caller may see, at a revision."""

    forge: Forge
    repository: Repository
    bare: Bare
    revision: str
    commit: str | None


class Pages:
    """Every HTML page of the forge."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._templates = Environment(
            loader=PackageLoader(__package__ or "", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["path"] = quote
        self._style = files(__package__ or "").joinpath("templates/forge.css").read_text(encoding="utf-8")

    def routes(self) -> list[Route]:
        """The routes; they go last, since they match any two words."""
        repo = "/{owner}/{repo}"
        table: list[tuple[str, Callable[[Request], Response]]] = [
            ("/", self.root),
            ("/assets/forge.css", self.style),
            ("/{owner}", self.owner),
            (repo, self.repository),
            (f"{repo}/tree/{{rest:path}}", self.tree),
            (f"{repo}/blob/{{rest:path}}", self.file),
            (f"{repo}/raw/{{rest:path}}", self.raw),
            (f"{repo}/commit/{{sha}}", self.commit),
            (f"{repo}/compare/{{basehead:path}}", self.compare),
            (f"{repo}/pull/{{number:number}}.diff", self.pull_diff),
            (f"{repo}/pull/{{number:number}}", self.thread),
            (f"{repo}/issues/{{number:number}}", self.thread),
        ]
        return [Route(path, endpoint, methods=["GET"]) for path, endpoint in table]

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page from a template."""
        values.setdefault("title", "Forge")
        html = self._templates.get_template(template).render(public=self._forge.urls.public, **values)
        return HTMLResponse(html, status)

    def missing(self) -> HTMLResponse:
        """What is answered for whatever is not there, or not for this caller."""
        return self.render("missing.html", 404, title="Not found")

    # Pages of the forge

    def root(self, _: Request) -> Response:
        """What this is. Open to everybody, so it names nothing that is in it."""
        return self.render("root.html", title="Slipway forge")

    def style(self, _: Request) -> Response:
        """The style sheet."""
        return Response(self._style, media_type="text/css")

    def owner(self, request: Request) -> Response:
        """An owner's repositories."""
        account = self._forge.accounts.by_login(request.path_params["owner"])
        if account is None:
            return self.missing()
        principal: Principal = request.state.principal
        visible = self._forge.repositories.visible(principal, self._forge.repositories.of(account))
        return self.render("owner.html", title=account.login, account=account, repositories=visible)

    # Pages of a repository

    def view(self, request: Request, revision: str | None = None) -> View | None:
        """The repository in the address, for a caller who may see it."""
        forge, names = self._forge, request.path_params
        found = forge.repositories.by_name(names["owner"], names["repo"].removesuffix(".git"))
        principal: Principal = request.state.principal
        if found is None or forge.repositories.role(principal, found) == "none":
            return None
        bare, wanted = Bare(forge.git, found.id), revision or found.default_branch
        return View(forge, found, bare, wanted, bare.resolve(wanted))

    def _split(self, request: Request) -> tuple[View, str] | None:
        """`<revision>/<path>`. Branches have slashes as well; since Git keeps no branch `a` beside `a/b`, the first
        beginning that is a revision is the one that was meant."""
        parts = request.path_params["rest"].strip("/").split("/")
        for length in range(1, min(len(parts), _MOST_REVISION_PARTS) + 1):
            view = self.view(request, "/".join(parts[:length]))
            if view is None:
                return None
            if view.commit is not None:
                return view, "/".join(parts[length:])
        return None

    def repository(self, request: Request) -> Response:
        """The repository: how to clone it, its files, its read-me, what happened last."""
        view = self.view(request)
        if view is None:
            return self.missing()
        return self._directory(view, "")

    def tree(self, request: Request) -> Response:
        """A directory at a revision."""
        split = self._split(request)
        return self._directory(*split) if split is not None else self.missing()

    def _directory(self, view: View, path: str) -> Response:
        entries: list[TreeEntry] = []
        if view.commit is not None:
            info = view.bare.entry(view.commit, path)
            found = view.bare.tree(info.sha) if info is not None else None
            if found is None:
                return self.missing()
            entries = sorted(found, key=lambda entry: (entry.kind != "tree", entry.name.lower()))
        threads = view.forge.store.all(
            "SELECT * FROM issues WHERE repository_id = ? ORDER BY number DESC LIMIT ?",
            [view.repository.id, _SHOWN_THREADS],
        )
        return self.render(
            "repository.html",
            title=view.repository.full_name,
            view=view,
            path=path,
            entries=entries,
            readme=self._readme(view, entries),
            commits=history.commits(view.bare, Log((view.commit,), path or None), limit=_LAST_COMMITS)
            if view.commit is not None
            else [],
            branches=[ref.name.removeprefix("refs/heads/") for ref in view.bare.refs("refs/heads")],
            pulls=[row for row in threads if row["is_pull"]],
            issues=[row for row in threads if not row["is_pull"]],
            runs=view.forge.store.all(
                "SELECT r.*, w.name FROM workflow_runs r JOIN workflows w ON w.id = r.workflow_id"
                " WHERE r.repository_id = ? ORDER BY r.id DESC LIMIT ?",
                [view.repository.id, _LAST_RUNS],
            ),
            clone_url=view.forge.urls.clone(view.repository.full_name),
        )

    def _readme(self, view: View, entries: list[TreeEntry]) -> str | None:
        for entry in entries:
            if entry.kind == "blob" and entry.name.lower() in ("readme.md", "readme", "readme.txt"):
                return self._text(view, entry.sha)
        return None

    def _text(self, view: View, sha: str) -> str | None:
        """A file's content when it is text of a size that a page can show."""
        try:
            found = view.bare.read(sha, _SHOWN_BYTES)
        except ObjectTooLargeError:
            return None
        if found is None or b"\0" in found[1]:
            return None
        return found[1].decode("utf-8", "replace")

    def file(self, request: Request) -> Response:
        """A file at a revision."""
        split = self._split(request)
        if split is None or split[0].commit is None:
            return self.missing()
        view, path = split
        info = view.bare.entry(view.commit or "", path)
        if info is None or info.kind != "blob":
            return self.missing()
        text = self._text(view, info.sha)
        return self.render("file.html", title=path, view=view, path=path, info=info, text=text)

    def raw(self, request: Request) -> Response:
        """A file's bytes, as plain text whatever they are."""
        split = self._split(request)
        info = split[0].bare.entry(split[0].commit or "", split[1]) if split is not None else None
        if split is None or info is None or info.kind != "blob":
            return self.missing()
        try:
            found = split[0].bare.read(info.sha)
        except ObjectTooLargeError:
            return PlainTextResponse("The file is too large to be shown; clone the repository.\n", 413)
        return Response(found[1] if found is not None else b"", media_type="text/plain; charset=utf-8")

    def commit(self, request: Request) -> Response:
        """A commit with what it changes."""
        view = self.view(request, request.path_params["sha"])
        commit = view.bare.commit(view.commit) if view is not None and view.commit is not None else None
        if view is None or commit is None:
            return self.missing()
        return self.render(
            "commit.html",
            title=commit.sha[:12],
            view=view,
            commit=commit,
            changes=history.changes(view.bare, commit.parents[0] if commit.parents else None, commit.sha),
        )

    def compare(self, request: Request) -> Response:
        """What one revision has that another has not."""
        base_name, _, head_name = request.path_params["basehead"].partition("...")
        base, head = self.view(request, base_name), self.view(request, head_name)
        if base is None or head is None or base.commit is None or head.commit is None:
            return self.missing()
        common = history.merge_base(head.bare, base.commit, head.commit)
        return self.render(
            "compare.html",
            title=f"{base_name}...{head_name}",
            view=head,
            base_name=base_name,
            head_name=head_name,
            changes=history.changes(head.bare, common, head.commit),
        )

    def _pull(self, view: View, number: int) -> Any:
        return view.forge.store.one(
            "SELECT p.* FROM pulls p JOIN issues i ON i.id = p.issue_id WHERE i.repository_id = ? AND i.number = ?",
            [view.repository.id, number],
        )

    def thread(self, request: Request) -> Response:
        """An issue or a pull request with its comments."""
        view = self.view(request)
        number = request.path_params["number"]
        if view is None:
            return self.missing()
        row = view.forge.store.one(
            "SELECT i.*, a.login FROM issues i JOIN accounts a ON a.id = i.author_id"
            " WHERE i.repository_id = ? AND i.number = ?",
            [view.repository.id, number],
        )
        if row is None:
            return self.missing()
        comments = view.forge.store.all(
            "SELECT c.*, a.login FROM comments c JOIN accounts a ON a.id = c.author_id WHERE c.issue_id = ?"
            " ORDER BY c.id",
            [row["id"]],
        )
        pull = self._pull(view, number)
        changes = []
        if pull is not None:
            common = history.merge_base(view.bare, pull["base_sha"], pull["head_sha"])
            changes = history.changes(view.bare, common, pull["head_sha"])
        return self.render(
            "thread.html",
            title=f"{row['title']} · #{number}",
            view=view,
            thread=row,
            pull=pull,
            comments=comments,
            changes=changes,
        )

    def pull_diff(self, request: Request) -> Response:
        """A pull request as a patch."""
        view = self.view(request)
        pull = self._pull(view, request.path_params["number"]) if view is not None else None
        if view is None or pull is None:
            return self.missing()
        common = history.merge_base(view.bare, pull["base_sha"], pull["head_sha"]) or pull["base_sha"]
        try:
            output = view.bare.git.run(view.bare.id, ["diff-tree", "-p", "-M", common, pull["head_sha"]]).output
        except GitError:
            return PlainTextResponse("The difference is too large to be shown; clone the repository.\n", 413)
        return Response(output, media_type="text/plain; charset=utf-8")

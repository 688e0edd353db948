"""Branches, tags, commits and the files in them."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from github import InputGitAuthor, InputGitTreeElement
from github.GitCommit import GitCommit
from github.GithubObject import NotSet
from github.GitRef import GitRef
from github.Repository import Repository as GithubRepository

from services.cicd.adapters.github.answers import or_none
from services.cicd.adapters.github.connection import Connection
from services.cicd.domain import COMMITTER_EMAIL, COMMITTER_NAME, Commit, File

_HEADS: Final = "refs/heads/"


class Commits(Connection):
    """Part of `ports.Forge`."""

    async def branches(self, repository: str, *, prefix: str = "") -> Mapping[str, str]:
        """See the port."""

        def read(repo: GithubRepository) -> dict[str, str]:
            asked = f"heads/{prefix}" if prefix else "heads"
            found = {ref.ref: ref.object.sha for ref in repo.get_git_matching_refs(asked)}
            return {name.removeprefix(_HEADS): sha for name, sha in found.items() if name.startswith(_HEADS)}

        return await self.on(repository, "read the branches", lambda repo: or_none(lambda: read(repo)) or {})

    async def has_tags(self, repository: str) -> bool:
        """See the port."""
        return await self.on(
            repository,
            "read the tags",
            lambda repo: bool(or_none(lambda: next(iter(repo.get_git_matching_refs("tags")), None))),
        )

    async def history(self, repository: str, head: str, *, limit: int, path: str | None = None) -> Sequence[Commit]:
        """See the port."""

        def read(repo: GithubRepository) -> list[Commit]:
            wanted = {"sha": head, "per_page": limit} | ({"path": path} if path else {})
            # One page and no more: PyGithub's own list fetches pages of a hundred, however few are wanted.
            _, found = repo.requester.requestJsonAndCheck("GET", f"{repo.url}/commits", parameters=wanted)
            return [_commit(one) for one in found]

        return await self.on(repository, "read the history", read)

    async def read(self, repository: str, path: str, *, at: str) -> bytes | None:
        """See the port."""

        def content(repo: GithubRepository) -> bytes | None:
            found = or_none(lambda: repo.get_contents(path, ref=at))
            return None if found is None or isinstance(found, list) else found.decoded_content

        return await self.on(repository, f"read {path}", content)

    async def has_directory(self, repository: str, path: str, *, at: str) -> bool:
        """See the port."""
        return await self.on(
            repository,
            f"look for the directory {path}",
            lambda repo: isinstance(or_none(lambda: repo.get_contents(path, ref=at)), list),
        )

    async def files_in(self, repository: str, path: str, *, at: str) -> Sequence[str]:
        """See the port."""

        def look(repo: GithubRepository) -> list[str]:
            found = or_none(lambda: repo.get_contents(path, ref=at))
            return [one.path for one in found if one.type == "file"] if isinstance(found, list) else []

        return await self.on(repository, f"look into {path}", look)

    async def commit(
        self,
        repository: str,
        *,
        files: Sequence[File],
        parent: str | None,
        keep_other_files: bool,
        message: str,
        at: datetime,
        without: Sequence[str] = (),
    ) -> Commit:
        """See the port."""

        def store(repo: GithubRepository) -> Commit:
            parents = [GitCommit(repo.requester, attributes={"sha": parent}, completed=True)] if parent else []
            base = repo.get_git_commit(parent).tree if keep_other_files and parent else NotSet
            gone = [InputGitTreeElement(path, "100644", "blob", sha=None) for path in without]
            tree = repo.create_git_tree([*(_element(repo, file) for file in files), *gone], base_tree=base)
            # With the same name and time the same commit comes out, however often it is made.
            time = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            author = InputGitAuthor(COMMITTER_NAME, COMMITTER_EMAIL, time)
            made = repo.create_git_commit(message, tree, parents, author=author, committer=author)
            return Commit(made.sha, message, (parent,) if parent else (), COMMITTER_EMAIL)

        return await self.on(repository, "store a commit", store)

    async def create_branch(self, repository: str, branch: str, commit: str) -> None:
        """See the port."""
        await self.on(
            repository, f"create the branch {branch}", lambda repo: repo.create_git_ref(f"{_HEADS}{branch}", commit)
        )

    async def forward_branch(self, repository: str, branch: str, commit: str) -> None:
        """See the port."""
        await self.on(
            repository, f"move the branch {branch}", lambda repo: _ref(repo, branch).edit(commit, force=False)
        )

    async def put_branch(self, repository: str, branch: str, commit: str) -> None:
        """See the port."""
        await self.on(repository, f"put the branch {branch}", lambda repo: _ref(repo, branch).edit(commit, force=True))

    async def delete_branch(self, repository: str, branch: str) -> None:
        """See the port."""
        await self.on(repository, f"remove the branch {branch}", lambda repo: or_none(_ref(repo, branch).delete))


def _ref(repo: GithubRepository, branch: str) -> GitRef:
    return GitRef(repo.requester, url=f"{repo.url}/git/{_HEADS}{branch}", completed=False)


def _element(repo: GithubRepository, file: File) -> InputGitTreeElement:
    mode = "100755" if file.executable else "100644"
    try:
        return InputGitTreeElement(file.path, mode, "blob", content=file.content.decode("utf-8"))
    except UnicodeDecodeError:
        blob = repo.create_git_blob(base64.b64encode(file.content).decode("ascii"), "base64")
        return InputGitTreeElement(file.path, mode, "blob", sha=blob.sha)


def _commit(found: Mapping[str, Any]) -> Commit:
    committer = found["commit"]["committer"] or {}
    return Commit(
        found["sha"],
        found["commit"]["message"],
        tuple(parent["sha"] for parent in found["parents"]),
        committer.get("email") or "",
    )

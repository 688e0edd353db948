"""The twins: a forge, golden paths, a workflow check and a log that live in this process. They keep the promises of
`ports.py` and pass the suites that the real ones pass."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from chassis.failures import PermanentError
from contracts.envelope import Event
from contracts.golden_path import GoldenPath
from services.cicd.domain import COMMITTER_EMAIL, INITIAL_COMMIT_MESSAGE, Commit, File, PullRequest, Repository
from services.cicd.domain.previews import Comment
from services.cicd.ports import Values

Level = Literal["debug", "info", "warning", "error"]


@dataclass
class _Pull:
    number: int
    head: str
    base: str
    title: str
    body: str
    head_commit: str
    closed: bool = False
    of_fork: bool = False
    comments: list[Comment] = field(default_factory=list)


@dataclass
class _Stored:
    repository: Repository
    topics: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    environments: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By name, who has to agree to its deployments."""
    runs: list[tuple[str, str]] = field(default_factory=list)
    """Workflows that were asked to run, with their commits."""
    kept: set[str] = field(default_factory=set)
    """Branches that are neither rewritten nor removed."""
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    trees: dict[str, dict[str, File]] = field(default_factory=dict)
    pulls: list[_Pull] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    protected: set[str] = field(default_factory=set)

    def ancestry(self, head: str | None) -> list[Commit]:
        found: list[Commit] = []
        while head is not None:
            commit = self.commits[head]
            found.append(commit)
            head = commit.parents[0] if commit.parents else None
        return found

    def add(self, files: Mapping[str, File], parents: tuple[str, ...], message: str, at: str, by: str) -> Commit:
        digest = hashlib.sha1(repr((sorted(files.items()), parents, message, at, by)).encode(), usedforsecurity=False)
        sha = digest.hexdigest()
        self.commits[sha] = Commit(sha, message, parents, by)
        self.trees[sha] = dict(files)
        return self.commits[sha]

    def touched(self, commit: Commit, path: str) -> bool:
        before = self.trees[commit.parents[0]] if commit.parents else {}
        return self.trees[commit.sha].get(path) != before.get(path)


class InMemoryForge:
    """A forge with nothing behind it."""

    def __init__(self, organisations: Sequence[str] = ("acme",), reviewers: Sequence[str] = ()) -> None:
        self._reviewers = frozenset(reviewers)
        self._organisations = frozenset(organisations)
        self._repositories: dict[str, _Stored] = {}
        self._ids = itertools.count(1)

    def _stored(self, repository: str) -> _Stored:
        try:
            return self._repositories[repository.lower()]
        except KeyError:
            raise _refused("forge_not_found", f"there is no repository {repository}") from None

    def _writable(self, repository: str) -> _Stored:
        stored = self._stored(repository)
        if stored.repository.archived:
            raise _refused("forge_forbidden", f"the repository {repository} is archived")
        return stored

    def unarchive(self, repository: str) -> None:
        """Make a repository writable again, as a person does on the forge."""
        stored = self._stored(repository)
        stored.repository = replace(stored.repository, archived=False)

    def push(self, repository: str, branch: str, files: Mapping[str, bytes | None], message: str) -> str:
        """A person's commit on a branch, which is made from the default one where it does not exist. None removes a
        file."""
        stored = self._writable(repository)
        parent = stored.branches.get(branch) or stored.branches[stored.repository.default_branch]
        tree = dict(stored.trees[parent])
        for path, content in files.items():
            tree.pop(path, None)
            if content is not None:
                tree[path] = File(path, content)
        made = stored.add(tree, (parent,), message, "", "ada@example.com")
        stored.branches[branch] = made.sha
        return made.sha

    def tag(self, repository: str, name: str) -> None:
        """A person's tag."""
        self._writable(repository).tags.add(name)

    def protect(self, repository: str, branch: str) -> None:
        """From now on a branch moves only by pull requests."""
        self._writable(repository).protected.add(branch)

    async def find(self, repository: str) -> Repository | None:
        stored = self._repositories.get(repository.lower())
        return stored.repository if stored else None

    async def create(self, repository: str, *, description: str, homepage: str) -> Repository:
        owner, _, name = repository.partition("/")
        if owner not in self._organisations:
            raise _refused("forge_not_found", f"there is no organisation {owner}")
        if repository.lower() in self._repositories:
            raise _refused("forge_refused", f"the repository {repository} exists")
        page = f"https://forge.invalid/{repository}"
        stored = _Stored(Repository(repository, next(self._ids), page, f"{page}.git", "main", description, False))
        readme = File("README.md", f"# {name}\n".encode())
        first = stored.add({"README.md": readme}, (), INITIAL_COMMIT_MESSAGE, homepage, "noreply@forge.invalid")
        stored.branches["main"] = first.sha
        self._repositories[repository.lower()] = stored
        return stored.repository

    async def describe(self, repository: str, *, description: str, default_branch: str) -> None:
        stored = self._writable(repository)
        if default_branch not in stored.branches:
            raise _refused("forge_refused", f"there is no branch {default_branch}")
        stored.repository = replace(stored.repository, description=description, default_branch=default_branch)

    async def delete(self, repository: str) -> None:
        self._repositories.pop(repository.lower(), None)

    async def archive(self, repository: str) -> None:
        stored = self._stored(repository)
        stored.repository = replace(stored.repository, archived=True)

    async def topics(self, repository: str) -> tuple[str, ...]:
        return self._stored(repository).topics

    async def set_topics(self, repository: str, topics: Sequence[str]) -> None:
        self._writable(repository).topics = tuple(topics)

    async def variables(self, repository: str) -> Mapping[str, str]:
        return dict(self._stored(repository).variables)

    async def set_variable(self, repository: str, name: str, value: str) -> None:
        self._writable(repository).variables[name.upper()] = value

    async def delete_variable(self, repository: str, name: str) -> None:
        self._writable(repository).variables.pop(name.upper(), None)

    async def has_environment(self, repository: str, name: str) -> bool:
        return name in self._stored(repository).environments

    async def put_environment(self, repository: str, name: str, *, reviewers: Sequence[str] = ()) -> None:
        if missing := [reviewer for reviewer in reviewers if reviewer not in self._reviewers]:
            raise _refused("reviewer_missing", f"there is no {missing[0]}")
        self._writable(repository).environments[name] = tuple(reviewers)

    async def delete_environment(self, repository: str, name: str) -> None:
        self._writable(repository).environments.pop(name, None)

    async def protect_branch(self, repository: str, branch: str, *, approvals: int) -> None:
        stored = self._writable(repository)
        if branch not in stored.branches:
            raise _refused("forge_not_found", f"there is no branch {branch}")
        stored.kept.add(branch)
        if approvals:
            stored.protected.add(branch)

    async def has_run(self, repository: str, workflow: str, *, commit: str, since: datetime) -> bool:
        del since  # here everything was asked for just now
        return (workflow, commit) in self._stored(repository).runs

    async def run_workflow(self, repository: str, workflow: str, *, branch: str) -> None:
        stored = self._writable(repository)
        head = stored.branches.get(branch)
        if head is None or workflow not in stored.trees[stored.branches[stored.repository.default_branch]]:
            raise _refused("forge_not_found", f"there is no workflow {workflow} to run on {branch}")
        stored.runs.append((workflow, head))

    async def branches(self, repository: str, *, prefix: str = "") -> Mapping[str, str]:
        heads = self._stored(repository).branches
        return {branch: head for branch, head in heads.items() if branch.startswith(prefix)}

    async def has_tags(self, repository: str) -> bool:
        return bool(self._stored(repository).tags)

    async def history(self, repository: str, head: str, *, limit: int, path: str | None = None) -> Sequence[Commit]:
        stored = self._stored(repository)
        if head not in stored.commits:
            raise _refused("forge_not_found", f"there is no commit {head}")
        found = stored.ancestry(head)
        return [commit for commit in found if path is None or stored.touched(commit, path)][:limit]

    async def read(self, repository: str, path: str, *, at: str) -> bytes | None:
        stored = self._stored(repository)
        file = stored.trees.get(stored.branches.get(at, at), {}).get(path)
        return file.content if file else None

    async def has_directory(self, repository: str, path: str, *, at: str) -> bool:
        stored = self._stored(repository)
        return any(name.startswith(f"{path}/") for name in stored.trees.get(stored.branches.get(at, at), {}))

    async def files_in(self, repository: str, path: str, *, at: str) -> Sequence[str]:
        stored = self._stored(repository)
        tree = stored.trees.get(stored.branches.get(at, at), {})
        return sorted(name for name in tree if name.rpartition("/")[0] == path)

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
        stored = self._writable(repository)
        if parent is not None and parent not in stored.commits:
            raise _refused("forge_refused", f"there is no commit {parent}")
        kept = stored.trees[parent] if parent and keep_other_files else {}
        tree = {name: file for name, file in kept.items() if name not in without} | {file.path: file for file in files}
        return stored.add(tree, (parent,) if parent else (), message, at.isoformat(), COMMITTER_EMAIL)

    async def create_branch(self, repository: str, branch: str, commit: str) -> None:
        stored = self._writable(repository)
        if branch in stored.branches:
            raise _refused("forge_refused", f"the branch {branch} exists")
        if commit not in stored.commits:
            raise _refused("forge_refused", f"there is no commit {commit}")
        stored.branches[branch] = commit

    async def forward_branch(self, repository: str, branch: str, commit: str) -> None:
        stored = self._writable(repository)
        if branch not in stored.branches:
            raise _refused("forge_not_found", f"there is no branch {branch}")
        if branch in stored.protected:
            raise _refused("forge_refused", f"the branch {branch} is protected")
        if stored.branches[branch] not in {ancestor.sha for ancestor in stored.ancestry(commit)}:
            raise _refused("forge_refused", f"{commit} does not descend from the head of {branch}")
        stored.branches[branch] = commit

    async def put_branch(self, repository: str, branch: str, commit: str) -> None:
        stored = self._writable(repository)
        if branch not in stored.branches or commit not in stored.commits:
            raise _refused("forge_refused", f"there is no branch {branch}, or no commit {commit}")
        stored.branches[branch] = commit

    async def delete_branch(self, repository: str, branch: str) -> None:
        stored = self._writable(repository)
        if branch == stored.repository.default_branch:
            raise _refused("forge_refused", f"{branch} is the default branch")
        if branch in stored.kept:
            raise _refused("forge_refused", f"{branch} is protected")
        stored.branches.pop(branch, None)
        for pull in stored.pulls:
            if pull.head == branch and not pull.of_fork:
                pull.closed = True

    async def has_conversations(self, repository: str) -> bool:
        return bool(self._stored(repository).pulls)

    async def pull_requests(self, repository: str, *, head: str) -> Sequence[PullRequest]:
        stored = self._stored(repository)
        return [_shown(stored, pull) for pull in reversed(stored.pulls) if pull.head == head and not pull.of_fork]

    async def pull_request(self, repository: str, number: int) -> PullRequest | None:
        stored = self._stored(repository)
        return _shown(stored, stored.pulls[number - 1]) if number <= len(stored.pulls) else None

    def offer_from_fork(self, repository: str, branch: str, files: Mapping[str, bytes]) -> int:
        """A stranger's pull request to the default branch, or a push of theirs to it; answers its number."""
        stored = self._writable(repository)
        base = stored.repository.default_branch
        tree = dict(stored.trees[stored.branches[base]]) | {path: File(path, text) for path, text in files.items()}
        made = stored.add(tree, (stored.branches[base],), f"Offer {sorted(files)}", "", "mallory@example.com")
        for pull in stored.pulls:
            if pull.of_fork and pull.head == branch:
                pull.head_commit = made.sha
                return pull.number
        stored.pulls.append(_Pull(len(stored.pulls) + 1, branch, base, "Offer", "", made.sha, of_fork=True))
        return len(stored.pulls)

    async def find_comment(self, repository: str, number: int, mark: str) -> Comment | None:
        found = self._pull(repository, number).comments
        return next((comment for comment in found if comment.body.startswith(mark)), None)

    async def add_comment(self, repository: str, number: int, body: str) -> Comment:
        self._writable(repository)
        comment = Comment(next(self._ids), body)
        self._pull(repository, number).comments.append(comment)
        return comment

    async def edit_comment(self, repository: str, comment: int, body: str) -> None:
        for pull in self._writable(repository).pulls:
            for index, found in enumerate(pull.comments):
                if found.id == comment:
                    pull.comments[index] = Comment(comment, body)
                    return
        raise _refused("forge_not_found", f"there is no comment {comment}")

    def _pull(self, repository: str, number: int) -> _Pull:
        pulls = self._stored(repository).pulls
        if number > len(pulls):
            raise _refused("forge_not_found", f"there is no pull request {number}")
        return pulls[number - 1]

    async def open_pull_request(self, repository: str, *, head: str, base: str, title: str, body: str) -> PullRequest:
        stored = self._writable(repository)
        if {head, base} - set(stored.branches):
            raise _refused("forge_refused", f"there is no branch {head} or no branch {base}")
        if any(pull.head == head and pull.base == base and not pull.closed for pull in stored.pulls):
            raise _refused("forge_refused", f"there is a pull request from {head} to {base}")
        stored.pulls.append(_Pull(len(stored.pulls) + 1, head, base, title, body, stored.branches[head]))
        return (await self.pull_requests(repository, head=head))[0]

    async def close_pull_request(self, repository: str, number: int) -> None:
        self._writable(repository).pulls[number - 1].closed = True

    async def reopen_pull_request(self, repository: str, number: int) -> None:
        stored = self._writable(repository)
        pull = stored.pulls[number - 1]
        if {pull.head, pull.base} - set(stored.branches):
            raise _refused("forge_refused", f"there is no branch {pull.head} or no branch {pull.base} any more")
        pull.closed = False


def _shown(stored: _Stored, pull: _Pull) -> PullRequest:
    if not (pull.closed or pull.of_fork):
        pull.head_commit = stored.branches[pull.head]
    merged = pull.head_commit in {commit.sha for commit in stored.ancestry(stored.branches.get(pull.base))}
    page = f"{stored.repository.html_url}/pull/{pull.number}"
    return PullRequest(pull.number, page, pull.base, pull.head_commit, not (pull.closed or merged), merged)


@dataclass
class InMemoryGoldenPaths:
    """Golden paths by name, each with a skeleton of one file and a workflow of one step."""

    published: dict[str, GoldenPath]

    async def find(self, name: str) -> GoldenPath:
        if name not in self.published:
            raise PermanentError("golden_path_unknown", f"there is no golden path {name}", next_step="Choose another.")
        return self.published[name]

    async def skeleton(self, path: GoldenPath, values: Values) -> tuple[File, ...]:
        return (File("README.md", f"# {values.environment}\n\n{path.title}\n".encode()),)

    async def workflow(self, path: GoldenPath, values: Values) -> bytes:
        steps = '[{run: "true"}]'
        paths = f", paths: [{json.dumps(f'{values.path}/**')}]" if values.path else ""
        pushes = f"{{push: {{branches: [{json.dumps(values.branch)}]{paths}}}}}"
        jobs = f"{{a: {{runs-on: linux, steps: {steps}}}}}"
        text = f"# {path.name} {path.version}\nname: {values.environment}\non: {pushes}\njobs: {jobs}\n"
        return text.encode()


@dataclass
class InMemoryWorkflowCheck:
    """Finds fault with the words that it is told to."""

    faults: dict[bytes, str] = field(default_factory=dict)

    async def problems(self, workflow: bytes) -> Sequence[str]:
        return [problem for word, problem in self.faults.items() if word in workflow]


@dataclass
class InMemoryProgress:
    """Keeps the lines: of which environment, how grave, and what."""

    lines: list[tuple[str, Level, str]] = field(default_factory=list)

    async def line(self, event: Event, text: str, level: Level = "info") -> None:
        self.lines.append((event.subject, level, text))


def _refused(code: str, message: str) -> PermanentError:
    return PermanentError(code, message, next_step="Look at the repository on the forge.")

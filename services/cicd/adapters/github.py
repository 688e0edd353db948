"""GitHub by PyGithub, or anything that answers like it (`base_url`).

Invariants
- PyGithub is synchronous: every call runs in a thread of our own small limiter, on a client that only that thread
  uses, with a socket timeout. The current span goes along, and the HTTP instrumentation carries it to the forge.
- Only reads are repeated here, twice. A write is sent once: whether a lost answer meant yes is for the caller to read.
"""

import base64
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

import anyio.to_thread
import requests
from github import Auth, Github, GithubException, InputGitAuthor, InputGitTreeElement, RateLimitExceededException
from github.Commit import Commit as GithubCommit
from github.PullRequest import PullRequest as GithubPullRequest
from github.Repository import Repository as GithubRepository
from pydantic import SecretStr
from urllib3.util import Retry

from chassis.failures import PermanentError, TransientError
from services.cicd.domain import Commit, File, PullRequest, Repository

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 15
MAX_WAIT_SECONDS: Final = 300.0
"""The longest wait that a rate limit may impose between two attempts."""
AUTHOR: Final = ("Slipway", "slipway@users.noreply.github.com")
_READ_RETRY: Final = Retry(
    total=2,
    backoff_factor=0.2,
    status_forcelist=(500, 502, 503, 504),
    allowed_methods=frozenset({"GET"}),
    respect_retry_after_header=False,
    raise_on_status=False,
)


class GitHubForge:
    """A forge over GitHub's REST API. `pause` slows requests down where the forge asks for manners: seconds between
    any two requests and between any two writes."""

    def __init__(
        self,
        base_url: str,
        token: SecretStr,
        *,
        pause_seconds: tuple[float, float] = (0.25, 1.0),
        private: bool = True,
        concurrency: int = 4,
    ) -> None:
        self._base_url = base_url
        self._token = token
        self._pause_seconds = pause_seconds
        self._private = private
        self._limiter = anyio.CapacityLimiter(concurrency)
        self._check_limiter = anyio.CapacityLimiter(1)
        self._clients = threading.local()

    def _client(self) -> Github:
        client: Github | None = getattr(self._clients, "client", None)
        if client is None:
            between_requests, between_writes = self._pause_seconds
            client = Github(
                auth=Auth.Token(self._token.get_secret_value()),
                base_url=self._base_url,
                timeout=TIMEOUT_SECONDS,
                retry=_READ_RETRY,
                per_page=100,
                seconds_between_requests=between_requests,
                seconds_between_writes=between_writes,
                user_agent="slipway-cicd",
            )
            self._clients.client = client
        return client

    async def _call(self, what: str, call: Callable[[Github], T], limiter: anyio.CapacityLimiter | None = None) -> T:
        def in_thread() -> T:
            try:
                return call(self._client())
            except GithubException as error:
                raise _meaning(what, error) from error
            except requests.RequestException as error:
                raise TransientError(f"the forge did not answer: {what}") from error

        return await anyio.to_thread.run_sync(in_thread, limiter=limiter or self._limiter)

    async def _in(self, repository: str, what: str, call: Callable[[GithubRepository], T]) -> T:
        def on_it(client: Github) -> T:
            # Only its address: `get_repo` would ask for the repository first, each time.
            return call(GithubRepository(client.requester, url=f"/repos/{repository}", completed=False))

        return await self._call(f"{what} in {repository}", on_it)

    async def check(self) -> None:
        """Raise where the forge does not answer or does not take our credentials. Does not queue behind the work."""
        await self._call("look at the rate limit", lambda client: client.get_rate_limit(), self._check_limiter)

    # -- repositories --------------------------------------------------------------------------------------------------

    async def find(self, repository: str) -> Repository | None:
        found = await self._call(f"look for {repository}", lambda client: _or_none(lambda: client.get_repo(repository)))
        if found is None:
            return None
        return Repository(
            name=found.full_name,
            id=found.id,
            html_url=found.html_url,
            clone_url=found.clone_url,
            default_branch=found.default_branch,
            description=found.description or "",
            archived=found.archived,
        )

    async def create(self, repository: str, *, description: str, homepage: str) -> None:
        owner, _, name = repository.partition("/")
        await self._call(
            f"create {repository}",
            lambda client: client.get_organization(owner).create_repo(
                name,
                description=description,
                homepage=homepage,
                private=self._private,
                # GitHub's Git data calls refuse a repository without a commit.
                auto_init=True,
                has_wiki=False,
                has_projects=False,
                delete_branch_on_merge=True,
            ),
        )

    async def describe(self, repository: str, *, description: str, default_branch: str) -> None:
        await self._in(
            repository,
            "set the default branch",
            lambda repo: repo.edit(
                name=repository.partition("/")[2], description=description, default_branch=default_branch
            ),
        )

    async def delete(self, repository: str) -> None:
        await self._in(repository, "delete the repository", lambda repo: _or_none(repo.delete))

    async def topics(self, repository: str) -> tuple[str, ...]:
        return await self._in(repository, "read the topics", lambda repo: tuple(repo.get_topics()))

    async def set_topics(self, repository: str, topics: Sequence[str]) -> None:
        await self._in(repository, "set the topics", lambda repo: repo.replace_topics(list(topics)))

    # -- variables and environments ------------------------------------------------------------------------------------

    async def variables(self, repository: str) -> Mapping[str, str]:
        return await self._in(
            repository,
            "read the variables",
            lambda repo: {variable.name: variable.value for variable in repo.get_variables()},
        )

    async def set_variable(self, repository: str, name: str, value: str) -> None:
        def put(repo: GithubRepository) -> None:
            existing = _or_none(lambda: repo.get_variable(name))
            if existing is None:
                try:
                    repo.create_variable(name, value)
                except GithubException as error:
                    if error.status not in {409, 422}:
                        raise
                    existing = repo.get_variable(name)  # somebody was first
            if existing is not None and existing.value != value:
                existing.edit(value)

        await self._in(repository, f"set the variable {name}", put)

    async def delete_variable(self, repository: str, name: str) -> None:
        await self._in(
            repository, f"remove the variable {name}", lambda repo: _or_none(lambda: repo.delete_variable(name))
        )

    async def has_environment(self, repository: str, name: str) -> bool:
        return await self._in(
            repository,
            f"look for the environment {name}",
            lambda repo: _or_none(lambda: repo.get_environment(name)) is not None,
        )

    async def put_environment(self, repository: str, name: str) -> None:
        await self._in(repository, f"create the environment {name}", lambda repo: repo.create_environment(name))

    async def delete_environment(self, repository: str, name: str) -> None:
        await self._in(
            repository,
            f"remove the environment {name}",
            lambda repo: _or_none(lambda: repo.delete_environment(name)),
        )

    # -- branches and commits ------------------------------------------------------------------------------------------

    async def branches(self, repository: str) -> Mapping[str, str]:
        return await self._in(
            repository,
            "read the branches",
            lambda repo: {branch.name: branch.commit.sha for branch in repo.get_branches()},
        )

    async def history(self, repository: str, branch: str, *, limit: int) -> Sequence[Commit]:
        def read(repo: GithubRepository) -> list[Commit]:
            head = _or_none(lambda: repo.get_git_ref(f"heads/{branch}"))
            if head is None:
                return []
            found: list[Commit] = []
            for commit in repo.get_commits(sha=head.object.sha):
                found.append(_commit(commit))
                if len(found) == limit:
                    break
            return found

        return await self._in(repository, f"read the branch {branch}", read)

    async def read(self, repository: str, path: str, *, branch: str) -> bytes | None:
        def content(repo: GithubRepository) -> bytes | None:
            found = _or_none(lambda: repo.get_contents(path, ref=branch))
            return None if found is None or isinstance(found, list) else found.decoded_content

        return await self._in(repository, f"read {path}", content)

    async def commit(
        self,
        repository: str,
        *,
        files: Sequence[File],
        parent: str | None,
        keep_other_files: bool,
        message: str,
        at: datetime,
    ) -> str:
        def store(repo: GithubRepository) -> str:
            parents = [repo.get_git_commit(parent)] if parent else []
            elements = [_element(repo, file) for file in files]
            if keep_other_files and parents:
                tree = repo.create_git_tree(elements, base_tree=parents[0].tree)
            else:
                tree = repo.create_git_tree(elements)
            # With the same name and time the same commit comes out, however often it is made.
            time = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            author = InputGitAuthor(*AUTHOR, time)
            return repo.create_git_commit(message, tree, parents, author=author, committer=author).sha

        return await self._in(repository, "store a commit", store)

    async def create_branch(self, repository: str, branch: str, commit: str) -> None:
        await self._in(
            repository,
            f"create the branch {branch}",
            lambda repo: repo.create_git_ref(f"refs/heads/{branch}", commit),
        )

    async def forward_branch(self, repository: str, branch: str, commit: str) -> None:
        await self._in(
            repository,
            f"move the branch {branch}",
            lambda repo: repo.get_git_ref(f"heads/{branch}").edit(commit, force=False),
        )

    async def delete_branch(self, repository: str, branch: str) -> None:
        def delete(repo: GithubRepository) -> None:
            head = _or_none(lambda: repo.get_git_ref(f"heads/{branch}"))
            if head is not None:
                _or_none(head.delete)

        await self._in(repository, f"remove the branch {branch}", delete)

    # -- pull requests -------------------------------------------------------------------------------------------------

    async def has_conversations(self, repository: str) -> bool:
        # GitHub counts pull requests among the issues, except where a repository has its issues turned off.
        return await self._in(
            repository,
            "read the conversations",
            lambda repo: any(
                next(iter(listed), None) is not None
                for listed in (repo.get_issues(state="all"), repo.get_pulls(state="all"))
            ),
        )

    async def pull_requests(self, repository: str, *, head: str) -> Sequence[PullRequest]:
        owner = repository.partition("/")[0]

        def read(repo: GithubRepository) -> list[PullRequest]:
            return [_pull_request(pull) for pull in repo.get_pulls(state="all", head=f"{owner}:{head}")]

        return await self._in(repository, "read the pull requests", read)

    async def open_pull_request(self, repository: str, *, head: str, base: str, title: str, body: str) -> None:
        await self._in(
            repository,
            "open a pull request",
            lambda repo: repo.create_pull(base=base, head=head, title=title, body=body),
        )

    async def close_pull_request(self, repository: str, number: int) -> None:
        await self._in(
            repository,
            f"close the pull request {number}",
            lambda repo: repo.get_pull(number).edit(state="closed"),
        )


def _or_none(call: Callable[[], T]) -> T | None:
    """What `call` gives, or None where the forge answers that there is no such thing (404; 409 for a repository
    without commits; 422 for a branch that is gone)."""
    try:
        return call()
    except GithubException as error:
        gone = error.status == 422 and "does not exist" in _words(error)
        empty = error.status == 409 and "empty" in _words(error)
        if error.status == 404 or gone or empty:
            return None
        raise


def _element(repo: GithubRepository, file: File) -> InputGitTreeElement:
    mode = "100755" if file.executable else "100644"
    try:
        return InputGitTreeElement(file.path, mode, "blob", content=file.content.decode("utf-8"))
    except UnicodeDecodeError:
        blob = repo.create_git_blob(base64.b64encode(file.content).decode("ascii"), "base64")
        return InputGitTreeElement(file.path, mode, "blob", sha=blob.sha)


def _commit(commit: GithubCommit) -> Commit:
    return Commit(commit.sha, commit.commit.message, tuple(parent.sha for parent in commit.parents))


def _pull_request(pull: GithubPullRequest) -> PullRequest:
    return PullRequest(
        number=pull.number,
        html_url=pull.html_url,
        base=pull.base.ref,
        head_commit=pull.head.sha,
        open=pull.state == "open",
        merged=pull.merged_at is not None,
    )


def _words(error: GithubException) -> str:
    """GitHub's own words for what is wrong, as one short printable line."""
    data = error.data if isinstance(error.data, dict) else {}
    details = data.get("errors")
    texts = [str(data.get("message") or "")]
    texts.extend(
        str(detail.get("message") or "") if isinstance(detail, dict) else str(detail)
        for detail in (details if isinstance(details, list) else [])
    )
    line = "; ".join(text for text in texts if text)
    return "".join(character if character.isprintable() else " " for character in line)[:300]


def _wait_seconds(error: GithubException) -> float | None:
    """How long the forge asks us to wait (Retry-After, or the reset of a used-up rate limit), or None."""
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    try:
        if "retry-after" in headers:
            return min(max(float(headers["retry-after"]), 1.0), MAX_WAIT_SECONDS)
        if headers.get("x-ratelimit-remaining") == "0":
            left = float(headers["x-ratelimit-reset"]) - datetime.now(UTC).timestamp()
            return min(max(left, 1.0), MAX_WAIT_SECONDS)
    except (KeyError, ValueError):
        return None
    return None


def _meaning(what: str, error: GithubException) -> TransientError | PermanentError:
    """What an answer that is no success means for us."""
    words = _words(error)
    wait_seconds = _wait_seconds(error)
    if error.status in {403, 429} and (wait_seconds or isinstance(error, RateLimitExceededException)):
        return TransientError(f"the forge asks us to wait: {what}", delay_seconds=wait_seconds)
    if error.status >= 500 or error.status in {408, 423, 429} or error.status <= 0:
        return TransientError(f"the forge failed with {error.status}: {what}")
    if error.status == 401:
        return PermanentError(
            "forge_credentials",
            f"the forge does not take the platform's credentials: {what}",
            next_step="Tell the platform team: the forge's token is wrong or has expired.",
        )
    if error.status == 403:
        return PermanentError(
            "forge_forbidden",
            f"the platform may not do this on the forge: {what} ({words})",
            next_step="Give the platform's account write access there, or choose another repository; then retry.",
        )
    if error.status == 404:
        return PermanentError(
            "forge_not_found",
            f"the forge does not know it, or hides it from the platform: {what} ({words})",
            next_step="Check the owner's and the repository's name, and that the platform's account may see it.",
        )
    return PermanentError(
        "forge_refused",
        f"the forge refused with {error.status}: {what} ({words})",
        next_step="Look at the repository on the forge, put right what it says, and retry.",
    )

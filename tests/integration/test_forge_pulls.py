"""What the forge tells of pull requests, as GitHub does: labels, forks, comments; by the hook of an organisation."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import pytest
from github import Github
from github.Repository import Repository

from services.gateway.domain.forge_events import KnownPull, PullAsk, read
from tests.integration.forge_process import ForgeProcess, forge_process, refused
from tests.stand_ins import wait_until

_NUMBERS = count(1)
EVENTS = ["pull_request", "issue_comment", "workflow_run", "deployment_status"]


class Listener:
    """Whoever is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                heard.append((self.headers["X-GitHub-Event"], json.loads(body)))
                self.send_response(202)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as above
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def of(self, repo: Repository, *actions: str) -> list[tuple[str, dict[str, Any]]]:
        """What was told of a repository, once all these actions were, in their order."""

        def told() -> list[tuple[str, dict[str, Any]]]:
            return [one for one in self.heard if one[1]["repository"]["full_name"] == repo.full_name]

        wait_until(lambda: sorted(one[1]["action"] for one in told()) == sorted(actions))
        return told()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForgeProcess]:
    with forge_process(tmp_path_factory.mktemp("forge")) as running:
        yield running


@pytest.fixture(scope="module")
def gh(forge: ForgeProcess) -> Github:
    return forge.client()


@pytest.fixture(scope="module")
def listener(gh: Github) -> Iterator[Listener]:
    """An organisation's hook, and who is behind it."""
    found = Listener()
    gh.get_organization("acme").create_hook("web", {"url": found.url, "content_type": "json", "secret": "s"}, EVENTS)
    yield found
    found.close()


@pytest.fixture
def repo(gh: Github) -> Repository:
    return gh.get_organization("acme").create_repo(f"app-{next(_NUMBERS)}", auto_init=True)


def branch(repo: Repository, name: str = "colours") -> str:
    """A branch with one commit more; answers that commit."""
    repo.create_git_ref(f"refs/heads/{name}", repo.get_git_ref("heads/main").object.sha)
    return str(repo.create_file(f"{name}.txt", f"Add {name}", "x", branch=name)["commit"].sha)


def test_an_organisations_hook_hears_of_labels_and_comments_in_githubs_words(
    repo: Repository, gh: Github, listener: Listener
) -> None:
    head = branch(repo)
    pull = repo.create_pull("main", "colours", title="Colours")
    pull.add_to_labels("preview")
    pull.create_issue_comment("/slipway preview")
    pull.remove_from_labels("preview")
    pull.edit(state="closed")
    told = listener.of(repo, "opened", "labeled", "created", "unlabeled", "closed")
    asks = [read(event, payload) for event, payload in told]
    pulls = [pull for pull, _ in asks if pull is not None]
    assert {(one.number, one.commit, one.branch, one.base, one.from_fork) for one in pulls} == {
        (pull.number, head, "colours", "main", False)
    }
    wants = [ask for _, ask in asks if isinstance(ask, PullAsk)]
    assert sorted((ask.want, ask.by_comment, ask.is_vouched_for) for ask in wants) == [
        ("no preview", False, True),
        ("no preview", False, True),
        ("preview", False, True),
        ("preview", True, True),
    ]
    # It stands among the organisation's hooks, not among the repository's.
    assert list(repo.get_hooks()) == []
    [hook] = gh.get_organization("acme").get_hooks()
    assert (hook.events, hook.config["url"], hook.config["secret"]) == (EVENTS, listener.url, "********")


def test_only_an_admin_sees_or_makes_an_organisations_hooks(forge: ForgeProcess) -> None:
    other = forge.client(next(login for login in forge.tokens if login != "slipway"))
    assert refused(lambda: list(other.get_organization("acme").get_hooks())).status == 403


def test_a_forks_pull_request_brings_its_commits_and_follows_it(
    repo: Repository, forge: ForgeProcess, listener: Listener
) -> None:
    login = next(login for login in forge.tokens if login != "slipway")
    theirs = forge.client(login)
    fork = theirs.get_repo(repo.full_name).create_fork()
    assert (fork.fork, fork.full_name) == (True, f"{login}/{repo.name}")
    assert theirs.get_repo(repo.full_name).create_fork().id == fork.id
    head = branch(fork)
    pull = theirs.get_repo(repo.full_name).create_pull("main", f"{login}:colours", title="Colours")
    assert (pull.head.sha, pull.head.repo.full_name, pull.base.repo.full_name) == (
        head,
        fork.full_name,
        repo.full_name,
    )
    again = refused(lambda: repo.create_pull("main", f"{login}:colours", title="Again"))
    assert again.status == 422
    # What was offered can be built upon here, as on GitHub.
    assert repo.get_git_commit(head).message == "Add colours"
    newer = str(fork.create_file("more.txt", "More", "x", branch="colours")["commit"].sha)
    wait_until(lambda: repo.get_pull(pull.number).head.sha == newer)
    assert repo.get_git_commit(newer).message == "More"
    known = [read(event, payload)[0] for event, payload in listener.of(repo, "opened", "synchronize")]
    assert [one.from_fork for one in known if isinstance(one, KnownPull)] == [True, True]
    assert [one.number for one in repo.get_pulls(head=f"{login}:colours")] == [pull.number]
    assert list(repo.get_pulls(head="acme:colours")) == []
    theirs.get_repo(fork.full_name).delete()
    assert repo.get_pull(pull.number).head.repo is None
    assert repo.get_pull(pull.number).merge().merged

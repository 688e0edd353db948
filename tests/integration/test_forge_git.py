"""The forge as Git sees it: real clones and pushes, and what follows from a push."""

import contextlib
import hashlib
import hmac
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from github.Repository import Repository
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploy.embedded import leftovers
from deploy.embedded.forge.accounts import Accounts
from deploy.embedded.forge.bare import Bare, RefMovedError
from deploy.embedded.forge.git import ZERO_SHA, Git
from deploy.embedded.forge.objects import TreeEntry, format_tree
from deploy.embedded.forge.people import now_by
from deploy.embedded.forge.pushes import Push, Pushes
from deploy.embedded.forge.records import Repositories
from deploy.embedded.forge.store import Store
from tests.integration.forge_process import ForgeProcess, forge_process
from tests.waiting import until

_NUMBERS = count(1)
_TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
_TRACEPARENT = f"00-{_TRACE_ID}-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForgeProcess]:
    extra = {"SLIPWAY_FORGE_PACK_LIMIT_BYTES": str(4 * 1024 * 1024), "SLIPWAY_FORGE_DELIVERY_RETRY_SECONDS": "0.05"}
    with forge_process(tmp_path_factory.mktemp("forge"), extra) as running:
        yield running


@pytest.fixture
def repo(forge: ForgeProcess) -> Repository:
    return forge.client().get_organization("acme").create_repo(f"app-{next(_NUMBERS)}", auto_init=True)


def git(*arguments: str, at: Path, succeeds: bool = True) -> str:
    """Runs git as a person would; what it said, errors included."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(at),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.test",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.test",
    }
    ran = subprocess.run(
        ["git", *arguments], cwd=at, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    said = ran.stdout + ran.stderr
    assert (ran.returncode == 0) == succeeds, said
    return said


def clone(forge: ForgeProcess, repo: Repository, at: Path, login: str = "dev") -> Path:
    git("clone", "-q", forge.clone_url(repo.full_name, login), "work", at=at)
    return at / "work"


def commit(work: Path, name: str, content: str = "x\n") -> str:
    (work / name).write_text(content)
    git("add", "-A", at=work)
    git("commit", "-q", "-m", f"Change {name}", at=work)
    return git("rev-parse", "HEAD", at=work).strip()


# Clone and push


def test_what_is_pushed_is_what_the_api_and_the_next_clone_see(
    forge: ForgeProcess, repo: Repository, tmp_path: Path
) -> None:
    work = clone(forge, repo, tmp_path)
    sha = commit(work, "index.js", "console.log(1)\n")
    git("push", "-q", "origin", "HEAD:main", "HEAD:refs/heads/feature", at=work)
    assert repo.get_branch("main").commit.sha == sha == repo.get_branch("feature").commit.sha
    assert repo.get_contents("index.js").decoded_content == b"console.log(1)\n"  # type: ignore[union-attr]
    git("clone", "-q", "--depth=1", forge.clone_url(repo.full_name), "again", at=tmp_path)
    assert (tmp_path / "again/index.js").read_text() == "console.log(1)\n"


def test_what_the_api_writes_passes_gits_own_check(forge: ForgeProcess, repo: Repository, tmp_path: Path) -> None:
    repo.create_file("a/b/ü 漢.txt", "Nested\n\nwith \x00 and 😀", "x")
    repo.create_git_ref("refs/heads/topic", repo.get_branch("main").commit.sha)
    repo.create_file("topic", "Topic", "x", branch="topic")
    repo.create_pull("main", "topic", title="T").merge()
    bare = forge.data / "repositories" / f"{repo.id}.git"
    assert "error" not in git("--git-dir", str(bare), "fsck", "--strict", "--full", at=tmp_path)
    work = clone(forge, repo, tmp_path)
    assert (work / "a/b/ü 漢.txt").read_text() == "x"


def test_the_first_branch_becomes_the_default(forge: ForgeProcess, tmp_path: Path) -> None:
    empty = forge.client("dev").get_organization("acme").create_repo(f"app-{next(_NUMBERS)}")
    work = clone(forge, empty, tmp_path)
    git("checkout", "-q", "-b", "trunk", at=work)
    commit(work, "a")
    git("push", "-q", "origin", "trunk", at=work)
    assert forge.client().get_repo(empty.full_name).default_branch == "trunk"


def test_a_pull_requests_head_can_be_fetched_and_not_pushed(
    forge: ForgeProcess, repo: Repository, tmp_path: Path
) -> None:
    work = clone(forge, repo, tmp_path)
    git("checkout", "-q", "-b", "topic", at=work)
    commit(work, "a")
    git("push", "-q", "origin", "topic", at=work)
    number = repo.create_pull("main", "topic", title="T").number
    sha = commit(work, "b")
    git("push", "-q", "origin", "topic", at=work)
    assert repo.get_pull(number).head.sha == sha
    git("fetch", "-q", "origin", f"refs/pull/{number}/head", at=work)
    assert git("rev-parse", "FETCH_HEAD", at=work).strip() == sha
    said = git("push", "origin", f"HEAD:refs/pull/{number}/head", at=work, succeeds=False)
    assert "deny updating a hidden ref" in said


def test_a_pull_request_whose_commits_are_pushed_to_its_base_is_merged(
    forge: ForgeProcess, repo: Repository, tmp_path: Path
) -> None:
    work = clone(forge, repo, tmp_path)
    git("checkout", "-q", "-b", "topic", at=work)
    commit(work, "a")
    git("push", "-q", "origin", "topic", at=work)
    pull = repo.create_pull("main", "topic", title="T")
    git("push", "-q", "origin", "topic:main", at=work)
    assert repo.get_pull(pull.number).merged


# Refusals


def test_nobody_reads_or_pushes_without_a_token(forge: ForgeProcess, repo: Repository, tmp_path: Path) -> None:
    bare = f"127.0.0.1:{forge.port}/{repo.full_name}.git"
    for url in (f"http://{bare}", f"http://dev:wrong@{bare}", f"http://dev:@{bare}"):
        said = git("clone", url, "none", at=tmp_path, succeeds=False)
        assert "Authentication failed" in said or "could not read Username" in said


def test_pushes_are_refused_by_role_and_by_archiving(forge: ForgeProcess, repo: Repository, tmp_path: Path) -> None:
    platform = forge.client().get_organization("platform").create_repo(f"app-{next(_NUMBERS)}", auto_init=True)
    work = clone(forge, platform, tmp_path)
    commit(work, "a")
    assert "403" in git("push", "origin", "main", at=work, succeeds=False)
    mine = tmp_path / "mine"
    mine.mkdir()
    work = clone(forge, repo, mine)
    commit(work, "a")
    repo.edit(archived=True)
    assert "archived" in git("push", "origin", "main", at=work, succeeds=False)
    git("fetch", "origin", at=work)


def test_a_protected_branch_is_not_rewritten_or_removed_by_a_push(
    forge: ForgeProcess, repo: Repository, tmp_path: Path
) -> None:
    must_be_there = ("required_status_checks", "enforce_admins", "required_pull_request_reviews", "restrictions")
    protection = f"{repo.url}/branches/stable/protection"
    work = clone(forge, repo, tmp_path, "slipway")
    git("push", "-q", "origin", "main:stable", at=work)
    repo.requester.requestJsonAndCheck("PUT", protection, input=dict.fromkeys(must_be_there))
    first = commit(work, "a")
    git("push", "-q", "origin", "main:stable", at=work)
    git("commit", "-q", "--amend", "-m", "Rewritten", at=work)
    assert "cannot be rewritten" in git("push", "--force", "origin", "main:stable", at=work, succeeds=False)
    assert "cannot be deleted" in git("push", "origin", ":stable", at=work, succeeds=False)
    assert repo.get_branch("stable").commit.sha == first
    git("push", "-q", "--force", "origin", "main:mine", at=work)
    repo.requester.requestJsonAndCheck("DELETE", protection)
    git("push", "-q", "--force", "origin", "main:stable", at=work)


def test_a_pack_beyond_the_limit_is_refused(forge: ForgeProcess, repo: Repository, tmp_path: Path) -> None:
    work = clone(forge, repo, tmp_path)
    (work / "big").write_bytes(os.urandom(6 * 1024 * 1024))
    git("add", "-A", at=work)
    git("commit", "-q", "-m", "Big", at=work)
    git("push", "origin", "main", at=work, succeeds=False)
    git("config", "http.postBuffer", str(64 * 1024 * 1024), at=work)
    git("push", "origin", "main", at=work, succeeds=False)
    assert [each.commit.message for each in repo.get_commits()] == ["Initial commit"]
    assert forge.http.get(f"{forge.url}/readyz").status_code == 200


def test_a_malformed_tree_is_refused(forge: ForgeProcess, repo: Repository, tmp_path: Path) -> None:
    work = clone(forge, repo, tmp_path)
    blob = git("rev-parse", "HEAD:README.md", at=work).strip()
    tree = hashlib.sha1(b"", usedforsecurity=False)  # Git's own tools make no such tree, so it is made by hand.
    content = format_tree([TreeEntry("100644", ".git", blob)])
    tree.update(b"tree %d\0" % len(content) + content)
    (tmp_path / "tree").write_bytes(content)
    name = git("hash-object", "-w", "-t", "tree", "--literally", str(tmp_path / "tree"), at=work).strip()
    assert name == tree.hexdigest()
    evil = git("commit-tree", "-m", "Evil", name, at=work).strip()
    assert "hasDotgit" in git("push", "origin", f"{evil}:refs/heads/evil", at=work, succeeds=False)


def test_only_the_smart_protocol_is_served(forge: ForgeProcess, repo: Repository) -> None:
    base = f"{forge.url}/{repo.full_name}.git"
    paths = ["info/refs", "info/refs?service=git-upload-archive", "info/refs?service=--upload-pack=touch+x"]
    answers = [forge.http.get(f"{base}/{path}", headers=forge.headers()) for path in paths]
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    for path in ("HEAD", "config", "objects/info/packs", "hooks/post-receive"):
        assert forge.http.get(f"{base}/{path}", headers=forge.headers()).status_code == 404


# What follows from a push


@dataclass
class Inbox:
    """A receiver of webhooks that fails as often as it is told to."""

    failures: int = 0
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [json.loads(body) for headers, body in self.received if headers["x-github-event"] == event]


@contextlib.contextmanager
def listening(inbox: Inbox) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            inbox.failures -= 1
            if inbox.failures < 0:
                inbox.received.append(({key.lower(): value for key, value in self.headers.items()}, body))
            self.send_response(200 if inbox.failures < 0 else 503)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_push_is_delivered_signed_and_retried(forge: ForgeProcess, repo: Repository, tmp_path: Path) -> None:
    inbox = Inbox(failures=3)
    with listening(inbox) as url:
        repo.create_hook("web", {"url": url, "content_type": "json", "secret": "k"}, ["push"])
        await until(lambda: inbox.of("ping"), what="the ping after three failures")
        work = clone(forge, repo, tmp_path)
        before = repo.get_branch("main").commit.sha
        sha = commit(work, "a.txt")
        git("push", "-q", "origin", "main", at=work)
        await until(lambda: inbox.of("push"), what="the push")
    headers, body = inbox.received[-1]
    assert headers["x-hub-signature-256"] == "sha256=" + hmac.new(b"k", body, "sha256").hexdigest()
    (push,) = inbox.of("push")
    assert (push["ref"], push["before"], push["after"]) == ("refs/heads/main", before, sha)
    assert [(each["id"], each["added"]) for each in push["commits"]] == [(sha, ["a.txt"])]
    assert (push["repository"]["id"], push["pusher"]["name"], push["forced"]) == (repo.id, "dev", False)


async def test_issues_comments_pulls_and_deployments_are_delivered(repo: Repository) -> None:
    inbox = Inbox()
    with listening(inbox) as url:
        repo.create_hook("web", {"url": url, "content_type": "json", "secret": "k"}, ["*"])
        repo.create_issue("Bug").create_comment("Hm")
        repo.create_git_ref("refs/heads/topic", repo.get_branch("main").commit.sha)
        repo.create_file("t", "T", "x", branch="topic")
        repo.create_pull("main", "topic", title="T").merge()
        repo.create_deployment("main").create_status("success")
        wanted = {"ping", "issues", "issue_comment", "push", "pull_request", "deployment", "deployment_status"}
        await until(lambda: {headers["x-github-event"] for headers, _ in inbox.received} >= wanted)
        await until(lambda: len(inbox.of("pull_request")) == 2)
    assert [each["action"] for each in inbox.of("pull_request")] == ["opened", "closed"]
    assert inbox.of("pull_request")[1]["pull_request"]["merged"] is True


async def test_a_hook_hears_only_what_it_asked_for(repo: Repository) -> None:
    inbox = Inbox()
    with listening(inbox) as url:
        repo.create_hook("web", {"url": url, "content_type": "json"}, ["issues"])
        repo.create_file("x", "X", "x")
        repo.create_issue("Bug")
        await until(lambda: inbox.of("issues"))
    assert not inbox.of("push")


async def test_a_delivery_that_was_not_made_is_made_after_a_restart(tmp_path: Path) -> None:
    inbox = Inbox(failures=10**6)
    with forge_process(tmp_path) as forge, listening(inbox) as url:
        repo = forge.client().get_organization("acme").create_repo("app", auto_init=True)
        repo.create_hook("web", {"url": url, "content_type": "json"}, ["push"])
        await until(lambda: inbox.failures < 10**6, what="the first try")
        forge.kill()
        inbox.failures = 0
        forge.start()
        await until(lambda: inbox.of("ping"))


async def test_a_trace_goes_through_the_forge_and_on_to_the_hook(tmp_path: Path) -> None:
    inbox, spans = Inbox(), Inbox()
    with contextlib.ExitStack() as stack:
        hook, otlp = stack.enter_context(listening(inbox)), stack.enter_context(listening(spans))
        extra = {"SLIPWAY_OTLP_ENDPOINT": otlp.removesuffix("/hook")}
        spans.failures = 0
        forge = stack.enter_context(forge_process(tmp_path, extra))
        repo = forge.client().get_organization("acme").create_repo("app", auto_init=True)
        repo.create_hook("web", {"url": hook, "content_type": "json"}, ["push"])
        content = {"message": "m", "content": "eA=="}
        headers = forge.headers() | {"traceparent": _TRACEPARENT}
        async with httpx.AsyncClient(headers=headers) as client:
            answer = await client.put(f"{forge.api}/repos/acme/app/contents/x", json=content)
        assert answer.status_code == 201
        await until(lambda: inbox.of("push"))
        pushed = next(headers for headers, _ in inbox.received if headers["x-github-event"] == "push")
        assert pushed["traceparent"].split("-")[1] == _TRACE_ID

        def found() -> list[tuple[str, str]]:
            requests = [ExportTraceServiceRequest.FromString(body) for _, body in spans.received]
            return [
                (span.name, span.parent_span_id.hex())
                for request in requests
                for each in request.resource_spans
                for scope in each.scope_spans
                for span in scope.spans
                if span.trace_id.hex() == _TRACE_ID
            ]

        name = "PUT /repos/{owner}/{repo}/contents/{path:path}"
        assert await until(found) == [(name, "b7ad6b7169203331")]
        assert "forge" in {
            attribute.value.string_value
            for _, body in spans.received
            for each in ExportTraceServiceRequest.FromString(body).resource_spans
            for attribute in each.resource.attributes
            if attribute.key == "service.name"
        }


# Killed at the wrong moment


@dataclass
class Parts:
    """The forge's inner parts over a directory, with a listener that remembers."""

    directory: Path
    heard: list[Push] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.directory / "forge.db")
        self.accounts = Accounts(self.store)
        self.repositories = Repositories(self.store)
        self.git = Git(self.directory, pack_limit_bytes=10**6)
        self.pushes = Pushes(self.store, self.git, self.accounts, self.repositories)
        self.pushes.listeners.append(self.heard.append)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    owner = made.accounts.ensure("acme", "Organization", base_permission="write")
    made.accounts.ensure("dev", "User")
    made.store.insert(
        "repositories", owner_id=owner.id, name="app", created_at="2026-01-01T00:00:00Z", updated_at="2026"
    )
    made.git.create(1, "acme/app", "main")
    yield made
    made.git.close()
    made.store.close()


def first_commit(parts: Parts, message: str = "First") -> str:
    bare = Bare(parts.git, 1)
    person = now_by(parts.accounts.by_id(2))
    return bare.write_commit(bare.write("tree", b""), [], person, person, message).sha


def intend(parts: Parts, after: str, source: str = "s") -> None:
    row = {"repository_id": 1, "source": source, "ref": "refs/heads/main", "before_sha": ZERO_SHA, "after_sha": after}
    parts.store.insert("pushes", **row, pusher_id=2, state="intended", created_at="2026-01-01T00:00:00Z")


def test_a_move_that_happened_before_a_kill_is_announced_afterwards(parts: Parts) -> None:
    sha = first_commit(parts)
    intend(parts, sha)
    Bare(parts.git, 1).move_ref("refs/heads/main", sha, ZERO_SHA)
    parts.pushes.recover()
    assert [(push.branch, push.after, push.created) for push in parts.heard] == [("main", sha, True)]
    parts.pushes.recover()
    assert len(parts.heard) == 1


def test_a_move_that_never_happened_is_forgotten(parts: Parts) -> None:
    intend(parts, first_commit(parts))
    parts.pushes.recover()
    assert not parts.heard
    assert parts.store.count("SELECT count(*) FROM pushes") == 0


def test_a_record_in_the_spool_is_taken_once(parts: Parts) -> None:
    sha = first_commit(parts)
    record = parts.git.spool / "record"
    for _ in range(2):
        record.write_text(f"1 2 {_TRACEPARENT}\n{ZERO_SHA} {sha} refs/heads/main\n{ZERO_SHA} {sha} refs/tags/v1\n")
        (parts.git.spool / "half.part").write_text("1 2")
        parts.pushes.recover()
    assert [(push.ref, push.traceparent) for push in parts.heard] == [
        ("refs/heads/main", _TRACEPARENT),
        ("refs/tags/v1", _TRACEPARENT),
    ]
    assert not list(parts.git.spool.iterdir())


def test_a_listener_that_fails_keeps_nobody_from_hearing_and_hears_again(parts: Parts) -> None:
    failures = [RuntimeError("not today")]

    def moody(push: Push) -> None:
        if failures:
            raise failures.pop()

    parts.pushes.listeners.insert(0, moody)
    repository, dev = parts.repositories.known(1), parts.accounts.by_id(2)
    parts.pushes.move_ref(repository, dev, "refs/heads/main", first_commit(parts), ZERO_SHA)
    assert len(parts.heard) == 1
    parts.pushes.recover()
    assert [push.id for push in parts.heard] == [1, 1]


def test_a_refused_move_leaves_no_record(parts: Parts) -> None:
    repository, dev = parts.repositories.known(1), parts.accounts.by_id(2)
    sha = first_commit(parts)
    with pytest.raises(RefMovedError):
        parts.pushes.move_ref(repository, dev, "refs/heads/main", sha, first_commit(parts, "Other"))
    assert parts.store.count("SELECT count(*) FROM pushes") == 0


def test_a_creation_that_was_killed_half_way_can_be_done_again(parts: Parts) -> None:
    left = parts.git.directory(2)
    (left / "objects").mkdir(parents=True)
    parts.git.create(2, "acme/other", "main")
    assert Bare(parts.git, 2).is_empty()


def _line_of(process: psutil.Process) -> str:
    """Nothing for one that has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_a_reader_that_was_killed_is_replaced(parts: Parts) -> None:
    bare = Bare(parts.git, 1)
    sha = first_commit(parts)
    assert bare.commit(sha) is not None
    children = [child for child in psutil.Process().children() if "cat-file" in _line_of(child)]
    for child in children:
        child.kill()
        child.wait()
    assert bare.commit(sha) is not None


async def test_a_killed_forge_leaves_no_process_and_loses_no_push(tmp_path: Path) -> None:
    with forge_process(tmp_path) as forge:
        repo = forge.client().get_organization("acme").create_repo("app", auto_init=True)
        work = clone(forge, repo, tmp_path)
        sha = commit(work, "a")
        git("push", "-q", "origin", "main", at=work)
        assert forge.child is not None
        children = psutil.Process(forge.child.process.pid).children(recursive=True)
        assert children, "the long-lived reader"
        forge.kill()
        await until(lambda: not any(map(leftovers.is_alive, children)), what="the end of its children")
        forge.start()
        assert forge.client().get_repo("acme/app").get_branch("main").commit.sha == sha

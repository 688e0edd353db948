"""The forge against people who mean harm: names, paths, bodies, tokens, other sites, hooks into somebody's network."""

import base64
import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from github import InputGitAuthor, InputGitTreeElement
from github.Repository import Repository

from tests.integration.forge_process import ForgeProcess, forge_process, refused

_NUMBERS = count(1)
_HOSTILE: dict[str, list[str]] = yaml.safe_load((Path(__file__).parents[1] / "data/hostile_inputs.yaml").read_text())
# Harmless on the forge, as on GitHub: they are no more than names there.
_HARMLESS_REPOSITORIES = {"kube-system", "xn--a", "a_b", "a.b", "A", "1a", "a-", "a" * 64}
_EVIL_PATHS = [
    "../../etc/passwd",
    "/etc/passwd",
    "a/../b",
    "a//b",
    ".git/config",
    ".GIT/hooks/post-receive",
    "a/.git",
    "git~1/config",
    ".git ./x",
    ".g\u200cit/config",
    ".git::$INDEX_ALLOCATION/x",
    "a\\..\\b",
    "a\nb",
    "a\0b",
    "./a",
    "a/.",
    "/".join("d" * 200),
]
_EVIL_URLS = [
    "http://169.254.169.254/latest",
    "http://10.0.0.1/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://0.0.0.0/",
    "http://localhost@evil.test/",
    "http://localhost.evil.test/",
    "http://evil.test#@127.0.0.1/",
    "http://127.0.0.1:99999/",
    "https://[::ffff:10.0.0.1]/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "",
]


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForgeProcess]:
    extra = {"SLIPWAY_FORGE_JSON_LIMIT_BYTES": str(1024 * 1024)}
    with forge_process(tmp_path_factory.mktemp("forge"), extra) as running:
        yield running
        assert not list(running.directory.rglob("pwn*")), "something that was typed has run"


@pytest.fixture
def repo(forge: ForgeProcess) -> Repository:
    return forge.client().get_organization("acme").create_repo(f"app-{next(_NUMBERS)}", auto_init=True)


@pytest.fixture(scope="module")
def shared(forge: ForgeProcess) -> Repository:
    """For attacks that leave nothing behind but names."""
    return forge.client().get_organization("acme").create_repo("shared", auto_init=True)


@pytest.fixture(autouse=True)
def stays_alive(forge: ForgeProcess) -> Iterator[None]:
    """Whatever was tried: it still answers, and it did not stumble."""
    yield
    assert forge.http.get(f"{forge.url}/readyz").status_code == 200
    assert "request_failed" not in forge.log


def post(forge: ForgeProcess, path: str, **more: Any) -> httpx.Response:
    return forge.http.post(f"{forge.api}{path}", headers=forge.headers(), **more)


# Names and paths


@pytest.mark.parametrize("name", [*_HOSTILE["names"], "..", ".", "a.git", "a.GIT", "-rf", "a/b", "x" * 101])
def test_a_name_that_is_none_is_refused_and_not_echoed(forge: ForgeProcess, name: str) -> None:
    answer = post(forge, "/orgs/acme/repos", json={"name": name})
    if name in _HARMLESS_REPOSITORIES:
        assert answer.status_code == 201
        return
    assert answer.status_code == 422
    assert len(name) < 3 or name not in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("name", ["api", "repos", "..", "a--b", "-a", "a b", "x" * 40, "ACME"])
def test_an_organisation_cannot_take_a_word_of_the_forge(forge: ForgeProcess, name: str) -> None:
    assert post(forge, "/admin/organizations", json={"login": name}).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/acme/..%2f..%2f..%2fetc/info/refs?service=git-upload-pack",
        "/acme/../../data/forge.db",
        "/../forge.db",
        "/acme/%2e%2e/info/refs?service=git-upload-pack",
        "/1.git/info/refs?service=git-upload-pack",
        "/acme/1/info/refs?service=git-upload-pack",
        "/assets/../forge.db",
        "/assets/%2e%2e/schema.sql",
        "/acme/%00/info/refs?service=git-upload-pack",
    ],
)
def test_no_address_reaches_a_path_on_disk(forge: ForgeProcess, shared: Repository, path: str) -> None:
    request = httpx.Request("GET", forge.url, headers=forge.headers(), extensions={"target": path.encode()})
    answer = forge.http.send(request)
    assert answer.status_code in {400, 404}


@pytest.mark.parametrize("path", _EVIL_PATHS)
def test_a_tree_takes_no_path_that_is_dangerous_to_check_out(
    forge: ForgeProcess, shared: Repository, path: str
) -> None:
    element = {"path": path, "mode": "100644", "type": "blob", "content": "x"}
    answer = post(forge, f"/repos/{shared.full_name}/git/trees", json={"tree": [element]})
    assert answer.status_code == 422


def test_a_tree_takes_no_object_that_is_not_what_it_says(forge: ForgeProcess, shared: Repository) -> None:
    tree, url = shared.get_git_tree("main").sha, f"/repos/{shared.full_name}/git/trees"
    for mode, sha in (("100644", tree), ("040000", "0" * 40), ("100644", "HEAD"), ("100644", "--help")):
        element = {"path": "a", "mode": mode, "sha": sha}
        assert post(forge, url, json={"tree": [element]}).status_code == 422
    nested = [{"path": path, "mode": "100644", "content": "x"} for path in ("a", "a/b")]
    assert post(forge, url, json={"tree": nested}).status_code == 422


@pytest.mark.parametrize("path", ["..%2f..%2fetc/passwd", "%2e%2e/%2e%2e/etc/passwd", "a%00b", ".git/config"])
def test_contents_are_read_from_git_only(forge: ForgeProcess, shared: Repository, path: str) -> None:
    request = httpx.Request(
        "GET",
        forge.url,
        headers=forge.headers(),
        extensions={"target": f"/api/v3/repos/{shared.full_name}/contents/{path}".encode()},
    )
    assert forge.http.send(request).status_code in {400, 404}


@pytest.mark.parametrize("branch", [name for name in _HOSTILE["branches"] if not _HOSTILE["branches"].count(name) > 1])
def test_a_hostile_branch_is_refused_or_only_a_name(forge: ForgeProcess, shared: Repository, branch: str) -> None:
    sha = shared.get_branch("main").commit.sha
    answer = post(forge, f"/repos/{shared.full_name}/git/refs", json={"ref": f"refs/heads/{branch}", "sha": sha})
    assert answer.status_code in {201, 422}
    if answer.status_code == 201:
        assert answer.json()["ref"] == f"refs/heads/{branch}"
        assert [each.name for each in shared.get_branches() if each.name == branch] == [branch]


@pytest.mark.parametrize("revision", ["--upload-pack=touch pwn", "--output=pwn", "main..x", "@{-1}", ":/x", "^main"])
def test_a_revision_is_never_an_option(forge: ForgeProcess, shared: Repository, revision: str) -> None:
    for path, key in (("commits", "sha"), ("contents/README.md", "ref")):
        answer = forge.http.get(
            f"{forge.api}/repos/{shared.full_name}/{path}", params={key: revision}, headers=forge.headers()
        )
        assert answer.status_code == 404
    assert post(forge, f"/repos/{shared.full_name}/deployments", json={"ref": revision}).status_code == 409
    options = {"author": revision, "path": "README.md"}
    listed = forge.http.get(f"{forge.api}/repos/{shared.full_name}/commits", params=options, headers=forge.headers())
    assert listed.json() == []


def test_a_path_that_is_a_pattern_is_taken_literally(shared: Repository) -> None:
    assert shared.get_commits(path=":(glob)**").totalCount == 0
    assert shared.get_commits(path="*").totalCount == 0


# Text


@pytest.mark.parametrize("text", _HOSTILE["texts"])
def test_free_text_is_kept_and_shown_literally(forge: ForgeProcess, shared: Repository, text: str) -> None:
    issue = shared.create_issue(text[:250], body=text)
    issue.create_comment(text)
    assert shared.get_issue(issue.number).body == text
    shared.create_file(f"docs/{issue.number}.txt", text, text)
    contents = shared.get_contents(f"docs/{issue.number}.txt")
    assert not isinstance(contents, list)
    assert contents.decoded_content.decode() == text
    for page in (f"issues/{issue.number}", "", f"blob/main/docs/{issue.number}.txt", "commit/main"):
        answer = forge.http.get(f"{forge.url}/{shared.full_name}/{page}".rstrip("/"), headers=forge.headers())
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text


def test_pages_carry_a_policy_that_runs_nothing(forge: ForgeProcess, repo: Repository) -> None:
    repo.create_file("evil.html", "Add", "<script>alert(1)</script>")
    for path in ("", f"{repo.full_name}", f"{repo.full_name}/raw/main/evil.html", "acme"):
        answer = forge.http.get(f"{forge.url}/{path}", headers=forge.headers())
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert (
        forge.http.get(f"{forge.url}/{repo.full_name}/raw/main/evil.html", headers=forge.headers())
        .headers["content-type"]
        .startswith("text/plain")
    )


def test_a_name_or_message_cannot_forge_a_commits_headers(shared: Repository) -> None:
    tree = shared.get_git_tree("main")
    author = InputGitAuthor("Eve <x> 1 +0000\nparent " + "0" * 40, "e@x>\ncommitter y", "2026-01-01T00:00:00Z")
    made = shared.create_git_commit("m\n\nparent " + "1" * 40, tree, [], author=author)
    assert made.parents == []
    assert made.author.name.startswith("Eve x 1")


# Bodies


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000, 400),
        (b'{"name":' * 100_000, 400),
        (b'{"name": "\\ud800"}', 400),
        (b'{"name": 1' + b"0" * 5_000 + b"}", 400),
        (b'{"name": NaN}', 422),
        (b'{"name": null}', 422),
        (b"null", 422),
        (b"[]", 422),
        (b"\xff\xfe", 400),
        (b"{", 400),
        (b'{"name": "x"} trailing', 400),
        (b'{"name": "' + b"x" * 2_000_000 + b'"}', 413),
    ],
)
def test_a_body_that_is_no_request_is_refused(forge: ForgeProcess, body: bytes, status: int) -> None:
    assert post(forge, "/orgs/acme/repos", content=body).status_code == status


def test_a_compressed_or_endless_body_is_refused(forge: ForgeProcess) -> None:
    headers = forge.headers() | {"Content-Encoding": "gzip"}
    assert forge.http.post(f"{forge.api}/orgs/acme/repos", content=b"x", headers=headers).status_code == 415

    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 65_536

    assert post(forge, "/orgs/acme/repos", content=endless()).status_code == 413


def test_numbers_and_pages_beyond_reason_are_refused(forge: ForgeProcess, shared: Repository) -> None:
    for query in ("page=-1", "page=x", "per_page=" + "9" * 400, "page=\uff11"):
        answer = forge.http.get(f"{forge.api}/repos/{shared.full_name}/issues?{query}", headers=forge.headers())
        assert answer.status_code == 422
    for number in ("9" * 18, "9" * 19, "9" * 5000, "0", "-1", "1e3"):
        answer = forge.http.get(f"{forge.api}/repos/{shared.full_name}/issues/{number}", headers=forge.headers())
        assert answer.status_code == 404


# Who


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        "Basic !!!",
        "Basic " + base64.b64encode(b"slipway").decode(),
        "Basic " + base64.b64encode(b"slipway:\xff").decode(),
        "Digest x",
        "Bearer " + "x" * 10_000,
    ],
)
def test_without_a_token_nothing_is_told(forge: ForgeProcess, shared: Repository, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    paths = ("/api/v3/user", f"/api/v3/repos/{shared.full_name}", f"/repos/{shared.full_name}", f"/{shared.full_name}")
    answers = [forge.http.get(forge.url + path, headers=headers) for path in paths]
    answers.append(
        forge.http.get(f"{forge.url}/{shared.full_name}.git/info/refs?service=git-upload-pack", headers=headers)
    )
    assert [answer.status_code for answer in answers] == [401] * 5
    assert shared.name not in "".join(answer.text for answer in answers)
    there = forge.http.get(f"{forge.url}/acme/no-such-thing", headers=headers)
    assert (there.status_code, there.text) == (answers[3].status_code, answers[3].text)


def test_the_hash_of_a_token_is_not_a_token(forge: ForgeProcess) -> None:
    stored = (forge.directory / "tokens.json").read_text()
    assert forge.tokens["slipway"] not in stored
    digest = stored.split('"token_sha256": "')[1][:64]
    assert forge.http.get(f"{forge.api}/user", headers={"Authorization": f"Bearer {digest}"}).status_code == 401


def test_a_token_that_is_taken_away_stops_working_at_once(forge: ForgeProcess) -> None:
    forge.tokens["guest"] = "guest-token"
    forge.write_tokens({"slipway"})
    assert forge.http.get(f"{forge.api}/user", headers=forge.headers("guest")).json()["login"] == "guest"
    headers = forge.headers("guest")
    del forge.tokens["guest"]
    forge.write_tokens({"slipway"})
    assert forge.http.get(f"{forge.api}/user", headers=headers).status_code == 401


def test_a_private_place_looks_like_nothing_to_others(forge: ForgeProcess) -> None:
    mine = forge.client("dev").get_user().create_repo(f"secret-{next(_NUMBERS)}", auto_init=True)
    other = forge.client("other")
    hidden, missing = (refused(lambda n=name: other.get_repo(n)) for name in (mine.full_name, "dev/none"))  # type: ignore[misc]
    assert (hidden.status, hidden.data) == (missing.status, missing.data)
    url = f"{forge.url}/{mine.full_name}"
    assert forge.http.get(url, headers=forge.headers("other")).status_code == 404
    refs = f"{url}.git/info/refs?service=git-upload-pack"
    assert forge.http.get(refs, headers=forge.headers("other")).status_code == 404
    by_id = f"{forge.api}/repositories/{mine.id}"
    assert forge.http.get(by_id, headers=forge.headers("other")).status_code == 404
    assert other.search_repositories(mine.name).totalCount == 0


def test_one_may_not_change_what_another_wrote(forge: ForgeProcess) -> None:
    platform = forge.client().get_organization("platform").create_repo(f"app-{next(_NUMBERS)}", auto_init=True)
    issue = forge.client("dev").get_repo(platform.full_name).create_issue("Mine")
    theirs = forge.client("other").get_repo(platform.full_name).get_issue(issue.number)
    assert refused(lambda: theirs.edit(title="Yours")).status == 403
    assert refused(lambda: theirs.add_to_labels("x")).status == 403
    issue.edit(title="Still mine")


# From elsewhere


def test_another_site_changes_nothing_and_another_host_sees_nothing(forge: ForgeProcess, shared: Repository) -> None:
    for origin in ("https://evil.test", "null", f"{forge.url}.evil.test", "http://127.0.0.1"):
        headers = forge.headers() | {"Origin": origin, "Content-Type": "text/plain"}
        answer = forge.http.post(
            f"{forge.api}/repos/{shared.full_name}/issues", content=b'{"title":"x"}', headers=headers
        )
        assert answer.status_code == 403
    for host in ("evil.test", "127.0.0.1.evil.test", "", "a b", "[::1"):
        answer = forge.http.get(f"{forge.api}/user", headers=forge.headers() | {"Host": host})
        assert answer.status_code in {400, 421}


@pytest.mark.parametrize("url", _EVIL_URLS)
def test_a_hook_goes_to_this_machine_only(forge: ForgeProcess, shared: Repository, url: str) -> None:
    answer = post(forge, f"/repos/{shared.full_name}/hooks", json={"name": "web", "config": {"url": url}})
    assert answer.status_code == 422


def test_a_hooks_secret_is_never_shown_again(forge: ForgeProcess, repo: Repository) -> None:
    config = {"url": "http://127.0.0.1:9/", "content_type": "json", "secret": "very-secret-key"}
    hook = repo.create_hook("web", config, ["push"])
    hook.edit("web", hook.config | {"url": "http://127.0.0.1:9/other"})
    answer = forge.http.get(f"{forge.api}/repos/{repo.full_name}/hooks", headers=forge.headers())
    assert answer.json()[0]["config"]["secret"] == "********"
    with sqlite3.connect(forge.data / "forge.db") as database:
        assert database.execute("SELECT secret FROM hooks WHERE id = ?", [hook.id]).fetchone() == ("very-secret-key",)
    assert "very-secret-key" not in forge.log
    assert refused(lambda: forge.client("dev").get_repo(repo.full_name).get_hook(hook.id)).status == 403


def test_secrets_and_tokens_are_not_logged(forge: ForgeProcess, repo: Repository) -> None:
    repo.create_git_tree([InputGitTreeElement("x", "100644", "blob", content="x")])
    assert not any(token in forge.log for token in forge.tokens.values())
    modes = [path.stat().st_mode & 0o077 for path in (forge.data, forge.data / "forge.db")]
    assert modes == [0, 0]

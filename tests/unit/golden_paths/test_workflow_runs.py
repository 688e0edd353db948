"""The workflows, run for real (by `act`, without containers) on the skeletons they come with."""

import asyncio
import json
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import cast
from urllib.request import urlopen

import pytest

from contracts.runtime import Runtime
from tests.unit.golden_paths.samples import NODE, PATHS, PUBLISHED, needs_node, skeleton, workflow, written

ACT = Path(sys.executable).with_name("act")
ID_TOKEN = "header.payload.signature"
pytestmark = needs_node


class Platform:
    """What a runner sees of the world: where it gets its OpenID Connect token, and Slipway."""

    def __init__(self) -> None:
        self.url = ""
        self.token_requests: list[tuple[str, str | None]] = []
        self.deployments: list[tuple[str, str | None, Message]] = []
        self.answer = 200
        self.outcome: dict[str, object] = {"state": "succeeded"}


@pytest.fixture
def platform() -> Iterator[Platform]:
    seen = Platform()

    class Handler(BaseHTTPRequestHandler):
        def reply(self, status: int, body: Mapping[str, object]) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def do_GET(self) -> None:
            seen.token_requests.append((self.path, self.headers["authorization"]))
            self.reply(200, {"value": ID_TOKEN})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            form = message_from_bytes(b"content-type: " + self.headers["content-type"].encode() + b"\r\n\r\n" + body)
            seen.deployments.append((self.path, self.headers["authorization"], form))
            self.reply(seen.answer, seen.outcome)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    seen.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield seen
    server.shutdown()
    server.server_close()


@pytest.fixture
def golden_path() -> str:
    """Whose workflow is run, where a test does not say otherwise: what they share is the same in all of them."""
    return "nodejs-api"


@pytest.fixture
def checkout(tmp_path: Path, golden_path: str) -> Path:
    """A clone of a repository that Slipway made."""
    directory = written(asyncio.run(skeleton(golden_path=golden_path)), tmp_path / "app")
    target = directory / ".github/workflows/slipway-demo-api.yml"
    target.parent.mkdir(parents=True)
    target.write_bytes(asyncio.run(workflow(golden_path=golden_path)))
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "--message=Work"],
        ["remote", "add", "origin", "https://github.com/acme/demo-api.git"],
    ):
        subprocess.run(["git", *arguments], cwd=directory, check=True)
    return directory


def run(checkout: Path, platform: Platform, *variables: str, event: str = "push") -> subprocess.CompletedProcess[str]:
    payload = checkout.parent / "event.json"
    payload.write_text(json.dumps({"ref": "refs/heads/main"}))
    arguments = [str(ACT), event, "--platform", "ubuntu-latest=-self-hosted", "--eventpath", str(payload)]
    arguments += ["--actor", "ada", "--defaultbranch", "main"]
    arguments += ["--env", f"ACTIONS_ID_TOKEN_REQUEST_URL={platform.url}/token?v=1"]
    arguments += ["--env", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=runner", *(f"--var={variable}" for variable in variables)]
    home = {"HOME": str(checkout.parent / "home"), "PATH": f"{Path(shutil.which('node') or '').parent}:/usr/bin:/bin"}
    return subprocess.run(arguments, cwd=checkout, env=home, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.parametrize("golden_path", PUBLISHED)
def test_a_push_is_tested_and_its_release_handed_to_slipway(
    checkout: Path, platform: Platform, golden_path: str, tmp_path: Path
) -> None:
    done = run(checkout, platform, f"SLIPWAY_URL={platform.url}")

    assert done.returncode == 0, done.stdout[-4000:]
    assert platform.token_requests == [("/token?v=1&audience=slipway", "Bearer runner")]
    ((path, authorization, form),) = platform.deployments
    assert path == "/api/v1/environments/demo-api/deployments"
    assert authorization == f"Bearer {ID_TOKEN}"
    deployment, release = (cast("Message", part) for part in form.get_payload())
    told = json.loads(cast("bytes", deployment.get_payload(decode=True)))
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    assert told["commit"] == head.stdout.strip()
    assert (told["branch"], told["author"]) == ("main", "ada")
    with tarfile.open(fileobj=BytesIO(cast("bytes", release.get_payload(decode=True)))) as archive:
        names = set(archive.getnames())
        archive.extractall(tmp_path / "release")  # noqa: S202 - packed by our own workflow a moment ago
    assert "./package.json" in names
    assert not any(name.startswith(("./.git/", "./.github")) for name in names)
    assert ID_TOKEN not in done.stdout + done.stderr
    assert f"Deployed {told['commit'][:12]} to demo-api." in done.stdout
    check_it_starts(tmp_path / "release", asyncio.run(PATHS.find(golden_path)).runtime)


def check_it_starts(release: Path, runtime: Runtime) -> None:
    """What was handed over is all that is needed: it starts by the manifest's command and answers where it says."""
    environment = {"PATH": f"{Path(str(NODE)).parent}:/usr/bin:/bin", "HOST": "127.0.0.1"}
    if runtime.port_variable is None:
        done = subprocess.run(runtime.start, cwd=release, env=environment, capture_output=True, timeout=60, check=False)
        assert json.loads(done.stdout)["message"] == "configuration is wrong"  # there is no database to work with
        return
    environment[runtime.port_variable] = "0"
    process = subprocess.Popen(runtime.start, cwd=release, env=environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        port = json.loads(process.stdout.readline())["port"]
        for path in (runtime.health_path, runtime.ready_path):
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                assert answer.status == 200
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_without_the_variable_it_is_tested_and_says_that_nothing_was_deployed(
    checkout: Path, platform: Platform
) -> None:
    done = run(checkout, platform)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "Built and tested, but not deployed" in done.stdout
    assert platform.deployments == []
    assert platform.token_requests == []


def test_a_pull_request_is_tested_and_not_deployed(checkout: Path, platform: Platform) -> None:
    done = run(checkout, platform, f"SLIPWAY_URL={platform.url}", event="pull_request")
    assert done.returncode == 0, done.stdout[-4000:]
    assert "Run the tests" in done.stdout
    assert platform.deployments == []
    assert platform.token_requests == []


def test_what_fails_its_tests_is_not_deployed(checkout: Path, platform: Platform) -> None:
    (checkout / "test/broken.test.js").write_text(
        'import { test } from "node:test";\ntest("no", () => { throw 1; });\n'
    )
    done = run(checkout, platform, f"SLIPWAY_URL={platform.url}")
    assert done.returncode != 0
    assert platform.deployments == []


@pytest.mark.parametrize(
    ("status", "outcome", "said"),
    [
        (403, {"title": "Who is that?", "next_step": "Ask."}, "Not deployed. Who is that? Ask."),
        (200, {"state": "failed", "reason": "It is\n::not healthy", "lines": ["::error::no"]}, "It is ::not healthy"),
        (202, {}, "Not deployed. Slipway answered 202."),
    ],
)
def test_where_slipway_does_not_deploy_the_push_fails_and_says_why(
    checkout: Path, platform: Platform, status: int, outcome: dict[str, object], said: str
) -> None:
    platform.answer, platform.outcome = status, outcome
    done = run(checkout, platform, f"SLIPWAY_URL={platform.url}")
    assert done.returncode != 0
    assert said in done.stdout
    assert all(f"| {line}" in done.stdout for line in outcome.get("lines", ()))  # type: ignore[attr-defined]

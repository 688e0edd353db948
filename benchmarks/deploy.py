"""Push and it is live: how long that takes with the real platform, from `git push` to the new code at the address, and
whether anybody notices the switch. A platform of its own in a temporary home, on free ports."""

import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks.creation import Client, platform
from benchmarks.report import Figure, percentile
from deploy.embedded.ports import OFFSETS, ZONE, free_base

PUSHES = 7
SWITCHES = 20
VISITORS = 4
_NAME = "pushed"
_POLL_SECONDS = 0.02
_LIMIT_SECONDS = 120.0
_MARK = "It works. Edit src/routes.js."


def measure() -> list[Figure]:
    """The first deployment, pushes one after another, and switches under load."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as directory:
        base, home = free_base(), Path(directory) / "home"
        environment = {**os.environ, "SLIPWAY_HOME": str(home), "SLIPWAY_PORT_BASE": str(base)}
        with platform(environment):
            client = Client(f"http://127.0.0.1:{base}", (home / "keys" / "admin.token").read_text().strip())
            site = Site(f"http://127.0.0.1:{base + OFFSETS['ingress']}")
            began = time.perf_counter()
            client.create(_NAME)
            site.wait_for(_MARK)
            first = time.perf_counter() - began
            repository = clone(client, (home / "keys" / "forge-developer.token").read_text().strip(), Path(directory))
            pushes = [push(repository, site, number) for number in range(PUSHES)]
            answered, failed, seconds = switches(client, site)
            return [
                Figure("creation asked for to skeleton live", first, "s", detail="by itself, through the pipeline"),
                Figure(
                    "push to new version live, p50",
                    percentile(pushes, 0.5),
                    "s",
                    5,
                    detail=f"of {PUSHES}; slowest {max(pushes):.2f} s; with the app's tests",
                ),
                Figure(
                    f"failed requests during {SWITCHES} switches",
                    failed,
                    "",
                    0,
                    detail=f"of {answered:,} by {VISITORS} visitors; {seconds / SWITCHES:.2f} s a switch",
                ),
            ]


class Site:
    """The environment's address. Names below `localhost` are resolved by browsers and not by this library."""

    def __init__(self, ingress: str) -> None:
        self._http = httpx.Client(base_url=ingress, headers={"Host": f"{_NAME}.{ZONE}"}, timeout=30, trust_env=False)

    def get(self) -> httpx.Response:
        """What answers."""
        return self._http.get("/")

    def wait_for(self, text: str) -> None:
        """Return as soon as the answer holds `text`. Raises TimeoutError."""
        deadline = time.monotonic() + _LIMIT_SECONDS
        while text not in self.get().text:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{text!r} did not become live")
            time.sleep(_POLL_SECONDS)

    def another(self) -> "Site":
        """A visitor with a connection of their own."""
        return Site(str(self._http.base_url))


def clone(client: Client, token: str, directory: Path) -> Path:
    """The application's repository, as a developer has it."""
    headers = {"Authorization": f"Bearer {client.token}"}
    address = f"{client.url}/api/v1/environments/{_NAME}"
    shown = httpx.get(address, headers=headers, timeout=30, trust_env=False).raise_for_status().json()
    parts = urlsplit(shown["pipeline"]["clone_url"])
    target = directory / "work"
    git(directory, "clone", "--quiet", f"http://developer:{token}@{parts.netloc}{parts.path}", str(target))
    git(target, "config", "user.name", "Developer")
    git(target, "config", "user.email", "developer@example.com")
    return target


def push(repository: Path, site: Site, number: int) -> float:
    """Seconds from `git push` to the new text at the address."""
    routes = repository / "src" / "routes.js"
    text = f"Pushed number {number}."
    before = f"Pushed number {number - 1}." if number else _MARK
    routes.write_text(routes.read_text().replace(before, text))
    git(repository, "commit", "--quiet", "--all", "--message", text)
    began = time.perf_counter()
    git(repository, "push", "--quiet")
    site.wait_for(text)
    return time.perf_counter() - began


def switches(client: Client, site: Site) -> tuple[int, int, float]:
    """Go back and forth between versions under load: requests answered, requests that failed, seconds in all."""
    over = threading.Event()
    answers: list[bool] = []

    def visit() -> None:
        visitor = site.another()
        while not over.is_set():
            try:
                answers.append(visitor.get().status_code == httpx.codes.OK)
            except httpx.HTTPError:
                answers.append(False)

    visitors = [threading.Thread(target=visit) for _ in range(VISITORS)]
    for visitor in visitors:
        visitor.start()
    began = time.perf_counter()
    try:
        headers = {"Authorization": f"Bearer {client.token}"}
        with httpx.Client(base_url=client.url, headers=headers, timeout=120, trust_env=False) as http:
            for _ in range(SWITCHES):
                http.post(f"/api/v1/environments/{_NAME}:rollback").raise_for_status()
        seconds = time.perf_counter() - began
    finally:
        over.set()
        for visitor in visitors:
            visitor.join()
    return len(answers), answers.count(False), seconds


def git(directory: Path, *arguments: str) -> None:
    """Run git. Raises CalledProcessError."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    subprocess.run(["git", *arguments], cwd=directory, env=environment, check=True, capture_output=True)

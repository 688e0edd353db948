"""Push and it is live; what does not run is not; and back again. With a developer's own clone of `demo-api`."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.outside import DEMO_NAME, Demo, Json
from tests.stand_ins import wait_until

DEPLOYED_SECONDS = 120.0
DYING = """if (process.env.SLIPWAY_COMMIT) {
  console.error("no reason to live");
  process.exit(9);
}
const config ="""
SKELETON = "It works. Edit src/routes.js."


@dataclass
class Developer:
    """A clone, and the commands that a developer types in it."""

    demo: Demo
    work: Path

    @property
    def url(self) -> str:
        return str(self.demo.show(DEMO_NAME)["url"])

    def answer(self) -> str:
        return self.demo.get(self.url).text

    def push(self, path: str, pattern: str, text: str) -> str:
        """Change a file, commit, push; answers the commit."""
        file = self.work / path
        changed, count = re.subn(pattern, text, file.read_text(), count=1)
        assert count == 1, f"{pattern} is not in {path}"
        file.write_text(changed)
        self._git("commit", "--quiet", "--all", "--message", f"Change {path}")
        self._git("push", "--quiet")
        return self._git("rev-parse", "HEAD").strip()

    def deployments(self) -> list[Json]:
        found: list[Json] = self.demo.slipway("-o", "json", "deployments", DEMO_NAME).json["items"]
        return found

    def ended(self, commit: str) -> bool:
        """Whether the latest deployment is of this commit, and over."""
        found = self.deployments()[:1]
        return [(one["commit"], one["state"] in {"succeeded", "failed"}) for one in found] == [(commit, True)]

    def _git(self, *arguments: str) -> str:
        said = self.demo.run("git", *arguments, cwd=self.work)
        assert said.code == 0, said
        return said.out


@pytest.fixture(scope="module")
def developer(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Developer:
    if shutil.which("node") is None:
        pytest.skip("no node here: nothing of a Node.js API can run")
    work = tmp_path_factory.mktemp("work") / "app"
    cloned = demo.slipway("clone", DEMO_NAME, str(work))
    assert cloned.code == 0, cloned
    here = Developer(demo, work)
    wait_until(lambda: here.deployments() != [], seconds=DEPLOYED_SECONDS)
    return here


def test_what_is_pushed_is_live(developer: Developer) -> None:
    commit = developer.push("src/routes.js", r"It works[^\"]*", "Pushed once.")
    wait_until(lambda: "Pushed once." in developer.answer(), seconds=DEPLOYED_SECONDS)
    # It answers a moment before it is known to stay.
    wait_until(lambda: developer.ended(commit), seconds=DEPLOYED_SECONDS)
    latest = developer.deployments()[0]
    assert (latest["state"], latest["author"], latest["live"]) == ("succeeded", "developer", True)
    wait_until(lambda: developer.demo.show(DEMO_NAME)["last_deployment"]["commit"] == commit, seconds=DEPLOYED_SECONDS)
    wait_until(lambda: developer.demo.show(DEMO_NAME)["running"] == "healthy", seconds=DEPLOYED_SECONDS)


def test_a_version_that_ends_at_once_is_not_live_and_says_why(developer: Developer) -> None:
    before = developer.answer()
    commit = developer.push("src/main.js", r"const config =", DYING)

    def has_failed() -> bool:
        return any(one["commit"] == commit and one["state"] == "failed" for one in developer.deployments())

    wait_until(has_failed, seconds=DEPLOYED_SECONDS)
    assert "exit code 9" in developer.deployments()[0]["reason"]
    assert developer.answer() == before
    assert "no reason to live" in developer.demo.slipway("logs", DEMO_NAME).out


def test_rollback_brings_back_what_was_live_before(developer: Developer) -> None:
    live = next(one for one in developer.deployments() if one["live"])
    said = developer.demo.slipway("rollback", DEMO_NAME)
    assert said.code == 0, said
    wait_until(lambda: SKELETON in developer.answer(), seconds=DEPLOYED_SECONDS)
    forward = developer.demo.slipway("rollback", DEMO_NAME, "--to", live["commit"][:9])
    assert forward.code == 0, forward
    assert "Pushed once." in developer.answer()

"""A preview for a pull request: asked for by a label or by a member's comment, deployed, kept in one comment, gone with
the pull request. With a developer's own pull request to `demo-api`, and one from a fork."""

import base64
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.outside import DEMO_NAME, Demo, Json
from tests.stand_ins import wait_until

REPOSITORY = f"/repos/acme/{DEMO_NAME}"
MEMBER, STRANGER = "developer", "platform-team"
"""Who has been let in on the platform, and who is only on the forge."""
SECONDS = 120.0


class Pull:
    """A pull request, and what can be seen of its preview."""

    def __init__(self, demo: Demo, number: int) -> None:
        self.demo = demo
        self.number = number
        self.name = f"{DEMO_NAME}-pr-{number}"

    def state(self) -> str:
        """Of the preview: `none` where there is none."""
        answer = api(self.demo, "GET", f"/environments/{self.name}")
        return str(answer.json()["state"]) if answer.status_code == 200 else "none"

    def say(self, text: str, login: str) -> None:
        done(self.demo.forge("POST", f"{REPOSITORY}/issues/{self.number}/comments", {"body": text}, login))

    def comments(self) -> list[str]:
        """What the platform wrote under it."""
        found = done(self.demo.forge("GET", f"{REPOSITORY}/issues/{self.number}/comments"))
        return [one["body"] for one in found if one["user"]["login"] == "slipway-cicd"]

    def has_said(self, *texts: str) -> bool:
        """Whether its one comment has all of these in it."""
        said = self.comments()
        assert len(said) <= 1, "there is one comment, kept up to date in place"
        return bool(said) and all(text in said[0] for text in texts)

    def close(self) -> None:
        done(self.demo.forge("PATCH", f"{REPOSITORY}/pulls/{self.number}", {"state": "closed"}, MEMBER))


def done(answer: httpx.Response) -> Any:
    assert answer.status_code < 300, answer.text
    return answer.json()


def api(demo: Demo, method: str, path: str, body: Json | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {demo.key('admin.token')}"}
    url = f"{demo.ports.url('gateway')}/api/v1{path}"
    return httpx.request(method, url, json=body, headers=headers, trust_env=False, timeout=30)


def offer(demo: Demo, repository: str, login: str, text: str) -> str:
    """A branch of the skeleton, whatever others have pushed since, with an application that says `text`; answers its
    newest commit."""
    commits = done(demo.forge("GET", f"{repository}/commits?sha=main&path=src/routes.js", login=login))
    skeleton = commits[-1]["sha"]
    done(demo.forge("POST", f"{repository}/git/refs", {"ref": "refs/heads/colours", "sha": skeleton}, login))
    return change(demo, repository, login, "It works", text)


def change(demo: Demo, repository: str, login: str, before: str, after: str) -> str:
    """A commit on that branch."""
    path = f"{repository}/contents/src/routes.js"
    file = done(demo.forge("GET", f"{path}?ref=colours", login=login))
    content = base64.b64encode(base64.b64decode(file["content"]).replace(before.encode(), after.encode())).decode()
    body = {"message": after, "content": content, "sha": file["sha"], "branch": "colours"}
    commit: str = done(demo.forge("PUT", path, body, login))["commit"]["sha"]
    return commit


@pytest.fixture(scope="module", autouse=True)
def member(demo: Demo) -> None:
    """A developer of the team that `demo-api` belongs to."""
    team = demo.show(DEMO_NAME)["owner"]["team"]
    token = {"name": "laptop", "person": MEMBER, "role": "developer", "teams": [team]}
    done(api(demo, "POST", "/tokens", token))


@pytest.fixture
def pull(demo: Demo) -> Iterator[Pull]:
    """A developer's pull request from a branch of the repository."""
    offer(demo, REPOSITORY, MEMBER, "A preview")
    body = {"title": "Colours", "head": "colours", "base": "main"}
    yield Pull(demo, done(demo.forge("POST", f"{REPOSITORY}/pulls", body, MEMBER))["number"])
    demo.forge("DELETE", f"{REPOSITORY}/git/refs/heads/colours", login=MEMBER)


def test_a_label_gives_a_pull_request_a_preview_that_follows_it_and_goes_with_it(demo: Demo, pull: Pull) -> None:
    if shutil.which("node") is None:
        pytest.skip("no node here: nothing of a Node.js API can run")
    done(demo.forge("POST", f"{REPOSITORY}/issues/{pull.number}/labels", {"labels": ["preview"]}, MEMBER))
    wait_until(lambda: pull.state() == "ready", seconds=SECONDS)
    shown = demo.show(pull.name)
    assert (shown["kind"], shown["branch"], shown["pull_request"]["number"]) == ("preview", "colours", pull.number)
    wait_until(lambda: pull.has_said(f"### Preview `{pull.name}`", "**State:** ready", shown["url"]))
    wait_until(lambda: "A preview" in demo.get(shown["url"]).text, seconds=SECONDS)
    # What is offered to be merged is what its author wrote, and nothing of ours.
    files = demo.forge("GET", f"{REPOSITORY}/pulls/{pull.number}/files").json()
    assert [one["filename"] for one in files] == ["src/routes.js"]
    commit = change(demo, REPOSITORY, MEMBER, "A preview", "A newer preview")
    wait_until(lambda: pull.has_said("**State:** ready", f"Deployed commit `{commit[:12]}`"), seconds=SECONDS)
    assert "A newer preview" in demo.get(shown["url"]).text
    pull.close()
    wait_until(lambda: pull.state() == "deleted", seconds=SECONDS)
    wait_until(lambda: pull.has_said("**State:** deleted"))
    assert demo.things_of(pull.name) == set()
    branches = demo.forge("GET", f"{REPOSITORY}/branches").json()
    assert [one["name"] for one in branches if one["name"].startswith(f"slipway/{pull.name}")] == []


def test_a_fork_has_no_preview_until_a_member_says_so(demo: Demo) -> None:
    fork = done(demo.forge("POST", f"{REPOSITORY}/forks", {}, STRANGER))["full_name"]
    commit = offer(demo, f"/repos/{fork}", STRANGER, "From a fork")
    body = {"title": "Mine", "head": f"{STRANGER}:colours", "base": "main"}
    pull = Pull(demo, done(demo.forge("POST", f"{REPOSITORY}/pulls", body, STRANGER))["number"])
    pull.say("/slipway preview", STRANGER)
    wait_until(lambda: pull.has_said("**State:** none", "Not done."))
    assert pull.state() == "none"
    pull.say("/slipway preview", MEMBER)
    wait_until(lambda: pull.has_said(f"### Preview `{pull.name}`"))
    assert demo.show(pull.name)["pull_request"]["approved_commit"] == commit
    # While it is being made, most likely: then its creation is called off and undone.
    pull.close()
    wait_until(lambda: pull.has_said("**State:** deleted") or pull.has_said("**State:** failed"), seconds=SECONDS)
    wait_until(lambda: pull.state() in {"deleted", "failed"}, seconds=SECONDS)
    assert demo.things_of(pull.name) == set()

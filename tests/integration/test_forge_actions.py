"""Workflows that run for real: a forge, repositories with small workflows, `act`."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import psutil
import pytest
from github import Github
from github.Repository import Repository
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.integration.forge_process import ForgeProcess, forge_process, refused

_NUMBERS = count(1)
_SECONDS = 120.0
"""Only what fails takes so long: other tests run beside these."""
LONG = str(281_000_000 + os.getpid())
"""How many seconds a process would sleep that a job leaves. No other run of these tests here has the same."""
_QUICK = "runs-on: ubuntu-latest"


@dataclass
class Project:
    """A repository to push to."""

    forge: ForgeProcess
    repo: Repository
    directory: Path

    def push(self, files: Mapping[str, str], *, branch: str = "main", message: str = "Work", login: str = "dev") -> str:
        """Commit files on top of what is there and push; the commit."""
        for path, text in files.items():
            (self.directory / path).parent.mkdir(parents=True, exist_ok=True)
            (self.directory / path).write_text(dedent(text))
        self.git("checkout", "--quiet", "-B", branch)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}")
        self.git("push", "--quiet", self.forge.clone_url(self.repo.full_name, login), branch)
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        names = ("AUTHOR", "COMMITTER")
        who = {f"GIT_{name}_{key}": value for name in names for key, value in (("NAME", "Ada"), ("EMAIL", "a@b.test"))}
        done = subprocess.run(
            ["git", *arguments], cwd=self.directory, env=os.environ | who, capture_output=True, text=True, check=True
        )
        return done.stdout

    def get(self, path: str, login: str = "dev", **query: Any) -> Any:
        answer = self.forge.http.get(
            f"{self.forge.api}/repos/{self.repo.full_name}{path}", params=query, headers=self.forge.headers(login)
        )
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: Any = None, login: str = "dev") -> httpx.Response:
        url = f"{self.forge.api}/repos/{self.repo.full_name}{path}"
        return self.forge.http.post(url, json=body or {}, headers=self.forge.headers(login))

    def runs(self, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/actions/runs", **query)["workflow_runs"]
        return found

    def until(self, is_so: Callable[[list[dict[str, Any]]], bool], **query: Any) -> list[dict[str, Any]]:
        """The runs, once they are as wanted."""
        deadline = time.monotonic() + _SECONDS
        while not is_so(found := self.runs(**query)):
            if time.monotonic() > deadline:
                logs = "\n".join(map(self.said, found))
                raise AssertionError(f"{found}\n{logs}\n{self.forge.log[-2000:]}")
            time.sleep(0.05)
        return found

    def ended(self, number: int = 1, **query: Any) -> list[dict[str, Any]]:
        """All runs, newest first, once there are so many and all have ended."""
        return self.until(
            lambda runs: len(runs) >= number and all(run["status"] == "completed" for run in runs), **query
        )

    def jobs(self, run: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/actions/runs/{run['id']}/jobs")["jobs"]
        return found

    def job(self, run: Mapping[str, Any], name: str) -> dict[str, Any]:
        return next(job for job in self.jobs(run) if job["name"] == name)

    def log(self, job: Mapping[str, Any]) -> str:
        answer = self.forge.http.get(f"{job['url']}/logs", headers=self.forge.headers("dev"), follow_redirects=True)
        return answer.text

    def said(self, run: Mapping[str, Any]) -> str:
        """The logs of all jobs."""
        return "\n".join(f"{job['name']}: {job['conclusion']}\n{self.log(job)}" for job in self.jobs(run))

    def page(self, path: str) -> str:
        answer = self.forge.http.get(f"{self.forge.url}/{self.repo.full_name}{path}", headers=self.forge.headers("dev"))
        answer.raise_for_status()
        return answer.text


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForgeProcess]:
    directory = tmp_path_factory.mktemp("forge")
    hidden = directory / "keys"
    hidden.mkdir()
    (hidden / "a.key").write_text("very secret")
    extra = {"SLIPWAY_FORGE_ACTIONS_ENABLED": "true", "SLIPWAY_FORGE_ACTIONS_HIDDEN": str(hidden)}
    with forge_process(directory, extra) as running:
        yield running


@pytest.fixture
def gh(forge: ForgeProcess) -> Github:
    return forge.client()


def project_in(forge: ForgeProcess, directory: Path) -> Project:
    repo = forge.client().get_organization("acme").create_repo(f"app-{next(_NUMBERS)}")
    checkout = directory / "checkout"
    checkout.mkdir()
    project = Project(forge, repo, checkout)
    project.git("init", "--quiet", "--initial-branch=main")
    return project


@pytest.fixture
def project(forge: ForgeProcess, tmp_path: Path) -> Project:
    return project_in(forge, tmp_path)


def workflow(text: str) -> dict[str, str]:
    return {".github/workflows/ci.yml": dedent(text)}


# -- running -----------------------------------------------------------------------------------------------------------


def test_a_push_runs_the_workflow_of_its_commit(project: Project) -> None:
    (project.directory / "data.txt").write_text("forty-two\n")
    project.repo.create_variable("GREETING", 'it\'s "quoted": # yes')
    commit = project.push(
        workflow("""
            name: CI
            on: {push: {branches: [main]}}
            jobs:
              build:
                name: Build
                runs-on: ubuntu-latest
                outputs: {answer: "${{ steps.read.outputs.answer }}"}
                steps:
                  - uses: actions/checkout@v6
                  - name: Read
                    id: read
                    env: {GREETING: "${{ vars.GREETING }}"}
                    run: |
                      echo "answer=$(cat data.txt) ${{ '{{ }}' }}" >> "$GITHUB_OUTPUT"
                      echo "greeting: $GREETING"
                      git log -1 --format=subject:%s
                  - {name: Never, if: "false", run: exit 1}
              use:
                name: Use
                needs: build
                runs-on: [self-hosted, linux]
                steps:
                  - name: Show
                    env: {ANSWER: "${{ needs.build.outputs.answer }}"}
                    run: |
                      echo "answer: $ANSWER"
                      env | sort | grep ^GITHUB_
                  - {run: 'echo "::warning file=a.js,line=3::careful"', name: Warn}
        """),
        message="First commit\n\nMore.",
    )
    (run,) = project.ended()

    assert (run["conclusion"], run["head_sha"], run["event"]) == ("success", commit, "push"), project.said(run)
    assert (run["name"], run["display_title"], run["run_number"]) == ("CI", "First commit", 1)
    build, use = project.jobs(run)
    assert [(step["name"], step["conclusion"]) for step in build["steps"]][1:-1] == [
        ("actions/checkout@v6", "success"),
        ("Read", "success"),
        ("Never", "skipped"),
    ]
    assert 'greeting: it\'s "quoted": # yes' in project.log(build)
    assert "subject:First commit" in project.log(build)
    told = project.log(use)
    full_name, url = project.repo.full_name, project.forge.url
    for line in (
        "answer: forty-two {{ }}",
        "##[warning]a.js:3: careful",
        f"GITHUB_SHA={commit}",
        f"GITHUB_REPOSITORY={full_name}",
        f"GITHUB_REPOSITORY_OWNER={full_name.split('/')[0]}",
        "GITHUB_REF=refs/heads/main",
        "GITHUB_REF_NAME=main",
        "GITHUB_ACTOR=dev",
        f"GITHUB_RUN_ID={run['id']}",
        "GITHUB_RUN_ATTEMPT=1",
        f"GITHUB_SERVER_URL={url}",
        f"GITHUB_API_URL={url}/api/v3",
        "GITHUB_EVENT_NAME=push",
    ):
        assert line in told, told
    assert "greeting: it&#39;s" in project.page(f"/actions/runs/{run['id']}")
    assert run["html_url"] == f"{url}/{full_name}/actions/runs/{run['id']}"
    assert f"/actions/runs/{run['id']}" in project.page("")


def test_what_fails_stops_what_needs_it_and_shows_on_the_commit(project: Project, gh: Github) -> None:
    commit = project.push(
        workflow(f"""
            on: push
            jobs:
              test: {{{_QUICK}, steps: [{{name: Test, run: "echo no; exit 3"}}, {{run: echo late}}]}}
              deploy: {{{_QUICK}, needs: test, steps: [{{run: echo never}}]}}
              report: {{{_QUICK}, needs: [test, deploy], if: "failure() && needs.deploy.result == 'skipped'",
                        steps: [{{name: Say, run: "echo ${{{{ needs.test.result }}}}"}}]}}
        """)
    )
    (run,) = project.ended()
    assert run["conclusion"] == "failure"
    assert {job["name"]: job["conclusion"] for job in project.jobs(run)} == {
        "test": "failure",
        "deploy": "skipped",
        "report": "success",
    }
    steps = [(step["name"], step["conclusion"]) for step in project.job(run, "test")["steps"]]
    assert steps[1:3] == [("Test", "failure"), ("echo late", "skipped")]
    assert "##[error]exit status 3" in project.log(project.job(run, "test"))
    checks = gh.get_repo(project.repo.full_name).get_commit(commit).get_check_runs()
    assert {check.name: check.conclusion for check in checks}["test"] == "failure"


def test_only_what_matches_runs(project: Project) -> None:
    quick = f"{{a: {{{_QUICK}, steps: [{{run: 'true'}}]}}}}"
    files = {
        ".github/workflows/docs.yml": f"on: {{push: {{branches: [main], paths: ['docs/**']}}}}\njobs: {quick}",
        ".github/workflows/tags.yaml": f"on: {{push: {{tags: ['v*']}}}}\njobs: {quick}",
        ".github/workflows/broken.yml": "on: [push\njobs:",
        ".github/workflows/notes.txt": "on: push",
    }
    project.push(files)
    project.push({"docs/a.md": "# A"})
    project.push({"src/a.js": "1"}, message="Change [skip ci]")
    project.push({"src/b.js": "1"}, branch="feature/x")
    project.git("tag", "v1")
    project.git("push", "--quiet", project.forge.clone_url(project.repo.full_name, "dev"), "v1")

    found = {(run["path"].rsplit("/", 1)[1], run["head_branch"], run["conclusion"]) for run in project.ended(6)}
    assert found == {
        ("docs.yml", "main", "success"),
        ("broken.yml", "main", "failure"),
        ("broken.yml", "feature/x", "failure"),
        ("broken.yml", "v1", "failure"),
        ("tags.yaml", "v1", "success"),
    }
    assert "not valid YAML" in project.page(f"/actions/runs/{project.runs()[-1]['id']}") + project.page(
        f"/actions/runs/{next(run['id'] for run in project.runs() if 'broken' in run['path'])}"
    )


def test_an_action_that_is_not_here_is_named(project: Project) -> None:
    project.push(workflow(f"on: push\njobs: {{a: {{{_QUICK}, steps: [{{uses: actions/setup-node@v4}}]}}}}"))
    (run,) = project.ended()
    assert run["conclusion"] == "failure"
    assert "uses the action actions/setup-node@v4" in project.log(project.jobs(run)[0])
    assert "uses the action actions/setup-node@v4" in project.page(f"/actions/runs/{run['id']}")


def test_a_pull_request_and_a_person_start_runs_too(project: Project) -> None:
    body = f"""
        name: CI
        on:
          pull_request: {{branches: [main]}}
          workflow_dispatch: {{inputs: {{target: {{required: true}}, loud: {{type: boolean, default: false}}}}}}
        jobs:
          a:
            {_QUICK}
            steps:
              - name: Say
                run: |
                  echo "${{{{ github.event_name }}}} $GITHUB_REF $GITHUB_HEAD_REF $GITHUB_SHA"
                  echo "target: [${{{{ inputs.target }}}}]"
    """
    project.push(workflow(body))
    commit = project.push({"a.js": "1"}, branch="feature")
    project.repo.create_pull(title="Change", head="feature", base="main")
    (pull,) = project.ended()
    assert (pull["event"], pull["head_sha"], pull["display_title"]) == ("pull_request", commit, "Change")
    assert f"pull_request refs/pull/1/merge feature {commit}" in project.log(project.jobs(pull)[0])

    assert project.post("/actions/workflows/ci.yml/dispatches", {"ref": "main"}).status_code == 422
    unknown = {"ref": "main", "inputs": {"target": "x", "what": "y"}}
    assert project.post("/actions/workflows/ci.yml/dispatches", unknown).status_code == 422
    (found,) = project.repo.get_workflows()
    assert found.create_dispatch("main", {"target": "north"})
    assert project.post("/actions/workflows/ci.yml/dispatches", {"ref": "main"}, login="other").status_code in (
        403,
        404,
        422,
    )
    dispatched = project.ended(2)[0]
    assert "workflow_dispatch refs/heads/main" in project.log(project.jobs(dispatched)[0])
    assert "target: [north]" in project.log(project.jobs(dispatched)[0])


# -- identity ----------------------------------------------------------------------------------------------------------


IDENTITY = """
    on: push
    permissions: {}
    jobs:
      test:
        runs-on: ubuntu-latest
        steps:
          - name: Ask
            run: echo "url:${ACTIONS_ID_TOKEN_REQUEST_URL:-none}:${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-none}"
      deploy:
        runs-on: ubuntu-latest
        needs: test
        environment: {name: demo-api}
        permissions: {id-token: write}
        steps:
          - name: Ask
            run: |
              ask() {
                curl --silent --show-error --header "Authorization: Bearer $1" \\
                  "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=slipway"
                echo
              }
              ask "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" > answer
              sed 's/.*:"//; s/".*//; s/./& /g' answer
              cat answer
              ask wrong
              echo "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" | sed 's/./& /g'
              echo "at $ACTIONS_ID_TOKEN_REQUEST_URL with $ACTIONS_ID_TOKEN_REQUEST_TOKEN"
"""


def test_a_token_is_given_to_the_job_that_declares_it_and_to_no_other(project: Project, forge: ForgeProcess) -> None:
    project.push(workflow(IDENTITY))
    (run,) = project.ended()
    assert run["conclusion"] == "success", project.said(run)
    assert "url:none:none" in project.log(project.job(run, "test"))

    lines = [line.split(" ", 1)[1] for line in project.log(project.job(run, "deploy")).splitlines()]
    token = next(line for line in lines if line.startswith("e y J")).replace(" ", "")
    request_token = lines[lines.index(next(line for line in lines if "belongs to no job" in line)) + 1].replace(" ", "")
    assert token not in "\n".join(lines)
    assert request_token not in "\n".join(lines)
    assert '{"value":"***"}' in lines
    (url,) = {line.split(" ")[1] for line in lines if line.startswith("at http")}
    assert f"at {url} with ***" in lines

    issuer = f"{forge.url}/_services/token"
    configuration = forge.http.get(f"{issuer}/.well-known/openid-configuration").json()
    assert configuration["issuer"] == issuer
    keys: Any = forge.http.get(configuration["jwks_uri"]).json()
    claims = jwt.decode(token, KeySet.import_key_set(keys), algorithms=["RS256"]).claims
    assert {
        name: claims[name] for name in ("iss", "aud", "sub", "repository", "environment", "ref", "run_id", "sha")
    } == {
        "iss": issuer,
        "aud": "slipway",
        "sub": f"repo:{project.repo.full_name}:environment:demo-api",
        "repository": project.repo.full_name,
        "environment": "demo-api",
        "ref": "refs/heads/main",
        "run_id": str(run["id"]),
        "sha": run["head_sha"],
    }
    assert claims["repository_id"] == str(project.repo.id)
    late = forge.http.get(f"{url}&audience=slipway", headers={"Authorization": f"Bearer {request_token}"})
    assert late.status_code == 401, "the request token died with its job"


def test_a_job_with_an_environment_is_a_deployment_to_it(project: Project) -> None:
    project.push(
        workflow(f"on: push\njobs: {{a: {{{_QUICK}, environment: demo, steps: [{{run: echo $GITHUB_JOB}}]}}}}")
    )
    (run,) = project.ended()
    (deployment,) = project.repo.get_deployments()
    states = [status.state for status in deployment.get_statuses()]
    assert (deployment.environment, deployment.sha, states) == ("demo", run["head_sha"], ["success", "in_progress"])
    assert deployment.get_statuses()[0].raw_data["log_url"].startswith(run["html_url"])
    assert project.repo.get_environment("demo").name == "demo"


def test_a_job_sees_nothing_of_the_platform(project: Project, forge: ForgeProcess) -> None:
    """What it is told, and, behind the fence, what it can reach."""
    hidden = Path(forge.extra["SLIPWAY_FORGE_ACTIONS_HIDDEN"])
    project.push(
        workflow(f"""
            on: push
            jobs:
              look:
                {_QUICK}
                steps:
                  - name: Look
                    run: |
                      env
                      for each in "{hidden}/a.key" "{forge.data}/forge.db" "{forge.directory}/tokens.json"; do
                        cat "$each" 2>&1 || true
                      done
                      ls -A "{forge.data}"
                      touch /etc/slipway-was-here 2>&1 || true
                      touch /tmp/a-file-of-the-job && ls /tmp
                      cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -c SLIPWAY || true
                      sleep {LONG} > /dev/null 2>&1 &
        """)
    )
    (run,) = project.ended()
    assert run["conclusion"] == "success", project.said(run)
    told = project.log(project.jobs(run)[0])
    assert "SLIPWAY_" not in told.replace("SLIPWAY_FORGE", "")
    assert "HOME=" in told
    for token in forge.tokens.values():
        assert token not in told
    assert "very secret" not in told
    if "workflows_run_without_fence" not in forge.log:
        assert "SQLite format" not in told
        assert "Read-only file system" in told
        assert "\nactions\n" in "\n".join(line.partition(" ")[2] for line in told.splitlines())
        assert not Path("/tmp/a-file-of-the-job").exists()
    assert not [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", LONG]]


# -- order, cancelling, restarts ---------------------------------------------------------------------------------------


WAITING = f"""
    name: Slow
    on: push
    jobs:
      deploy:
        {_QUICK}
        concurrency: {{group: "prod-${{{{ github.ref }}}}", cancel-in-progress: false}}
        steps:
          - name: Wait
            run: |
              echo waiting in $GITHUB_RUN_ATTEMPT
              while [ ! -f {{gate}} ]; do sleep 0.05; done
              echo through
"""


def slow(gate: Path) -> dict[str, str]:
    return workflow(WAITING.replace("{gate}", str(gate)))


@pytest.fixture
def gate() -> Iterator[Path]:
    """A file for which jobs wait; behind the fence they see it, since it is neither hidden nor below /tmp."""
    path = Path(f"/var/tmp/slipway-gate-{os.getpid()}-{next(_NUMBERS)}")
    yield path
    path.unlink(missing_ok=True)


def is_waiting(project: Project, run: Mapping[str, Any], attempt: int = 1) -> bool:
    jobs = project.jobs(run)
    return bool(jobs) and f"waiting in {attempt}" in project.log(jobs[0])


def test_of_pushes_in_one_group_the_newest_waits_and_the_one_between_gives_way(project: Project, gate: Path) -> None:
    project.push(slow(gate))
    project.until(lambda runs: bool(runs) and is_waiting(project, runs[0]))
    project.push({"a": "2"})
    project.push({"a": "3"})
    project.until(lambda runs: len(runs) == 3)
    assert [run["conclusion"] for run in project.runs()] == [None, "cancelled", None]
    assert project.jobs(project.runs()[0])[0]["status"] == "pending"
    assert 'http-equiv="refresh"' in project.page(f"/actions/runs/{project.runs()[0]['id']}")
    gate.touch()
    assert [run["conclusion"] for run in project.ended(3)] == ["success", "cancelled", "success"]
    assert 'http-equiv="refresh"' not in project.page(f"/actions/runs/{project.runs()[0]['id']}")


def test_a_run_can_be_cancelled_and_run_again(project: Project, gate: Path) -> None:
    project.push(slow(gate))
    project.until(lambda runs: bool(runs) and is_waiting(project, runs[0]))
    (run,) = project.repo.get_workflow_runs()
    assert project.post(f"/actions/runs/{run.id}/rerun").status_code == 403
    assert run.cancel()
    assert project.ended()[0]["conclusion"] == "cancelled"
    assert project.post(f"/actions/runs/{run.id}/cancel").status_code == 409
    gate.touch()
    assert run.rerun()
    (again,) = project.until(lambda runs: runs[0]["conclusion"] == "success")
    assert (again["id"], again["run_attempt"]) == (run.id, 2)
    assert "waiting in 2" in project.log(project.jobs(again)[0])


def test_a_killed_forge_forgets_no_run(tmp_path: Path, gate: Path) -> None:
    """What was under way is marked and tried once more; what was queued runs; nothing of the old job is left."""
    (tmp_path / "forge").mkdir()
    extra = {"SLIPWAY_FORGE_ACTIONS_ENABLED": "true", "SLIPWAY_FORGE_ACTIONS_CONCURRENT_JOBS": "1"}
    with forge_process(tmp_path / "forge", extra) as forge:
        project = project_in(forge, tmp_path)
        project.push(slow(gate))
        project.until(lambda runs: bool(runs) and is_waiting(project, runs[0]))
        project.push(slow(gate) | {"b": "1"}, branch="other")
        forge.kill()
        forge.start()
        project.until(lambda runs: len(runs) == 2 and is_waiting(project, runs[1], 2))
        gate.touch()
        second, first = project.ended(2)
        assert [(each["conclusion"], each["run_attempt"]) for each in (first, second)] == [
            ("success", 2),
            ("success", 1),
        ]
        (before,) = project.get(f"/actions/runs/{first['id']}/attempts/1/jobs")["jobs"]
        assert before["conclusion"] == "failure"
        assert "The forge was stopped" in project.get(f"/check-runs/{before['id']}")["output"]["summary"]


def test_a_job_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    (tmp_path / "forge").mkdir()
    extra = {"SLIPWAY_FORGE_ACTIONS_ENABLED": "true", "SLIPWAY_FORGE_ACTIONS_JOB_TIMEOUT_SECONDS": "1"}
    with forge_process(tmp_path / "forge", extra) as forge:
        project = project_in(forge, tmp_path)
        project.push(workflow(f"on: push\njobs: {{a: {{{_QUICK}, steps: [{{name: Hang, run: sleep {LONG}}}]}}}}"))
        (run,) = project.ended()
        (job,) = project.jobs(run)
        assert (run["conclusion"], job["conclusion"]) == ("failure", "timed_out")
        assert "maximum execution time" in project.log(job)
        assert not [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", LONG]]


def test_without_the_fence_a_job_still_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "forge").mkdir()
    extra = {"SLIPWAY_FORGE_ACTIONS_ENABLED": "true", "SLIPWAY_FORGE_ACTIONS_FENCE": "false"}
    with forge_process(tmp_path / "forge", extra) as forge:
        project = project_in(forge, tmp_path)
        steps = f"[{{name: Leave, run: 'sleep {LONG} > /dev/null 2>&1 & env'}}]"
        project.push(workflow(f"on: push\njobs: {{a: {{{_QUICK}, steps: {steps}}}}}"))
        (run,) = project.ended()
        assert run["conclusion"] == "success", project.said(run)
        assert "SLIPWAY_" not in project.said(run)
        assert not [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", LONG]]


# -- who may -----------------------------------------------------------------------------------------------------------


def test_webhooks_tell_of_runs_and_jobs(project: Project) -> None:
    project.repo.create_hook(
        "web",
        {"url": "http://127.0.0.1:9/", "content_type": "json"},
        ["workflow_run", "workflow_job", "deployment_status"],
    )
    project.push(workflow(f"on: push\njobs: {{a: {{{_QUICK}, environment: demo, steps: [{{run: 'true'}}]}}}}"))
    (run,) = project.ended()
    (hook,) = project.repo.get_hooks()
    deliveries = list(project.repo.get_hook_deliveries(hook.id))
    told = [(each.event, each.action) for each in deliveries if each.event != "ping"]
    assert sorted(told) == sorted(
        [
            ("workflow_run", "requested"),
            ("workflow_job", "queued"),
            ("workflow_run", "in_progress"),
            ("workflow_job", "in_progress"),
            ("deployment_status", "created"),
            ("workflow_job", "completed"),
            ("deployment_status", "created"),
            ("workflow_run", "completed"),
        ]
    )
    (last,) = project.get(f"/hooks/{hook.id}/deliveries", "slipway", per_page=1)
    payload = project.get(f"/hooks/{hook.id}/deliveries/{last['id']}", "slipway")["request"]["payload"]
    assert payload["workflow_run"]["id"] == run["id"]


def test_who_may_not_write_may_not_start_anything_and_strangers_see_nothing(
    project: Project, forge: ForgeProcess
) -> None:
    own = forge.client("dev").get_user().create_repo(f"own-{next(_NUMBERS)}", private=True)
    url = f"{forge.api}/repos/{own.full_name}/actions"
    for path in ("/runs", "/workflows", "/runs/1", "/runs/1/jobs", "/jobs/1/logs"):
        assert forge.http.get(url + path, headers=forge.headers("other")).status_code == 404
    assert forge.http.get(f"{forge.url}/{own.full_name}/actions", headers=forge.headers("other")).status_code == 404
    assert forge.http.get(url + "/runs").status_code == 401
    assert refused(lambda: project.repo.get_workflow_run(10**9)).status == 404
    for path in ("/jobs/1?api-version=2.0", "/jobs/999999999999999999", "/jobs/x", ""):
        answer = forge.http.get(f"{forge.url}/_services/token{path}")
        assert answer.status_code in (401, 404)


OWN_TOKEN = """
on: push
permissions: {contents: read}
jobs:
  reads:
    runs-on: ubuntu-latest
    steps:
      - name: Ask
        env: {TOKEN: "${{ github.token }}", OTHER: "NEIGHBOUR"}
        run: |
          ask() {
            echo "$2=$(curl -s -o /dev/null -w '%{http_code}' -X "$1" -H "Authorization: Bearer $TOKEN" \
              -d "${4:-}" "$GITHUB_API_URL/$3")"
          }
          ask GET own "repos/$GITHUB_REPOSITORY/contents/.github"
          ask GET neighbours "repos/$OTHER"
          ask PUT write "repos/$GITHUB_REPOSITORY/contents/new" '{"message":"x","content":"eA=="}'
          ask POST issue "repos/$GITHUB_REPOSITORY/issues" '{"title":"x"}'
          ask GET variables "repos/$GITHUB_REPOSITORY/actions/variables"
          ask GET people user
          ask POST repository orgs/acme/repos '{"name":"made-by-a-job"}'
          echo "the token is $TOKEN"
          echo "$TOKEN" | sed 's/./& /g'
  writes:
    runs-on: ubuntu-latest
    needs: reads
    permissions: {contents: write, issues: write}
    steps:
      - uses: actions/checkout@v6
      - name: Push
        env: {TOKEN: "${{ secrets.GITHUB_TOKEN }}"}
        run: |
          git -c user.name=ci -c user.email=ci@b.test commit --quiet --allow-empty --message "From a job"
          git push --quiet "http://x:$TOKEN@${GITHUB_SERVER_URL#http://}/$GITHUB_REPOSITORY" HEAD:main
          curl -s --fail -o /dev/null -H "Authorization: Bearer $TOKEN" -d '{"title":"From a job"}' \
            "$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/issues"
"""


def test_a_jobs_own_token_does_what_its_workflow_says_and_dies_with_it(project: Project, forge: ForgeProcess) -> None:
    neighbour = forge.client().get_organization("acme").create_repo(f"app-{next(_NUMBERS)}").full_name
    project.push(workflow(OWN_TOKEN.replace("NEIGHBOUR", neighbour)))
    (run,) = project.ended()
    assert run["conclusion"] == "success", project.said(run)

    lines = [line.split(" ", 1)[1] for line in project.log(project.job(run, "reads")).splitlines()]
    assert [line for line in lines if re.fullmatch("[a-z]+=[0-9]{3}", line)] == [
        "own=200", "neighbours=404", "write=403", "issue=403", "variables=403", "people=403", "repository=403"
    ]  # fmt: skip
    assert "the token is ***" in lines
    token = next(line for line in lines if line.startswith("g h s _")).replace(" ", "")
    assert token not in project.said(run)
    late = forge.http.get(f"{forge.api}/repos/{project.repo.full_name}", headers={"Authorization": f"Bearer {token}"})
    assert late.status_code == 401, "the token died with its job"

    assert [issue["user"]["login"] for issue in project.get("/issues")] == ["github-actions[bot]"]
    assert project.get("/commits")[0]["commit"]["message"].strip() == "From a job"
    assert len(project.runs()) == 1, "what a job's token pushes starts nothing"


def test_a_directory_of_its_own_is_where_every_job_of_a_workflow_works(project: Project) -> None:
    text = f"""
    on:
      push:
        paths: ["services/a/**"]
    defaults: {{run: {{working-directory: services/a}}}}
    jobs:
      one:
        {_QUICK}
        outputs: {{place: "${{{{ steps.here.outputs.place }}}}"}}
        steps:
          - uses: actions/checkout@v6
          - name: Look
            id: here
            run: echo "place=$(cat place)" >> "$GITHUB_OUTPUT"
      two:
        {_QUICK}
        needs: one
        steps:
          - uses: actions/checkout@v6
          - name: Look again
            run: test "${{{{ needs.one.outputs.place }}}}" = "$(cat place)"
    """
    project.push(workflow(text) | {"services/a/place": "here", "services/b/place": "there"})
    (run,) = project.ended()
    assert run["conclusion"] == "success", project.said(run)
    project.push({"services/b/place": "elsewhere"})
    assert len(project.runs()) == 1

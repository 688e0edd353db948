"""`make demo`, and everything it claims, looked at from outside."""

import secrets
from pathlib import Path

import hvac
import pytest
from hvac.exceptions import Forbidden
from psycopg import errors

from deploy.embedded.processes import PROJECT, binary
from tests.e2e.outside import DEMO_NAME, GOLDEN_PATH, Demo, Json, printed
from tests.stand_ins import wait_until

SERVICES = {"gateway", "catalog", "provisioner", "secrets", "cicd", "notifier"}
STEPS = {"terraform plan", "terraform apply", "slipway_database create", "slack chat.postMessage"}


def test_the_printed_url_answers_with_the_skeleton_by_itself(demo: Demo) -> None:
    url = printed(r"(http://\S+)$", demo.said.out.splitlines()[-1])
    answer = demo.get(url)
    assert answer.status_code == 200
    # Not what it says: another test may have pushed something else since.
    assert answer.json()["name"] == "api"


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_the_printed_name_resolves(demo: Demo, tcp: bool) -> None:
    name = printed(r"DNS name\s+(\S+)", demo.said.out)
    assert demo.look_up(name, tcp=tcp) == ["127.0.0.1"]
    assert demo.look_up(f"not-{name}", tcp=tcp) == []


def test_the_printed_repository_can_be_cloned_with_the_skeleton_and_a_clean_workflow(
    demo: Demo, tmp_path: Path
) -> None:
    clone = printed(r"clone (?:URL )?\s*(http://\S+)", demo.said.out)
    demo.clone(clone, tmp_path / "app")
    skeleton = PROJECT / "golden_paths" / GOLDEN_PATH / "skeleton"
    names = {path.relative_to(skeleton) for path in skeleton.rglob("*") if path.is_file()}
    assert names
    assert [name for name in names if not (tmp_path / "app" / name).is_file()] == []
    workflow = tmp_path / "app" / demo.show(DEMO_NAME)["pipeline"]["workflow_path"]
    linted = demo.run(binary("actionlint"), workflow, cwd=tmp_path / "app")
    assert linted.code == 0, linted


def test_a_stranger_cannot_clone_it(demo: Demo, tmp_path: Path) -> None:
    clone = printed(r"clone (?:URL )?\s*(http://\S+)", demo.said.out)
    said = demo.run("git", "clone", clone, tmp_path / "app", more={"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true"})
    assert said.code != 0
    assert not (tmp_path / "app").exists()


def test_the_applied_commit_holds_the_desired_state(demo: Demo, tmp_path: Path) -> None:
    repository = demo.clone_environments(tmp_path / "environments")
    commit = demo.show(DEMO_NAME)["infrastructure"]["commit"]
    listed = demo.run("git", "ls-tree", "-r", "--name-only", commit, f"environments/{DEMO_NAME}/", cwd=repository)
    here = {line.removeprefix(f"environments/{DEMO_NAME}/") for line in listed.out.splitlines()}
    assert {"manifest.yaml", "main.tf.json", "terraform.tfvars.json", "modules/database/main.tf"} <= here
    assert demo.run("git", "merge-base", "--is-ancestor", commit, "HEAD", cwd=repository).code == 0
    assert (
        demo.run("git", "diff", "--quiet", commit, "HEAD", "--", f"environments/{DEMO_NAME}", cwd=repository).code == 0
    )


def test_whoever_has_the_grant_reads_the_secrets_whose_names_were_printed(demo: Demo) -> None:
    names = printed(r"secrets\s+([A-Z_]+(?:, [A-Z_]+)*)", demo.said.out).split(", ")
    found = demo.secrets_of(DEMO_NAME)
    assert set(names) == set(found) == {"APP_SECRET", "SESSION_KEY"}
    assert len(set(found.values())) == len(found)
    assert all(len(value) >= 32 for value in found.values())


def test_whoever_has_no_grant_reads_and_leases_nothing(demo: Demo) -> None:
    password = secrets.token_urlsafe()
    demo.person().auth.userpass.create_or_update_user("stranger", password=password)
    stranger = hvac.Client(url=demo.ports.url("openbao"))
    stranger.auth.userpass.login("stranger", password)
    with pytest.raises(Forbidden):
        stranger.read(f"kv/data/env/{DEMO_NAME}/app")
    with pytest.raises(Forbidden):
        stranger.secrets.database.generate_credentials(f"env-{DEMO_NAME}")


def test_whoever_has_the_grant_leases_a_login_to_the_schema_alone(demo: Demo, neighbour: str) -> None:
    login = demo.lease(DEMO_NAME)
    with demo.database(*login) as connection:
        connection.execute("CREATE TABLE leased (answer int)")
        connection.execute("INSERT INTO leased VALUES (42)")
        assert connection.execute("SELECT answer FROM env_demo_api.leased").fetchone() == (42,)
    owner = "SELECT tableowner FROM pg_tables WHERE schemaname = 'env_demo_api' AND tablename = 'leased'"
    assert demo.in_database(owner) == ["env_demo_api"]

    with demo.database(*demo.lease(neighbour)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS private (n int)")
    with demo.database(*login) as connection:
        for refused in ("CREATE TABLE env_neighbour.mine (n int)", "SELECT * FROM env_neighbour.private"):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(refused)
        for refused in ("CREATE TABLE public.mine (n int)", "CREATE SCHEMA mine", "CREATE ROLE mine"):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(refused)


def test_the_team_is_told_once(demo: Demo) -> None:
    (message,) = demo.messages(DEMO_NAME)
    shown = str(message)
    environment, run = demo.show(DEMO_NAME), demo.runs(DEMO_NAME)[0]
    assert message["metadata"]["event_payload"]["event_kind"] == "environment_ready"
    assert DEMO_NAME in message["text"]
    assert environment["url"] in message["text"]
    assert "It took " in message["text"]
    assert environment["owner"]["person"] in shown
    assert run["links"]["page"] in shown


def test_one_trace_with_one_root_runs_from_the_request_to_the_message(demo: Demo) -> None:
    def spans_now() -> list[Json]:
        found: list[Json] = demo.slipway("-o", "json", "trace", DEMO_NAME).json
        return found

    # Each service exports its spans a moment later.
    wait_until(lambda: {span["name"] for span in spans_now()} >= STEPS)
    spans = spans_now()
    known = {span["id"] for span in spans}
    assert [span["name"] for span in spans if span["parent"] is None] == ["POST /api/v1/environments"]
    assert [span for span in spans if span["parent"] is not None and span["parent"] not in known] == []
    assert {span["service"] for span in spans} >= SERVICES
    trace = demo.runs(DEMO_NAME)[0]["trace_id"]
    assert demo.said.out.count(trace) == 1
    assert demo.get(f"{demo.ports.url('traces')}/trace/{trace}").status_code == 200


def test_a_second_make_demo_installs_nothing_and_shows_the_existing_one(demo: Demo) -> None:
    before = demo.events_in_log()
    said = demo.make("demo")
    assert said.code == 0, said
    assert "Installing" not in said.out
    assert "already running" in said.out
    assert said.out.splitlines()[-1] == demo.said.out.splitlines()[-1]
    assert demo.events_in_log() == before

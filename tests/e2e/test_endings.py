"""How things end: a creation that fails, a deletion, a crash of everything, and `make down`."""

from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from psutil import NoSuchProcess

from deploy.embedded import leftovers
from deploy.embedded.ports import is_free
from tests.e2e.outside import DEMO_NAME, GOLDEN_PATH, Demo
from tests.stand_ins import wait_until

EVERYTHING = {
    "schema", "owner role", "DNS record", "route", "slot", "Terraform state", "desired state", "secret", "policies",
    "database role", "workload's login", "grant",
}  # fmt: skip


def test_a_live_environment_has_one_of_everything(demo: Demo) -> None:
    assert demo.things_of(DEMO_NAME) - {"lease"} == EVERYTHING


def test_a_creation_that_fails_says_why_and_leaves_nothing_behind(demo: Demo) -> None:
    """The name of its repository is taken by another team's, so the last of the three steps cannot be done."""
    name, others = "contested", "/repos/acme/contested"
    assert demo.forge("POST", "/orgs/acme/repos", {"name": name, "auto_init": True}).status_code == 201
    mark = {"name": "SLIPWAY_MADE_FOR", "value": f"{name}/{uuid4()}/another-team"}
    assert demo.forge("POST", f"{others}/actions/variables", mark).status_code == 201
    untouched = demo.forge("GET", f"{others}/commits").json()

    said = demo.slipway("-o", "json", "create", name, "--template", GOLDEN_PATH)

    assert said.code == 1
    environment, run = said.json["environment"], said.json["run"]
    assert (environment["state"], run["state"]) == ("failed", "failed")
    assert run["failure"]["step"] == "pipeline"
    assert "another-team" in run["failure"]["message"]
    assert run["failure"]["next_step"]
    assert run["left_behind"] == []
    assert {thing["kind"] for thing in run["undone"]} >= {"database", "dns_record", "route", "namespace", "secret"}
    assert demo.things_of(name) == set()
    assert demo.forge("GET", f"{others}/commits").json() == untouched
    assert len(demo.forge("GET", f"{others}/branches").json()) == 1
    (message,) = demo.messages(name)
    assert message["metadata"]["event_payload"]["event_kind"] == "environment_failed"


def test_a_repository_that_exists_is_offered_the_pipeline_and_otherwise_left_alone(demo: Demo) -> None:
    name, ours = "adopted", "/repos/acme/adopted"
    assert demo.forge("POST", "/orgs/acme/repos", {"name": name, "auto_init": True}).status_code == 201
    before = demo.forge("GET", f"{ours}/commits").json()
    pipeline = demo.create(name)["environment"]["pipeline"]
    (offered,) = demo.forge("GET", f"{ours}/pulls").json()
    assert (pipeline["origin"], pipeline["pull_request_url"]) == ("attached", offered["html_url"])
    assert demo.forge("GET", f"{ours}/commits").json() == before

    assert demo.slipway("rm", name, "--confirm", name).code == 0
    assert demo.things_of(name) == set()
    assert demo.forge("GET", f"{ours}/commits").json() == before
    assert demo.forge("GET", f"{ours}/pulls").json() == []
    assert len(demo.forge("GET", f"{ours}/branches").json()) == 1


def test_the_terminal_shows_a_failure_with_its_next_step(demo: Demo) -> None:
    said = demo.slipway("show", "contested")
    for told in (
        "failed at pipeline",
        "the team another-team",
        "Choose another repository",
        "Nothing was left behind.",
    ):
        assert told in said.out


def test_a_deleted_environment_is_gone_everywhere_and_its_name_is_free(demo: Demo) -> None:
    name = "short-lived"
    first = demo.create(name)["environment"]
    username, _ = demo.lease(name)
    assert demo.things_of(name) == EVERYTHING | {"lease"}

    said = demo.slipway("rm", name, "--confirm", name)
    assert said.code == 0, said
    assert "is free again" in said.out.splitlines()[-1]
    assert demo.things_of(name) == set()
    assert demo.forge("GET", f"/repos/acme/{name}").status_code == 404
    assert demo.in_database("SELECT rolname FROM pg_roles WHERE rolname = %s", username) == []

    second = demo.create(name)["environment"]
    assert second["incarnation"] != first["incarnation"]
    assert demo.things_of(name) - {"lease"} == EVERYTHING
    assert demo.get(second["url"]).status_code == 200


def _remembered(demo: Demo) -> dict[str, Any]:
    """What must be the same before and after."""
    # Its first version deploys itself, and comes back by itself.
    wait_until(lambda: demo.show(DEMO_NAME)["running"] == "healthy", seconds=120)
    with demo.database(*demo.lease(DEMO_NAME)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")
        rows = connection.execute("SELECT answer FROM kept").fetchall()
    environment = demo.show(DEMO_NAME)
    # These two only grow: a life costs more by the hour, and what was seen to be down meanwhile runs since later.
    cost = Decimal(environment["cost"].pop("so_far"))
    running_since = datetime.fromisoformat(environment.pop("running_since"))
    commits = demo.forge("GET", f"/repos/acme/{DEMO_NAME}/commits").json()
    return {
        "environment": environment,
        "cost": cost,
        "running since": running_since,
        "runs": demo.runs(DEMO_NAME),
        "page": demo.get(environment["url"]).text,
        "address": demo.look_up(environment["hostname"]),
        "rows": rows,
        "secrets": demo.secrets_of(DEMO_NAME),
        "commits": [commit["sha"] for commit in commits],
        "messages": demo.messages(DEMO_NAME),
        "trace": demo.slipway("trace", DEMO_NAME).out,
        "events": demo.events_in_log(),
        "things": demo.things_of(DEMO_NAME),
    }


def _is_as(before: dict[str, Any], after: dict[str, Any]) -> None:
    for what, was in before.items():
        if what in {"cost", "running since"}:
            assert after[what] >= was, what
        else:
            assert after[what] == was, what


def test_after_everything_is_killed_make_up_brings_everything_back(demo: Demo) -> None:
    before = _remembered(demo)
    killed = leftovers.find(demo.home)
    for process in killed:
        with suppress(NoSuchProcess):  # its parent's death was its own
            process.kill()
    assert leftovers.wait_until_gone(killed) == []
    assert (demo.home.data / "postgres" / "postmaster.pid").exists()
    said = demo.make("up")
    assert said.code == 0, said
    _is_as(before, _remembered(demo))
    assert demo.slipway("doctor").code == 0


def test_make_down_leaves_no_process_and_make_up_brings_everything_back(demo: Demo) -> None:
    before = _remembered(demo)
    everything = leftovers.find(demo.home)
    assert len(everything) > 14
    said = demo.make("down")
    assert said.code == 0, said
    assert not any(leftovers.is_alive(process) for process in everything)
    assert leftovers.find(demo.home) == []
    assert [name for name, port in demo.ports_used.items() if not is_free(port)] == []
    assert demo.slipway("ls").code == 1

    said = demo.make("up")
    assert said.code == 0, said
    _is_as(before, _remembered(demo))

"""The rest of an environment's life, from the command line: planned, changed, given time, shared, called off, deleted.

One environment of each golden path goes through most of it, so that little is made twice.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from deploy.embedded import leftovers
from tests.e2e.outside import GOLDEN_PATH, Demo
from tests.stand_ins import wait_until

MANIFEST = """
apiVersion: platform/v1
kind: Application
metadata: {name: applied}
spec:
  runtime: nodejs-22
  database: postgresql
"""


def test_a_plan_makes_nothing_and_says_what_it_would_make(demo: Demo) -> None:
    before = demo.events_in_log()
    said = demo.slipway("create", "planned", "--template", GOLDEN_PATH, "--ttl", "3d", "--plan")
    assert said.code == 0, said
    assert "+ database apps/env_planned" in said.out
    assert said.out.splitlines()[-1].startswith("Plan: +4 ~0 -0. Nothing was made.")
    assert demo.events_in_log() == before
    assert demo.things_of("planned") == set()


def test_an_environment_is_changed_and_its_database_goes_only_when_its_name_is_said(demo: Demo) -> None:
    name = "changing"
    demo.create(name, "--ttl", "3d")
    updated = demo.slipway("-o", "json", "update", name, "--set", "instances=2").json
    assert (updated["run"]["kind"], updated["environment"]["parameters"]["instances"]) == ("update", 2)

    refused = demo.slipway("update", name, "--set", "database=false")
    assert refused.code == 2
    assert f"--confirm {name}" in refused.err
    assert "schema" in demo.things_of(name)
    assert demo.slipway("update", name, "--set", "database=false", "--confirm", name).code == 0
    assert "schema" not in demo.things_of(name)

    again = demo.slipway("update", name, "--set", "database=false")
    assert again.code == 0
    assert "Nothing to do" in again.err


def test_an_environment_gets_more_time_is_kept_and_let_go(demo: Demo, neighbour: str) -> None:
    extended = demo.slipway("-o", "json", "extend", neighbour, "20d").json
    assert demo.slipway("extend", neighbour, "60d").code == 2
    assert demo.slipway("keep", neighbour, "--reason", "the board looks at it").code == 0
    assert "never: the board looks at it" in demo.slipway("show", neighbour).out
    assert demo.slipway("unkeep", neighbour).code == 0
    assert demo.show(neighbour)["expires_at"] < extended["expires_at"]


def test_a_grant_opens_an_environment_and_is_taken_back(demo: Demo, neighbour: str) -> None:
    granted = demo.slipway("-o", "json", "access", "grant", neighbour, "--role", "viewer", "--team", "search").json
    assert granted["done"]
    assert "search" in demo.slipway("access", neighbour).out
    assert demo.slipway("access", "revoke", neighbour, "--role", "viewer", "--team", "search").code == 0
    assert "search" not in demo.slipway("access", neighbour).out


def test_git_says_where_the_desired_state_is(demo: Demo, neighbour: str) -> None:
    found = demo.slipway("-o", "json", "show", neighbour, "--git").json["git"]
    path = f"/repos/platform/environments/contents/{found['directory']}"
    assert demo.forge("GET", path).status_code == 200
    assert demo.forge("GET", f"/repos/platform/environments/commits/{found['commit']}").status_code == 200
    assert found["repository"].endswith("/platform/environments")


def test_a_manifest_makes_an_environment_and_then_says_that_nothing_is_to_do(demo: Demo, tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(MANIFEST)
    outcomes = [demo.slipway("-o", "json", "apply", "-f", str(file)).json["outcome"] for _ in range(2)]
    assert outcomes == ["created", "unchanged"]
    file.write_text(MANIFEST.replace("postgresql", "none"))
    assert demo.slipway("apply", "-f", str(file)).code == 2
    assert "schema" in demo.things_of("applied")


@contextmanager
def _paused(demo: Demo, module: str) -> Iterator[None]:
    """One of the platform's processes does nothing for a while."""
    (process,) = [one for one in leftovers.find(demo.home) if _command(one)[-2:] == ["-m", module]]
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def _command(process: psutil.Process) -> list[str]:
    """Nothing for one that has ended meanwhile: somebody's Terraform comes and goes."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_a_run_is_called_off_leaves_nothing_and_is_tried_again(demo: Demo) -> None:
    name = "hesitant"
    with _paused(demo, "services.cicd"):  # or the run might be over before it is called off
        begun = demo.slipway("-o", "json", "create", name, "--template", "worker", "--no-wait").json
        cancelled = demo.slipway("cancel", begun["run"]["id"], "--no-wait")
    assert cancelled.code == 0, cancelled
    wait_until(lambda: demo.runs(name)[0]["state"] in {"failed", "succeeded"})
    (run,) = demo.runs(name)
    assert (run["called_off_by"], run["left_behind"]) == ("admin", [])
    assert demo.things_of(name) == set()
    assert demo.slipway("retry", name).code == 0
    assert demo.show(name)["state"] == "ready"


def test_many_are_deleted_by_their_number(demo: Demo) -> None:
    names = ["crowd-1", "crowd-2"]
    for name in names:
        assert demo.slipway("create", name, "--template", "frontend", "--team", "crowd", "--no-wait").code == 0
    wait_until(lambda: all(demo.show(name)["state"] == "ready" for name in names), seconds=120)
    assert demo.slipway("rm", "--all", "--team", "crowd").code == 2
    said = demo.slipway("-o", "json", "rm", "--all", "--team", "crowd", "--confirm", "2")
    assert said.code == 0, said
    assert sorted(one["environment"] for one in json.loads(said.out)) == names
    assert [demo.things_of(name) for name in names] == [set(), set()]


def test_a_rollout_of_what_everybody_has_does_nothing_and_one_without_a_golden_path_is_none(demo: Demo) -> None:
    before = demo.events_in_log()
    said = demo.slipway("upgrade", "--all", "--golden-path", GOLDEN_PATH, "--plan")
    assert said.code == 0, said
    assert said.out.startswith(f"✓ done: every environment of {GOLDEN_PATH} has ")
    assert demo.slipway("-o", "json", "rollouts").json[0]["status"] == "done"
    assert demo.slipway("upgrade", "--all").code == 2
    assert demo.slipway("upgrade", "--all", "--golden-path", "no-such-path").code == 2
    assert demo.events_in_log() == before

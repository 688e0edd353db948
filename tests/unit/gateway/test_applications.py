"""Applications: manifests in YAML or JSON, carried out as creations and changes."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import EnvironmentRequested, EnvironmentUpdateRequested
from contracts.plans import PlannedChange
from contracts.values import Resource
from services.gateway.api.yaml_bodies import YAML_BYTES, parse_yaml
from services.gateway.domain.refusals import MalformedError, TooLargeError
from services.gateway.handlers.settling import Answered
from tests.unit.gateway.rig import Rig, ask, end, path, principal

ADDRESS = "/api/v1/applications"
MANIFEST = """
apiVersion: platform/v1
kind: Application
metadata:
  name: orders
spec:
  runtime: nodejs-22     # or newer
  database: postgresql
  scaling: {min: 2, max: 4}
  ingress: public
"""


def manifest(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "platform/v1",
        "kind": "Application",
        "metadata": {"name": "orders"},
        "spec": {"runtime": "nodejs-20", **spec},
    }


async def apply(rig: Rig, body: str | dict[str, Any], **headers: str) -> Any:
    kind = "application/yaml" if isinstance(body, str) else "application/json"
    content = body if isinstance(body, str) else json.dumps(body)
    async with rig.client(await rig.token()) as client:
        return await client.post(ADDRESS, content=content, headers={"Content-Type": kind, **headers})


async def test_a_manifest_becomes_an_environment_and_says_what_is_otherwise() -> None:
    rig = Rig()
    answer = await apply(rig, MANIFEST)
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert (told["outcome"], told["environment"]) == ("created", None)
    assert told["accepted"]["environment"]["parameters"] == {
        "instances": 2,
        "database": True,
        "region": "eu",
        "ratio": 0.5,
    }
    assert [warning["field"] for warning in told["warnings"]] == ["spec.runtime", "spec.scaling.max", "spec.ingress"]
    [said] = rig.log.events_said
    assert isinstance(said, EnvironmentRequested)
    assert answer.headers["Location"] == "/api/v1/environments/orders"


async def test_json_and_yaml_of_the_same_manifest_are_the_same_request() -> None:
    rig = Rig()
    first = await apply(rig, yaml.safe_dump(manifest(branch="dev")), **{"Idempotency-Key": "k"})
    again = await apply(rig, manifest(branch="dev"), **{"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["accepted"] == first.json()["accepted"]
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await apply(rig, manifest(branch="main"), **{"Idempotency-Key": "k"})
    assert other.json()["type"] == "urn:slipway:problem:idempotency_key_reused"
    assert len(rig.log.events_said) == 1


async def test_a_manifest_again_changes_nothing_and_another_one_changes_what_it_says() -> None:
    rig = Rig()
    end(rig, await rig.asking.create(principal(), ask("orders", parameters={"ratio": 0.9}), None), "ready")
    same = await apply(rig, manifest(database="postgresql"))
    assert (same.status_code, same.json()["outcome"], same.json()["accepted"]) == (200, "unchanged", None)
    assert same.json()["environment"]["name"] == "orders"
    more = await apply(rig, manifest(scaling={"min": 3, "max": 3}), **{"Idempotency-Key": "k"})
    assert (more.status_code, more.json()["outcome"]) == (202, "updated")
    again = await apply(rig, manifest(scaling={"min": 3, "max": 3}), **{"Idempotency-Key": "k"})
    assert again.json()["accepted"] == more.json()["accepted"]
    said = rig.log.events_said[-1]
    assert isinstance(said, EnvironmentUpdateRequested)
    # What the manifest does not speak of stays as it is.
    assert said.data.spec.parameters == {"instances": 3, "database": True, "region": "eu", "ratio": 0.9}


async def test_a_manifest_whose_environment_failed_makes_it_anew() -> None:
    rig = Rig()
    end(rig, await rig.asking.create(principal(), ask("orders"), None), "failed")
    assert (await apply(rig, manifest())).json()["outcome"] == "created"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"kind": "production"}, "spec.kind"),
        ({"repository": "acme/other"}, "spec.repository"),
        ({"team": "search"}, "spec.team"),
    ],
)
async def test_what_an_environment_keeps_for_life_is_not_changed(spec: dict[str, Any], field: str) -> None:
    rig = Rig()
    end(rig, await rig.asking.create(principal(), ask("orders"), None), "ready")
    answer = await apply(rig, manifest(**spec))
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"runtime": "cobol"}, ["spec.runtime"]),
        ({"cache": "redis"}, ["spec.cache"]),
        ({"scaling": {"min": 9, "max": 9}, "cache": "redis"}, ["spec.cache", "spec.scaling.min"]),
        ({"scaling": {"min": 2, "max": 1}}, ["spec.scaling"]),
        ({"scaling": {"min": "2", "max": 1}}, ["spec.scaling.min"]),
        ({"dependsOn": ["orders"]}, ["body"]),
        ({"replicas": 3}, ["body"]),
        ({"database": False}, ["spec.database"]),
    ],
)
async def test_what_cannot_be_is_refused_by_field(spec: dict[str, Any], fields: list[str]) -> None:
    answer = await apply(Rig(), manifest(**spec))
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == fields


async def test_what_it_depends_on_and_is_not_there_is_told() -> None:
    rig = Rig()
    end(rig, await rig.asking.create(principal(), ask("users"), None), "ready")
    await rig.asking.create(principal("developer", "search", person="eve"), ask("theirs"), None)
    answer = await apply(rig, manifest(dependsOn=["users", "theirs", "nobodys"]))
    told = [warning["message"] for warning in answer.json()["warnings"] if warning["field"] == "spec.dependsOn"]
    assert [message.split()[0] for message in told] == ["theirs", "nobodys"]


async def test_another_teams_name_is_taken_as_everywhere() -> None:
    rig = Rig()
    await rig.asking.create(principal("developer", "search", person="eve"), ask("orders"), None)
    answer = await apply(rig, manifest())
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:slipway:problem:name_taken")
    assert "environment" not in answer.json()


async def test_a_golden_path_that_is_not_there_is_refused_with_those_that_are() -> None:
    rig = Rig()
    rig.golden_paths.paths = [path()]
    answer = await apply(rig, manifest(goldenPath="worker"))
    assert answer.json()["errors"][0]["field"] == "spec.goldenPath"
    assert "nodejs-api" in answer.json()["errors"][0]["rule"]


# -- YAML


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: &x 1",
        "a: *x",
        "!!python/object/apply:os.system ['touch pwned']",
        "a: !!python/name:os.system",
        "a: !!binary aGVsbG8=",
        "a: !!str 1",
        "a: !include /etc/passwd",
        "<<: {a: 1}\n<<: {b: 2}",
        "a: 1\na: 2",
        "1: a",
        "{[a]: b}",
        "~: a",
        "? {a: b}\n: c",
        "[" * 5000,
        "- " * 5000,
        "a: " + "{b: " * 20 + "1" + "}" * 20,
        "a: 1\n---\nb: 2",
        "a: [",
        "\t- a",
        "a: " + "9" * 30,
        "%YAML 9.9\n---\na: 1",
        "a: \x00",
        'a: "\\ud800"',
    ],
)
def test_hostile_yaml_is_refused(text: str) -> None:
    with pytest.raises(MalformedError) as refused:
        parse_yaml(text.encode())
    assert "pwned" not in str(refused.value)
    assert "passwd" not in str(refused.value)


def test_a_body_that_is_no_text_or_too_large_is_refused() -> None:
    with pytest.raises(MalformedError):
        parse_yaml(b"a: \xff")
    with pytest.raises(TooLargeError):
        parse_yaml(b"a" * (YAML_BYTES + 1))


def test_words_are_words() -> None:
    text = "{a: no, b: on, c: off, d: yes, e: 2026-11-23, f: 1_000, g: 0x10, h: 010, i: true, j: null, k: 1.5, l: '1'}"
    assert parse_yaml(text.encode()) == {
        "a": "no",
        "b": "on",
        "c": "off",
        "d": "yes",
        "e": "2026-11-23",
        "f": "1_000",
        "g": "0x10",
        "h": "010",
        "i": True,
        "j": None,
        "k": 1.5,
        "l": "1",
    }


SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(st.characters(codec="ascii"), max_size=20)
)
TREES = st.recursive(
    SCALARS,
    lambda within: (
        st.lists(within, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=9), within, max_size=4)
    ),
    max_leaves=15,
)


@given(TREES)
def test_json_is_yaml(value: Any) -> None:
    text = json.dumps(value)
    try:
        assert parse_yaml(text.encode()) == value
    except MalformedError as error:
        assert "nested" in str(error)  # noqa: PT017 - deeper than we take


@given(st.binary(max_size=120) | st.text(alphabet="&*!<>{}[]:,-?|# \n'\"ab1~%@", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        parse_yaml(body)
    except MalformedError:
        return


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/yaml", 202),
        ("application/yaml; charset=utf-8", 202),
        ("text/yaml", 415),
        ("application/x-yaml", 415),
        ("text/plain", 415),
        ("application/yaml; charset=utf-16", 415),
    ],
)
async def test_yaml_says_that_it_is(kind: str, status: int) -> None:
    assert (await apply(Rig(), MANIFEST, **{"Content-Type": kind})).status_code == status


async def test_only_applications_come_in_yaml() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client:
        answer = await client.post(
            "/api/v1/environments",
            content="{name: demo, golden_path: nodejs-api}",
            headers={"Content-Type": "application/yaml"},
        )
    assert answer.status_code == 415


async def test_a_viewer_applies_nothing() -> None:
    rig = Rig()
    async with rig.client(await rig.token("viewer")) as client:
        assert (await client.post(ADDRESS, json=manifest())).status_code == 403


# -- before it is carried out


async def plan(rig: Rig, body: dict[str, Any]) -> Any:
    async with rig.client(await rig.token()) as client:
        return await client.post(f"{ADDRESS}:plan", json=body)


async def test_a_manifest_is_planned_and_nothing_begins() -> None:
    rig = Rig()
    answer = await plan(rig, manifest(scaling={"min": 2, "max": 4}))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["outcome"], told["plan"]["environment"]) == ("created", "orders")
    assert [warning["field"] for warning in told["warnings"]] == ["spec.scaling.max"]
    assert rig.requests.rows == {}


async def test_a_plan_of_a_manifest_again_is_one_of_a_change() -> None:
    rig = Rig()
    await apply(rig, manifest(database="postgresql"), **{"Idempotency-Key": "k"})
    [request] = rig.requests.rows.values()
    end(rig, Answered(request), "ready")
    assert (await plan(rig, manifest(database="postgresql"))).json()["outcome"] == "unchanged"
    changed = (await plan(rig, manifest(database="none"))).json()
    assert (changed["outcome"], changed["plan"]["spec"]["parameters"]["database"]) == ("updated", False)
    assert rig.planner.asked[-1][1] == request.incarnation


async def test_a_manifest_is_carried_out_as_it_was_agreed_to_or_not_at_all() -> None:
    rig = Rig()
    await apply(rig, manifest(database="postgresql"), **{"Idempotency-Key": "k"})
    [request] = rig.requests.rows.values()
    end(rig, Answered(request), "ready")
    rig.planner.changes = (PlannedChange(action="destroy", resource=Resource(kind="database", id="apps/env_orders")),)
    without = manifest(database="none")
    agreed = (await plan(rig, without)).json()["plan"]["hash"]
    async with rig.client(await rig.token()) as client:
        moved = await client.post(ADDRESS, json=without, params={"plan": "0" * 64})
        assert (moved.status_code, moved.json()["type"]) == (409, "urn:slipway:problem:plan_outdated")
        assert (await client.post(ADDRESS, json=without, params={"plan": "x"})).status_code == 422
        assert (await client.post(ADDRESS, json=without, params={"plan": agreed})).status_code == 202
    said = rig.log.events_said[-1]
    assert isinstance(said, EnvironmentUpdateRequested)
    assert said.data.accepts_loss

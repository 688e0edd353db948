"""What is thrown at the gateway, from `tests/data`: it is refused, nothing of it comes back, and nothing happens."""

import gzip
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from contracts.events import Asked, EnvironmentRequested
from tests import samples
from tests.unit.gateway.rig import Rig
from tests.unit.hostile import inputs

ROWS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "gateway_attacks.yaml").read_text(encoding="utf-8")
)
OURS = "ours-api"
SHORTEST_TELLING = 4
"""A shorter text may stand in an answer by chance."""


class Stage:
    """A gateway with one environment of the team payments, and somebody of each kind."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.run = uuid4()

    async def prepare(self) -> "Stage":
        asked = Asked(spec=samples.spec(OURS), requested_by="ada")
        self.rig.log.say(EnvironmentRequested, OURS, asked, run_id=self.run, incarnation=self.run, event_id=self.run)
        self.tokens = {
            "developer": await self.rig.token("developer"),
            "viewer": await self.rig.token("viewer"),
            "stranger": await self.rig.token("developer", "search", person="eve"),
            "admin": await self.rig.token("admin", "platform", person="root"),
            "nobody": None,
        }
        return self

    def fill(self, text: str) -> str:
        return text.replace("{ours}", OURS).replace("{our_run}", str(self.run)).replace("NINES", "9" * 5000)

    async def send(self, row: dict[str, Any]) -> httpx.Response:
        method, _, address = self.fill(row.get("request", "POST /api/v1/environments")).partition(" ")
        body = self.body(row)
        headers: list[tuple[str, str]] = []
        more = {"Content-Type": "application/json"} if body is not None else {}
        for name, value in (more | row.get("headers", {})).items():
            values = value if isinstance(value, list) else [value]
            headers += [(name, self.fill(one)) for one in values if one is not None]
        token = self.tokens[row.get("as", "developer")]
        if token is not None:
            headers.append(("Authorization", f"Bearer {token}"))
        async with self.rig.client() as client:
            request = httpx.Request(method, f"http://slipway.test{address}", headers=headers, content=body)
            return await client.send(request)

    def body(self, row: dict[str, Any]) -> bytes | None:
        if "json" in row:
            return self.fill(json.dumps(row["json"])).encode()
        if "text" in row:
            return self.fill(row["text"]).encode()
        if "escaped" in row:
            return str(row["escaped"]).encode().decode("unicode_escape").encode("latin-1")
        if "repeat" in row:
            return str(row["repeat"][0] * row["repeat"][1]).encode()
        if "gzip" in row:
            return gzip.compress(str(row["gzip"][0] * row["gzip"][1]).encode())
        return None


def sent_values(value: Any) -> list[str]:
    """Everything in a body that would be told back if it stood in the answer."""
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (*sent_values(item), *sent_values(key))]
    if isinstance(value, list):
        return [text for item in value for text in sent_values(item)]
    known = {"name", "golden_path", "nodejs-api", "parameters", "instances", "region", "team", "repository", "kind"}
    known |= {
        "role",
        "teams",
        "person",
        "admin",
        "state",
        "owner",
        "branch",
        "expires_in_days",
        "golden_path_version",
        "reason",
    }
    return [value] if isinstance(value, str) and value not in known and len(value) >= SHORTEST_TELLING else []


@pytest.mark.parametrize("row", ROWS, ids=[row["what"] for row in ROWS])
async def test_an_attack_ends_in_a_problem_and_changes_nothing(row: dict[str, Any]) -> None:
    stage = await Stage().prepare()
    before = len(stage.rig.log.events_said)
    answer = await stage.send(row)
    expected = row["expect"] if isinstance(row["expect"], list) else [row["expect"]]
    assert answer.status_code in expected, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"].startswith("urn:slipway:problem:")
    assert {"title", "detail", "instance", "trace_id", "errors"} <= problem.keys()
    for text in sent_values(row.get("json")):
        assert text not in answer.text, "the answer repeats what was sent"
    assert row.get("hidden", "\0") not in answer.text
    assert len(stage.rig.log.events_said) == before, "something was said"
    async with stage.rig.client(stage.tokens["developer"]) as client:
        assert (await client.get("/api/v1/me")).status_code == 200


@pytest.mark.parametrize("text", inputs("names"))
async def test_a_hostile_name_is_refused(text: str) -> None:
    await refused({"name": text, "golden_path": "nodejs-api"}, "name")


@pytest.mark.parametrize("text", inputs("branches"))
async def test_a_hostile_branch_is_refused(text: str) -> None:
    await refused({"name": "demo", "golden_path": "nodejs-api", "branch": text}, "branch")


@pytest.mark.parametrize("text", inputs("repositories"))
async def test_a_hostile_repository_is_refused(text: str) -> None:
    await refused({"name": "demo", "golden_path": "nodejs-api", "repository": text}, "repository")


async def refused(body: dict[str, Any], field: str) -> None:
    stage = await Stage().prepare()
    answer = await stage.send({"json": body})
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    if len(body[field]) >= SHORTEST_TELLING:
        assert json.dumps(body[field])[1:-1] not in answer.text
        assert body[field] not in answer.text
    assert len(stage.rig.log.events_said) == 1


@pytest.mark.parametrize("role", ["viewer", "developer", "admin", "stranger"])
async def test_somebody_elses_and_nobodys_look_exactly_alike(role: str) -> None:
    stage = await Stage().prepare()
    for address in ("/api/v1/environments/{}", "/api/v1/environments/{}/events", "/api/v1/environments/{}/runs"):
        theirs = await stage.send({"request": f"GET {address.format(OURS)}", "as": "stranger"})
        nobodys = await stage.send({"request": f"GET {address.format('nobodys')}", "as": role})
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.json() | {"instance": ""} == nobodys.json() | {"instance": ""}

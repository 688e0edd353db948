"""Getting into an environment's namespace with kubectl: who may, who may not, and what is left of it in the log."""

import base64
import json
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from contracts.events import AccessChange, AccessGranted
from services.gateway.handlers.settling import Answered
from tests.unit.gateway.rig import Rig, ask, end, principal

ONE = "/api/v1/environments/demo-api"
ADDRESS = f"{ONE}/kubeconfig"


async def ready(rig: Rig) -> Answered:
    answered = await rig.asking.create(principal(), ask(), None)
    end(rig, answered, "ready")
    return answered


async def asked(rig: Rig, token: str) -> tuple[int, str]:
    """Status and problem code of somebody who asks for a login."""
    async with rig.client(token) as client:
        answer = await client.post(ADDRESS)
    return answer.status_code, answer.json().get("type", "").rpartition(":")[2]


async def test_a_developer_gets_a_file_for_this_namespace_and_an_hour() -> None:
    rig = Rig()
    await ready(rig)
    async with rig.client(await rig.token()) as client:
        made = (await client.post(ADDRESS)).json()
        again = (await client.post(ADDRESS)).json()
    assert (made["environment"], made["namespace"]) == ("demo-api", "demo-api")
    assert made["expires_at"] == "2026-11-23T10:00:00.000000Z"
    config = made["kubeconfig"]
    (context,) = config["contexts"]
    assert context["name"] == config["current-context"] == "slipway-demo-api"
    assert context["context"] == {"cluster": "slipway", "user": "slipway-demo-api", "namespace": "demo-api"}
    assert config["users"] == [{"name": "slipway-demo-api", "user": {"token": made["token"]}}]
    (cluster,) = config["clusters"]
    assert cluster["cluster"]["server"] == "https://cluster.test"
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]).startswith(b"-----BEGIN CERTIFICATE")
    assert again["token"] != made["token"]


async def test_whoever_was_granted_the_role_developer_gets_one_too_and_a_viewer_does_not() -> None:
    rig = Rig()
    first = await ready(rig)
    for role, person in (("developer", "dora"), ("viewer", "vera")):
        said = AccessChange(requested_by="ada", role=role, person=person)
        incarnation = first.request.incarnation
        rig.log.say(AccessGranted, "demo-api", said, run_id=first.request.event_id, incarnation=incarnation)
    assert await asked(rig, await rig.token("developer", "search", person="dora")) == (200, "")
    assert await asked(rig, await rig.token("developer", "search", person="vera")) == (403, "forbidden")
    assert await asked(rig, await rig.token("viewer", "search", person="dora")) == (403, "forbidden")
    assert await asked(rig, await rig.token("viewer")) == (403, "forbidden")
    assert rig.clusters.given == [("demo-api", "dora")]


async def test_another_teams_environment_is_not_there() -> None:
    rig = Rig()
    await ready(rig)
    assert await asked(rig, await rig.token("developer", "search", person="eve")) == (404, "not_found")
    assert await asked(rig, "slw_nobody") == (401, "unauthenticated")
    assert rig.clusters.given == []


async def test_what_is_not_made_yet_or_gone_opens_nothing() -> None:
    rig = Rig()
    answered = await rig.asking.create(principal(), ask(), None)
    assert await asked(rig, await rig.token()) == (409, "nothing_there")
    end(rig, answered, "ready")
    rig.clusters.claims = {"demo-api": uuid4()}
    assert await asked(rig, await rig.token()) == (404, "not_found")
    end(rig, answered, "deleted")
    assert await asked(rig, await rig.token()) == (404, "not_found")


async def test_a_platform_without_a_cluster_says_so_and_one_that_is_away_asks_for_patience() -> None:
    rig = Rig()
    await ready(rig)
    rig.clusters.exists = False
    assert await asked(rig, await rig.token()) == (409, "no_cluster")
    rig.clusters.away = True
    assert await asked(rig, await rig.token()) == (503, "unavailable")


async def test_every_login_leaves_a_line_that_says_who_and_where_and_never_the_login() -> None:
    rig = Rig()
    await ready(rig)
    with capture_logs() as lines:
        async with rig.client(await rig.token()) as client:
            made = (await client.post(ADDRESS)).json()
    (line,) = [one for one in lines if one["event"] == "somebody was let into a namespace"]
    assert (line["person"], line["environment"], line["namespace"]) == ("ada", "demo-api", "demo-api")
    assert line["expires_at"].startswith("2026-11-23T10:00:00")
    assert made["token"] not in json.dumps(lines, default=str)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_login_is_made_by_post_alone(method: str) -> None:
    rig = Rig()
    await ready(rig)
    async with rig.client(await rig.token()) as client:
        assert (await client.request(method, ADDRESS)).status_code == 405
    assert rig.clusters.given == []

"""Rollouts on their pages: begun with a rehearsal, watched as far as something changes, steered; by admins only."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from contracts.events import EnvironmentReady, EnvironmentReadyData, EnvironmentUpdateRequested
from contracts.plans import PlannedChange
from contracts.values import Resource
from services.gateway.adapters.memory import MemoryPlanner
from services.gateway.domain.rollouts import Rollout
from services.gateway.portal.rollouts import stages
from tests import samples
from tests.unit.gateway.rig import Rig, ask, end, path, principal

ROUTE = PlannedChange(action="update", resource=Resource(kind="route", id="x"))
ORIGIN = {"Origin": "http://slipway.test"}


async def rig_of(*names: str) -> Rig:
    """Environments that are ready, and a newer version of their golden path."""
    rig = Rig(planner=MemoryPlanner(changes=(ROUTE,)))
    for name in names:
        answered = await rig.asking.create(principal(), ask(name), None)
        end(rig, answered, "ready")
    rig.golden_paths.paths = [path(version="9.0.0")]
    return rig


async def post(client: httpx.AsyncClient, address: str, **sent: str) -> httpx.Response:
    text = (await client.get("/feedback")).text
    token = text.partition('name="csrf_token" value="')[2].partition('"')[0]
    return await client.post(address, data={"csrf_token": token, "request_key": str(uuid4()), **sent}, headers=ORIGIN)


async def driven(rig: Rig) -> Rollout:
    while await rig.rolling.look():
        pass
    [rollout] = rig.rollout_store.rows.values()
    return rollout


def finish(rig: Rig, *names: str) -> None:
    """The runs of these end well."""
    for event in [one for one in rig.log.events_said if isinstance(one, EnvironmentUpdateRequested)]:
        if event.subject in names:
            data = EnvironmentReadyData(
                spec=event.data.spec,
                infrastructure=samples.infrastructure(event.subject),
                secrets=samples.secrets(event.subject),
                pipeline=samples.pipeline(event.subject),
                duration_seconds=1,
            )
            rig.log.say(EnvironmentReady, event.subject, data, run_id=event.run_id, incarnation=event.incarnation)


async def test_a_golden_path_says_to_admins_how_many_can_be_upgraded() -> None:
    rig = await rig_of("one", "two")
    async with rig.browser(await rig.session("admin")) as client:
        text = (await client.get("/golden-paths/nodejs-api")).text
        assert "2 can be upgraded" in text
        assert "/rollouts/new?golden_path=nodejs-api" in text
        assert "2 environments behind" in (await client.get("/rollouts")).text
        form = (await client.get("/rollouts/new", params={"golden_path": "nodejs-api"})).text
        assert "2 environments have a version before 9.0.0: 2 preview" in form
    async with rig.browser(await rig.session()) as client:
        assert "can be upgraded" not in (await client.get("/golden-paths/nodejs-api")).text
        assert 'href="/rollouts"' not in (await client.get("/golden-paths")).text


async def test_a_rollout_waits_after_its_rehearsal_and_goes_on_when_somebody_says_so() -> None:
    rig = await rig_of("one", "two", "three")
    async with rig.browser(await rig.session("admin")) as client:
        begun = await post(
            client, "/rollouts", golden_path="nodejs-api", version="9.0.0", canaries="1", batch_size="10"
        )
        assert begun.status_code == 303
        address = begun.headers["Location"]
        assert (await driven(rig)).status == "paused"
        text = (await client.get(address)).text
        assert "Nothing has been changed yet" in text
        assert "Upgrade 3 environments" in text
        assert "+0 ~1 \N{MINUS SIGN}0" in text
        assert not [one for one in rig.log.events_said if one.kind == "environment_update_requested"]

        assert (await post(client, f"{address}/resume")).status_code == 303
        rollout = await driven(rig)
        text = (await client.get(address)).text
        assert "1 under way" in text
        assert "Cancel the rest" in text
        seen = await client.get(address, params={"seen": str(rollout.revision)})
        assert (seen.status_code, seen.content) == (204, b"")
        assert (await client.get(address, params={"seen": "0"})).status_code == 200

        finish(rig, *(member.environment for member in rollout.members_in("begun")))
        assert [stage.detail for stage in stages(await driven(rig))] == [
            "3 of 3 looked at", "1 of 1 upgraded", "0 of 2 upgraded, batch 1 of 1",
        ]  # fmt: skip
        assert (await post(client, f"{address}/pause")).status_code == 303
        assert "Paused by ada." in (await client.get(address)).text
        await post(client, f"{address}/cancel")
        finish(rig, "one", "two", "three")
        rig.clock.at += timedelta(minutes=1)
        await driven(rig)
        text = (await client.get(address)).text
        assert "Cancelled by ada." in text
        assert "hx-get" not in text
        refused = await post(client, f"{address}/resume")
        assert refused.status_code == 409
        assert "This rollout is over" in refused.text


async def test_what_is_wrong_with_the_form_stands_beside_its_field() -> None:
    rig = await rig_of("one")
    async with rig.browser(await rig.session("admin")) as client:
        answer = await post(client, "/rollouts", golden_path="nodejs-api", canaries="51", batch_size="many")
        assert answer.status_code == 422
        assert re.search(r'id="f-canaries"[^>]*value="51"[^>]*aria-invalid="true"', answer.text)
        assert re.search(r'id="f-batch_size"[^>]*value="many"[^>]*aria-invalid="true"', answer.text)
        fine = {"golden_path": "nodejs-api", "canaries": "1", "batch_size": "1"}
        assert (await post(client, "/rollouts", **fine)).status_code == 303
        twice = await post(client, "/rollouts", **fine)
        assert twice.status_code == 409
        assert "is not over" in twice.text


@pytest.mark.parametrize("role", ["viewer", "developer"])
async def test_only_admins_see_and_begin_rollouts(role: Any) -> None:
    rig = await rig_of("one")
    async with rig.browser(await rig.session(role)) as client:
        for address in ("/rollouts", "/rollouts/new?golden_path=nodejs-api", f"/rollouts/{uuid4()}"):
            assert (await client.get(address)).status_code == 403
        assert (await post(client, "/rollouts", golden_path="nodejs-api")).status_code == 403
    assert rig.rollout_store.rows == {}


async def test_what_is_no_rollout_is_not_there() -> None:
    rig = await rig_of()
    async with rig.browser(await rig.session("admin")) as client:
        for name in (str(uuid4()), "..%2f..%2fetc", "x"):
            assert (await client.get(f"/rollouts/{name}")).status_code == 404
        assert (await client.get("/rollouts/new", params={"golden_path": "x"})).status_code == 404
        assert "Nothing to upgrade" in (await client.get("/rollouts/new", params={"golden_path": "nodejs-api"})).text

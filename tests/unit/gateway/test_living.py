"""More time, no end, an end again; and who else may use an environment."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from contracts.events import (
    AccessChange,
    AccessGranted,
    AccessRequested,
    AccessRevocationRequested,
    AccessRevoked,
    EnvironmentDeletionRequested,
    EnvironmentExtended,
)
from services.gateway.handlers.settling import Answered
from tests import samples
from tests.unit.gateway.rig import Rig, ask, end, path, principal

ADA = principal()
EVE = {"person": "eve"}
ADDRESS = "/api/v1/environments/demo-api"


async def ready(rig: Rig, **more: Any) -> Answered:
    answered = await rig.asking.create(ADA, ask(**more), None)
    end(rig, answered, "ready")
    return answered


def extended(rig: Rig) -> list[EnvironmentExtended]:
    return [event for event in rig.log.events_said if isinstance(event, EnvironmentExtended)]


# -- its end


async def test_more_time_counts_from_now() -> None:
    rig = Rig()
    first = await ready(rig)
    rig.clock.at += timedelta(days=3)
    async with rig.client(await rig.token(person="bob")) as client:
        answer = await client.post(f"{ADDRESS}:extend", json={"ttl": "7d"}, headers={"Idempotency-Key": "k"})
        again = await client.post(f"{ADDRESS}:extend", json={"ttl": "7d"}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == again.status_code == 200
    assert answer.json()["expires_at"] == "2026-12-03T09:00:00.000000Z"
    [said] = extended(rig)
    assert said.data.expires_at == said.data.spec.expires_at == samples.AT + timedelta(days=10)
    assert (said.data.requested_by, said.incarnation) == ("bob", first.request.incarnation)


@pytest.mark.parametrize(("ttl", "minutes"), [("10081m", 10081), ("200h", 12000), ("8d", 11520), ("2w", 20160)])
async def test_time_is_a_number_and_a_unit(ttl: str, minutes: int) -> None:
    rig = Rig()
    await ready(rig)
    async with rig.client(await rig.token()) as client:
        assert (await client.post(f"{ADDRESS}:extend", json={"ttl": ttl})).status_code == 200
    assert extended(rig)[0].data.expires_at == samples.AT + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "ttl", ["", "7", "d", "0d", "-1d", "1.5d", "7 d", "7D", "7d\n", "1y", "100000d", "٣d", 7, None]
)
async def test_any_other_time_is_refused(ttl: Any) -> None:
    rig = Rig()
    await ready(rig)
    async with rig.client(await rig.token()) as client:
        answer = await client.post(f"{ADDRESS}:extend", json={"ttl": ttl})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["ttl"]
    assert extended(rig) == []


@pytest.mark.parametrize(
    ("after_days", "ttl", "rule"),
    [
        (0, "31d", "must be 30d at most"),
        (6, "25d", "must be 24d at most"),
        (0, "6d", "must be more than 7d"),
        (0, "6d", "which it has left"),
    ],
)
async def test_more_than_the_cap_and_less_than_there_is_are_refused_with_what_is_possible(
    after_days: int, ttl: str, rule: str
) -> None:
    rig = Rig()
    await ready(rig)
    rig.clock.at += timedelta(days=after_days)
    async with rig.client(await rig.token()) as client:
        answer = await client.post(f"{ADDRESS}:extend", json={"ttl": ttl})
    assert answer.status_code == 422
    assert rule in answer.json()["errors"][0]["rule"]


async def test_at_the_cap_only_keeping_helps() -> None:
    rig = Rig()
    await ready(rig)
    async with rig.client(await rig.token()) as client:
        assert (await client.post(f"{ADDRESS}:extend", json={"ttl": "30d"})).status_code == 200
        rig.clock.at += timedelta(hours=1)
        answer = await client.post(f"{ADDRESS}:extend", json={"ttl": "30d"})
        assert "Keep it" in answer.json()["errors"][0]["rule"]


async def test_a_cap_is_the_golden_paths_and_without_one_the_platforms() -> None:
    rig = Rig()
    rig.golden_paths.paths = [path(defaults={"time_to_live": {"preview": {"days": 1, "max_days": 2}}})]
    await ready(rig)
    async with rig.client(await rig.token()) as client:
        assert (await client.post(f"{ADDRESS}:extend", json={"ttl": "3d"})).status_code == 422
        rig.golden_paths.paths = []
        assert (await client.post(f"{ADDRESS}:extend", json={"ttl": "30d"})).status_code == 200
        assert (await client.post(f"{ADDRESS}:extend", json={"ttl": "31d"})).status_code == 422


async def test_what_has_no_end_is_not_extended() -> None:
    rig = Rig()
    await ready(rig, kind="production")
    async with rig.client(await rig.token()) as client:
        assert (await client.get(ADDRESS)).json()["expires_at"] is None
        assert (await client.post(f"{ADDRESS}:extend", json={"ttl": "7d"})).status_code == 422


async def test_keeping_takes_the_end_away_with_a_reason_and_letting_go_gives_a_day_at_least() -> None:
    rig = Rig()
    await ready(rig)
    async with rig.client(await rig.token()) as client:
        kept = (await client.post(f"{ADDRESS}:keep", json={"reason": " the demo on Friday "})).json()
        assert (kept["expires_at"], kept["kept_because"]) == (None, "the demo on Friday")
        assert (await client.post(f"{ADDRESS}:extend", json={"ttl": "7d"})).status_code == 422
        rig.clock.at += timedelta(days=60)
        free = (await client.post(f"{ADDRESS}:unkeep")).json()
        assert (free["expires_at"], free["kept_because"]) == ("2027-01-23T09:00:00.000000Z", None)
        before = len(rig.log.events_said)
        assert (await client.post(f"{ADDRESS}:unkeep")).status_code == 200
        assert len(rig.log.events_said) == before


async def test_letting_go_early_gives_what_is_usual() -> None:
    rig = Rig()
    await ready(rig)
    async with rig.client(await rig.token()) as client:
        await client.post(f"{ADDRESS}:keep", json={"reason": "x"})
        assert (await client.post(f"{ADDRESS}:unkeep")).json()["expires_at"] == "2026-11-30T09:00:00.000000Z"


@pytest.mark.parametrize("reason", ["", "   ", "a\nb", "\u202eabc", "x" * 501, None, 7])
async def test_a_reason_is_one_line_that_says_something(reason: Any) -> None:
    rig = Rig()
    await ready(rig)
    async with rig.client(await rig.token()) as client:
        answer = await client.post(f"{ADDRESS}:keep", json={"reason": reason})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "reason")
        assert (await client.post(f"{ADDRESS}:keep", json={})).status_code == 422


async def test_an_end_is_not_moved_while_it_is_being_deleted() -> None:
    rig = Rig()
    await ready(rig)
    await rig.asking.delete(ADA, "demo-api", None)
    async with rig.client(await rig.token()) as client:
        answer = await client.post(f"{ADDRESS}:extend", json={"ttl": "9d"})
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:slipway:problem:run_under_way")
        assert (await client.post(f"{ADDRESS}:keep", json={"reason": "x"})).status_code == 409


async def test_a_deletion_that_begins_meanwhile_wins() -> None:
    rig = Rig()
    first = await ready(rig)

    def expires() -> None:
        run = rig.log.id_of("delete", first.request.id)
        rig.log.say(
            EnvironmentDeletionRequested,
            "demo-api",
            first.request.run,
            run_id=run,
            incarnation=first.request.incarnation,
            event_id=run,
        )

    rig.log.before_the_next_is_stored = expires
    async with rig.client(await rig.token()) as client:
        assert (await client.post(f"{ADDRESS}:extend", json={"ttl": "9d"})).status_code == 409
    assert extended(rig) == []


async def test_an_end_may_be_moved_while_a_run_is_under_way() -> None:
    rig = Rig()
    await rig.asking.create(ADA, ask(), None)
    async with rig.client(await rig.token()) as client:
        answer = await client.post(f"{ADDRESS}:extend", json={"ttl": "9d"})
    assert (answer.status_code, answer.json()["state"]) == (200, "creating")


# -- who else


def granted(rig: Rig, answered: Answered, role: str, whom: dict[str, str], *, gone: bool = False) -> None:
    """The secrets service has done it."""
    change = AccessChange.model_validate({"requested_by": "ada", "role": role, **whom})
    rig.log.say(
        AccessRevoked if gone else AccessGranted,
        "demo-api",
        change,
        run_id=answered.request.event_id,
        incarnation=answered.request.incarnation,
    )


async def test_a_grant_is_asked_for_once_and_shown_when_it_is_there() -> None:
    rig = Rig()
    first = await ready(rig)
    wanted = {"role": "developer", "person": "eve"}
    async with rig.client(await rig.token()) as client:
        answer = await client.post(f"{ADDRESS}/access", json=wanted, headers={"Idempotency-Key": "k"})
        again = await client.post(f"{ADDRESS}/access", json=wanted, headers={"Idempotency-Key": "k"})
        assert answer.status_code == again.status_code == 202
        assert answer.json() == wanted | {"team": None, "environment": "demo-api", "change": "granted"}
        assert (await client.get(f"{ADDRESS}/access")).json()["items"] == []
        granted(rig, first, "developer", EVE)
        shown = (await client.get(f"{ADDRESS}/access")).json()
        assert shown == {"owner": {"person": "ada", "team": "payments"}, "items": [wanted | {"team": None}]}
        gone = await client.delete(f"{ADDRESS}/access", params=wanted)
        assert (gone.status_code, gone.json()["change"]) == (202, "revoked")
    [asked] = [event for event in rig.log.events_said if isinstance(event, AccessRequested)]
    [revoked] = [event for event in rig.log.events_said if isinstance(event, AccessRevocationRequested)]
    assert (asked.data.role, asked.data.person, asked.data.requested_by) == ("developer", "eve", "ada")
    assert asked.incarnation == revoked.incarnation == first.request.incarnation


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "developer"},
        {"role": "developer", "person": "eve", "team": "search"},
        {"role": "owner", "person": "eve"},
        {"role": "viewer", "person": "e ve"},
        {"role": "viewer", "team": "*"},
        {"person": "eve"},
    ],
)
async def test_a_grant_names_one_person_or_one_team_and_a_role(wrong: dict[str, str]) -> None:
    rig = Rig()
    await ready(rig)
    async with rig.client(await rig.token()) as client:
        assert (await client.post(f"{ADDRESS}/access", json=wrong)).status_code == 422
        assert (await client.delete(f"{ADDRESS}/access", params=wrong)).status_code == 422


async def tries(client: httpx.AsyncClient, run: str) -> dict[str, int]:
    """What somebody may do, by what they try; the ones that change nothing first."""
    found = {
        "see": await client.get(ADDRESS),
        "events": await client.get(f"{ADDRESS}/events"),
        "runs": await client.get(f"{ADDRESS}/runs"),
        "run": await client.get(f"/api/v1/runs/{run}"),
        "access": await client.get(f"{ADDRESS}/access"),
        "plan": await client.post(f"{ADDRESS}:plan", json={"branch": "dev"}),
        "extend": await client.post(f"{ADDRESS}:extend", json={"ttl": "9d"}),
        "grant": await client.post(f"{ADDRESS}/access", json={"role": "viewer", "person": "bob"}),
        "delete": await client.delete(ADDRESS),
    }
    return {what: answer.status_code for what, answer in found.items()}


LOOKS = {"see": 200, "events": 200, "runs": 200, "run": 200, "access": 200}


@pytest.mark.parametrize(
    ("token_role", "grant_role", "may"),
    [
        ("developer", "viewer", LOOKS | {"plan": 403, "extend": 403, "grant": 403, "delete": 403}),
        ("developer", "developer", LOOKS | {"plan": 200, "extend": 200, "grant": 403, "delete": 403}),
        ("developer", "admin", LOOKS | {"plan": 200, "extend": 200, "grant": 202, "delete": 202}),
        ("viewer", "admin", LOOKS | {"plan": 403, "extend": 403, "grant": 403, "delete": 403}),
    ],
)
@pytest.mark.parametrize("whom", [{"person": "eve"}, {"team": "search"}])
async def test_a_grant_gives_exactly_its_role_in_that_one_environment(
    token_role: Any, grant_role: str, may: dict[str, int], whom: dict[str, str]
) -> None:
    rig = Rig()
    first = await ready(rig)
    end(rig, await rig.asking.create(ADA, ask("other"), None), "ready")
    granted(rig, first, grant_role, whom)
    eve = await rig.token(token_role, "search", person="eve")
    mallory = await rig.token("developer", "ops", person="mallory")
    run = str(first.request.event_id)
    async with rig.client(eve) as client, rig.client(mallory) as stranger:
        assert set((await tries(stranger, run)).values()) == {404}
        assert (await client.get(ADDRESS)).json()["your_role"] == ("viewer" if token_role == "viewer" else grant_role)
        assert await tries(client, run) == may
        assert (await client.get("/api/v1/environments/other")).status_code == 404
        listed = [(await each.get("/api/v1/environments")).json()["items"] for each in (client, stranger)]
        assert [[item["name"] for item in items] for items in listed] == [["demo-api"], []]


async def test_a_grant_that_was_taken_back_gives_nothing() -> None:
    rig = Rig()
    first = await ready(rig)
    granted(rig, first, "admin", EVE)
    granted(rig, first, "admin", EVE, gone=True)
    async with rig.client(await rig.token("developer", "search", person="eve")) as eve:
        assert set((await tries(eve, str(first.request.event_id))).values()) == {404}


async def test_a_grant_is_for_one_life_of_a_name() -> None:
    rig = Rig()
    first = await ready(rig)
    granted(rig, first, "admin", EVE)
    end(rig, await rig.asking.delete(ADA, "demo-api", None), "deleted")
    second = await rig.asking.create(ADA, ask(), None)
    async with rig.client(await rig.token("developer", "search", person="eve")) as eve:
        for run in (first, second):
            assert set((await tries(eve, str(run.request.event_id))).values()) == {404}


async def test_a_run_and_a_history_of_an_earlier_life_are_not_shown_to_who_is_granted_the_later_one() -> None:
    rig = Rig()
    first = await ready(rig)
    end(rig, await rig.asking.delete(ADA, "demo-api", None), "deleted")
    second = await ready(rig)
    granted(rig, second, "viewer", EVE)
    async with rig.client(await rig.token("developer", "search", person="eve")) as eve:
        assert (await eve.get(f"/api/v1/runs/{first.request.event_id}")).status_code == 404
        runs = (await eve.get(f"{ADDRESS}/runs")).json()["items"]
        assert [run["id"] for run in runs] == [str(second.request.event_id)]
        events = (await eve.get(f"{ADDRESS}/events")).json()["items"]
        assert {event["run_id"] for event in events} == {str(second.request.event_id)}


# -- the time of a new one


@pytest.mark.parametrize(("ttl", "days"), [("12h", 0.5), ("3d", 3), ("30d", 30)])
async def test_a_new_environment_lives_as_long_as_was_asked_for(ttl: str, days: float) -> None:
    rig = Rig()
    answered = await rig.asking.create(ADA, ask(ttl=ttl), None)
    assert answered.request.run.spec.expires_at == samples.AT + timedelta(days=days)


@pytest.mark.parametrize(
    ("more", "rule"), [({"ttl": "31d"}, "30d at most"), ({"ttl": "1d", "kind": "production"}, "end")]
)
async def test_a_new_environment_lives_no_longer_than_its_kind(more: dict[str, str], rule: str) -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client:
        answer = await client.post(
            "/api/v1/environments", json={"name": "demo-api", "golden_path": "nodejs-api", **more}
        )
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == "ttl"
    assert rule in error["rule"]
    assert rig.requests.rows == {}

"""Quotas: nobody gets more than there is, and what is gone gives its room back."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chassis.failures import TransientError
from contracts.events import EnvironmentRequested
from services.gateway.adapters.policy import read_policy
from services.gateway.domain.changes import ChangeEnvironment
from services.gateway.domain.policy import Policy
from services.gateway.domain.refusals import NameTakenError, NotAllowedError, QuotaExceededError
from services.gateway.handlers.quotas import LOOKED_SECONDS
from services.gateway.handlers.settling import Answered
from tests import samples
from tests.unit.gateway.rig import Rig, ask, end, path, principal

ADA = principal()


def rig_with(**limits: Any) -> Rig:
    return Rig(policy=Policy.read({"teams": {"payments": limits}}))


async def fill(rig: Rig, count: int, **more: Any) -> list[Answered]:
    found = [await rig.asking.create(ADA, ask(f"env-{number}", **more), None) for number in range(count)]
    for answered in found:
        end(rig, answered, "ready")
    return found


# -- how many


async def test_a_thousand_at_once_on_a_quota_of_ten_make_ten() -> None:
    rig = rig_with(environments=10)
    answers = await asyncio.gather(
        *(rig.asking.create(ADA, ask(f"env-{number}"), None) for number in range(1000)), return_exceptions=True
    )
    assert [isinstance(answer, Answered) for answer in answers].count(True) == 10
    assert [isinstance(answer, QuotaExceededError) for answer in answers].count(True) == 990
    assert len(rig.log.events_said) == 10


async def test_a_refusal_says_how_much_is_used_and_what_to_delete() -> None:
    rig = rig_with(environments=2)
    await fill(rig, 2)
    async with rig.client(await rig.token()) as client:
        answer = await client.post("/api/v1/environments", json={"name": "more", "golden_path": "nodejs-api"})
        assert answer.status_code == 403
        problem = answer.json()
        assert problem["type"] == "urn:slipway:problem:quota_exceeded"
        assert problem["quota"] == {
            "what": "environments",
            "scope": "payments",
            "used": "2",
            "limit": "2",
            "delete_one_of": ["env-0", "env-1"],
        }
        assert "2 of 2 environments of the team payments" in problem["detail"]
        assert "env-0" in problem["detail"]


async def test_what_was_refused_for_want_of_room_is_done_with_the_same_key_once_there_is_some() -> None:
    rig = rig_with(environments=1)
    [first] = await fill(rig, 1)
    with pytest.raises(QuotaExceededError):
        await rig.asking.create(ADA, ask("more"), "key")
    end(rig, await rig.asking.delete(ADA, first.request.environment, None), "deleted")
    rig.seconds += LOOKED_SECONDS + 0.1
    assert not (await rig.asking.create(ADA, ask("more"), "key")).replayed


@pytest.mark.parametrize("ending", ["deleted", "failed", "refused"])
async def test_what_is_gone_gives_its_room_back(ending: str) -> None:
    rig = rig_with(environments=1)
    if ending == "refused":
        run = uuid4()
        theirs = {"spec": samples.spec(owner={"person": "eve", "team": "search"}), "requested_by": "eve"}
        rig.log.say(EnvironmentRequested, "demo-api", theirs, run_id=run, incarnation=run, event_id=run)
        with pytest.raises(NameTakenError):
            await rig.asking.create(ADA, ask(), None)
    else:
        first = await rig.asking.create(ADA, ask(), None)
        end(rig, first, "ready" if ending == "deleted" else "failed")
        if ending == "deleted":
            end(rig, await rig.asking.delete(ADA, "demo-api", None), "deleted")
    assert isinstance(await rig.asking.create(ADA, ask("more"), None), Answered)


async def test_what_was_accepted_and_is_not_in_the_catalog_yet_keeps_its_place() -> None:
    rig = rig_with(environments=1)
    rig.log.fail_before_storing = 1
    with pytest.raises(TransientError):
        await rig.asking.create(ADA, ask("pending"), None)
    with pytest.raises(QuotaExceededError):
        await rig.asking.create(ADA, ask("more"), None)
    await rig.quotas.look()
    rig.seconds += LOOKED_SECONDS + 0.1
    with pytest.raises(QuotaExceededError):
        await rig.asking.create(ADA, ask("more"), None)


async def test_two_who_want_one_name_take_one_place() -> None:
    rig = rig_with(environments=2)
    answers = await asyncio.gather(*(rig.asking.create(ADA, ask(), None) for _ in range(20)), return_exceptions=True)
    assert [isinstance(answer, NameTakenError) for answer in answers].count(True) == 19
    assert isinstance(await rig.asking.create(ADA, ask("more"), None), Answered)


async def test_a_name_that_is_used_again_takes_one_place() -> None:
    rig = rig_with(environments=1)
    for _ in range(3):
        end(rig, await rig.asking.create(ADA, ask(), None), "ready")
        end(rig, await rig.asking.delete(ADA, "demo-api", None), "deleted")
    await rig.asking.create(ADA, ask(), None)
    with pytest.raises(QuotaExceededError):
        await rig.asking.create(ADA, ask("more"), None)


async def test_another_team_has_room_of_its_own() -> None:
    rig = rig_with(environments=1)
    await fill(rig, 1)
    search = principal("developer", "search", person="eve")
    for number in range(3):
        await rig.asking.create(search, ask(f"theirs-{number}"), None)


async def test_a_retry_needs_room_too() -> None:
    rig = rig_with(environments=1)
    first = await rig.asking.create(ADA, ask(), None)
    end(rig, first, "failed")
    await rig.asking.create(ADA, ask("more"), None)
    with pytest.raises(QuotaExceededError):
        await rig.steering.retry(ADA, str(first.request.event_id), None)


# -- previews of one repository


async def test_five_previews_of_one_repository_at_once_whoever_makes_them() -> None:
    rig = Rig()
    await fill(rig, 3, repository="acme/shop")
    eve = principal("developer", "search", person="eve")
    for number in range(2):
        await rig.asking.create(eve, ask(f"theirs-{number}", repository="acme/shop"), None)
    for asker in (ADA, eve):
        with pytest.raises(QuotaExceededError) as refused:
            await rig.asking.create(asker, ask("more", repository="acme/shop"), None)
        quota = refused.value.quota
        assert (quota.what, quota.scope, quota.used, quota.limit) == ("previews_of_repository", "acme/shop", "5", "5")
        mine = {"env-0", "env-1", "env-2"} if asker is ADA else set()
        assert set(quota.delete_one_of) == mine
    await rig.asking.create(ADA, ask("prod", repository="acme/shop", kind="production"), None)
    await rig.asking.create(ADA, ask("elsewhere", repository="acme/other"), None)


# -- cost


async def test_cost_counts_what_is_and_what_is_asked_for() -> None:
    rig = rig_with(cost_per_month=30)
    await fill(rig, 2)
    with pytest.raises(QuotaExceededError) as refused:
        await rig.asking.create(ADA, ask("more"), None)
    assert (refused.value.quota.used, refused.value.quota.limit) == ("21.90", "30")
    assert isinstance(await rig.asking.create(ADA, ask("small", parameters={"database": False}), None), Answered)


async def test_a_change_may_cost_no_more_than_there_is_and_may_always_cost_less() -> None:
    rig = rig_with(cost_per_month=20)
    [first] = await fill(rig, 1)
    with pytest.raises(QuotaExceededError):
        await rig.asking.update(ADA, "env-0", ChangeEnvironment(parameters={"instances": 3}), None)
    bigger = await rig.asking.update(ADA, "env-0", ChangeEnvironment(parameters={"instances": 2}), None)
    assert isinstance(bigger, Answered)
    end(rig, bigger, "ready")
    rig.quotas.policy.teams["payments"] = Policy.read({"defaults": {"cost_per_month": 1}}).defaults
    smaller = await rig.asking.update(ADA, "env-0", ChangeEnvironment(parameters={"database": False}), None)
    assert isinstance(smaller, Answered)
    assert smaller.request.incarnation == first.request.incarnation


async def test_what_a_change_that_failed_would_have_cost_is_given_back() -> None:
    rig = rig_with(cost_per_month=25)
    await fill(rig, 1)
    bigger = await rig.asking.update(ADA, "env-0", ChangeEnvironment(parameters={"instances": 2}), None)
    assert isinstance(bigger, Answered)
    with pytest.raises(QuotaExceededError):
        await rig.asking.create(ADA, ask("more"), None)
    end(rig, bigger, "failed")
    await rig.quotas.look()
    assert isinstance(await rig.asking.create(ADA, ask("more"), None), Answered)


# -- looking after them


async def test_environments_that_were_there_before_quotas_count() -> None:
    rig = rig_with(environments=2)
    await fill(rig, 2)
    rig.requests.places.rows.clear()
    await rig.quotas.look()
    with pytest.raises(QuotaExceededError):
        await rig.asking.create(ADA, ask("more"), None)


async def test_a_look_gives_back_everything_that_is_over_and_nothing_else() -> None:
    rig = Rig()
    found = await fill(rig, 3)
    end(rig, await rig.asking.delete(ADA, "env-1", None), "deleted")
    await rig.quotas.look()
    assert set(rig.requests.places.rows) == {found[0].request.incarnation, found[2].request.incarnation}


# -- what a team may have at all


async def test_a_golden_path_or_a_kind_that_is_not_the_teams_is_refused_with_what_is() -> None:
    rig = rig_with(golden_paths=["worker"], kinds=["production"])
    with pytest.raises(NotAllowedError, match="golden paths: worker"):
        await rig.asking.create(ADA, ask(), None)
    rig = rig_with(kinds=["production"])
    with pytest.raises(NotAllowedError, match="kinds: production"):
        await rig.asking.create(ADA, ask(), None)
    await rig.asking.create(ADA, ask(kind="production"), None)
    async with rig.client(await rig.token()) as client:
        answer = await client.post("/api/v1/environments:plan", json={"name": "x", "golden_path": "nodejs-api"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:slipway:problem:not_allowed")


def test_a_teams_limits_stand_over_everybodys() -> None:
    policy = Policy.read(
        {"defaults": {"environments": 5, "kinds": ["preview"]}, "teams": {"ops": {"environments": None}}}
    )
    assert (policy.of("ops").environments, policy.of("ops").kinds) == (None, ("preview",))
    assert (policy.of("payments").environments, policy.of("payments").previews_per_repository) == (5, 5)


def test_without_a_file_only_previews_of_a_repository_are_limited() -> None:
    limits = read_policy(None).of("payments")
    assert limits.model_dump(exclude_none=True) == {"previews_per_repository": 5}


@pytest.mark.parametrize(
    "text",
    [
        "defaults: {environments: -1}",
        "defaults: {environmens: 1}",
        "teams: [payments]",
        "teams: {'*': {}}",
        "!!python/object/apply:os.system [id]",
        "a: [",
        "[]",
        "defaults: {cost_per_month: .nan}",
    ],
)
def test_a_policy_that_cannot_be_understood_stops_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match="policy"):
        read_policy(file)
    with pytest.raises(ValueError, match="missing"):
        read_policy(tmp_path / "missing")


def test_an_empty_policy_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("# nothing yet\n")
    assert read_policy(file) == Policy()


async def test_a_golden_path_that_is_gone_costs_nothing_and_is_counted_all_the_same() -> None:
    rig = rig_with(environments=1)
    await fill(rig, 1)
    rig.golden_paths.paths = []
    await rig.quotas.look()
    rig.golden_paths.paths = [path()]
    with pytest.raises(QuotaExceededError):
        await rig.asking.create(ADA, ask("more"), None)

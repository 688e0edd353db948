"""What the update of a pipeline promises, on the twin in memory and on the embedded forge."""

import pytest

from chassis.failures import PermanentError
from contracts.values import Receipt
from tests.contract.pipelines.workbench import NEW, Workbench, at_version, attached_to, made_for, workflow_of
from tests.unit.cicd.events import deletion_requested, spec

# -- a repository of our own -------------------------------------------------------------------------------------------


async def test_a_workflow_that_nobody_touched_is_updated_by_a_commit(bench: Workbench) -> None:
    before = await made_for(bench, "up-api")
    theirs = await bench.push(before.repository, "main", {"src/routes.js": b"// weeks of work\n"})
    bench.publish(NEW)

    pipeline = await bench.update(at_version(NEW, before), before)

    assert (pipeline.origin, pipeline.pull_request_url) == ("created", None)
    assert (await bench.forge.branches(before.repository)) == {"main": pipeline.commit}
    assert f"nodejs-api {NEW}" in (await bench.workflow(before, "main") or "")
    assert await bench.forge.read(before.repository, "src/routes.js", at="main") == b"// weeks of work\n"
    (commit, *_) = await bench.forge.history(before.repository, pipeline.commit, limit=1)
    assert commit.parents == (theirs,)
    assert NEW in commit.message


async def test_an_update_that_changes_nothing_of_the_pipeline_makes_no_commit(bench: Workbench) -> None:
    before = await made_for(bench, "same-up-api")
    state = await bench.state(before.repository)
    larger = before.model_copy(update={"parameters": {"instances": 3}})
    pipeline = await bench.update(larger, before)
    assert await bench.state(before.repository) == state
    assert pipeline.pull_request_url is None
    bench.publish(NEW)
    assert await bench.update(larger, before) == pipeline, "the version it was made with is not published any more"
    assert await bench.state(before.repository) == state


async def test_updating_twice_is_updating_once(bench: Workbench) -> None:
    before = await made_for(bench, "up-twice-api")
    bench.publish(NEW)
    first = await bench.update(at_version(NEW, before), before)
    state = await bench.state(before.repository)
    assert await bench.update(at_version(NEW, before), before) == first
    assert await bench.state(before.repository) == state


async def test_a_workflow_that_its_owner_changed_is_offered_the_update_in_a_pull_request(bench: Workbench) -> None:
    before = await made_for(bench, "mine-api")
    theirs = await bench.push(before.repository, "main", {workflow_of("mine-api"): b"name: mine\non: push\n"})
    bench.publish(NEW)

    pipeline = await bench.update(at_version(NEW, before), before)

    assert pipeline.pull_request_url is not None
    assert (await bench.forge.branches(before.repository))["main"] == theirs
    assert await bench.workflow(before, "main") == "name: mine\non: push\n"
    assert f"nodejs-api {NEW}" in (await bench.workflow(before, pipeline.commit) or "")
    assert await bench.update(at_version(NEW, before), before) == pipeline
    pulls = [one for branch in await bench.forge.branches(before.repository) for one in await _pulls(bench, branch)]
    assert len(pulls) == 1


async def _pulls(bench: Workbench, branch: str, repository: str = "acme/mine-api") -> list[int]:
    return [pull.number for pull in await bench.forge.pull_requests(repository, head=branch)]


async def test_a_workflow_that_its_owner_removed_is_not_put_back(bench: Workbench) -> None:
    before = await made_for(bench, "gone-flow-api")
    await bench.discard(before.repository, "main", workflow_of("gone-flow-api"))
    bench.publish(NEW)
    pipeline = await bench.update(at_version(NEW, before), before)
    assert pipeline.pull_request_url is not None
    assert await bench.workflow(before, "main") is None


async def test_another_branch_deploys_from_then_on_and_the_old_one_no_longer(bench: Workbench) -> None:
    before = await made_for(bench, "moved-api")
    await bench.push(before.repository, "trunk", {"a": b"a"})

    pipeline = await bench.update(wanted := before.model_copy(update={"branch": "trunk"}), before)

    assert (pipeline.branch, pipeline.pull_request_url) == ("trunk", None)
    for branch in ("main", "trunk"):
        assert 'branches: ["trunk"]' in (await bench.workflow(before, branch) or "")
    state = await bench.state(before.repository)
    assert await bench.update(wanted, before) == pipeline
    assert await bench.state(before.repository) == state


async def test_a_branch_that_is_not_there_is_refused_and_nothing_is_changed(bench: Workbench) -> None:
    before = await made_for(bench, "up-nobranch-api")
    state = await bench.state(before.repository)
    with pytest.raises(PermanentError) as refused:
        await bench.update(before.model_copy(update={"branch": "feature-x"}), before)
    assert refused.value.code == "branch_missing"
    assert await bench.state(before.repository) == state


async def test_a_repository_that_is_gone_is_not_made_again(bench: Workbench) -> None:
    before = await made_for(bench, "lost-up-api")
    await bench.forge.delete(before.repository)
    with pytest.raises(PermanentError) as refused:
        await bench.update(before, before)
    assert refused.value.code == "repository_missing"
    assert await bench.restore(before, before) == Receipt()
    assert await bench.forge.find(before.repository) is None


async def test_an_environment_that_changes_hands_is_marked_anew_and_back(bench: Workbench) -> None:
    before = await made_for(bench, "hands-api")
    handed = spec("hands-api", owner={"person": "bob", "team": "search"})
    await bench.update(handed, before)
    variables = await bench.forge.variables(before.repository)
    assert variables["SLIPWAY_MADE_FOR"].endswith("/search")
    receipt = await bench.restore(handed, before)
    assert sorted(one.id for one in receipt.restored) == [
        "acme/hands-api/SLIPWAY_ENV_HANDS_API",
        "acme/hands-api/SLIPWAY_MADE_FOR",
    ]
    assert (await bench.forge.variables(before.repository))["SLIPWAY_MADE_FOR"].endswith("/payments")


async def test_an_updated_environment_is_deleted_with_all_that_was_made_for_it(bench: Workbench) -> None:
    before = await made_for(bench, "grown-api")
    bench.publish(NEW)
    await bench.update(at_version(NEW, before), before)
    bench.publish("3.0.0")
    receipt = (await bench.deeds().remove_pipeline(deletion_requested(at_version(NEW, before)))).receipt
    assert [resource.id for resource in receipt.removed] == ["acme/grown-api"]
    assert await bench.forge.find(before.repository) is None


async def test_an_update_may_repair_what_somebody_took_away(bench: Workbench) -> None:
    before = await made_for(bench, "repair-api")
    state = await bench.state(before.repository)
    await bench.forge.delete_variable(before.repository, "SLIPWAY_URL")
    await bench.forge.delete_environment(before.repository, "repair-api")
    await bench.update(before, before)
    assert await bench.state(before.repository) == state


# -- a repository of somebody else's -----------------------------------------------------------------------------------


async def test_a_merged_workflow_is_offered_the_update_in_a_pull_request(bench: Workbench) -> None:
    before = await attached_to(bench, "old-up-api", merged=True)
    head = (await bench.forge.branches(before.repository))["main"]
    bench.publish(NEW)

    pipeline = await bench.update(at_version(NEW, before), before)

    assert (pipeline.origin, pipeline.commit != head) == ("attached", True)
    assert pipeline.pull_request_url is not None
    assert (await bench.forge.branches(before.repository))["main"] == head
    assert f"nodejs-api {NEW}" in (await bench.workflow(before, pipeline.commit) or "")


async def test_an_offer_that_nobody_took_yet_is_brought_up_to_date(bench: Workbench) -> None:
    before = await attached_to(bench, "open-up-api", merged=False)
    (first,) = await bench.forge.pull_requests(before.repository, head="slipway/open-up-api")
    bench.publish(NEW)

    pipeline = await bench.update(at_version(NEW, before), before)

    assert pipeline.pull_request_url == first.html_url
    assert sorted(await bench.forge.branches(before.repository)) == ["main", "slipway/open-up-api"]
    assert f"nodejs-api {NEW}" in (await bench.workflow(before, "slipway/open-up-api") or "")
    assert await bench.update(at_version(NEW, before), before) == pipeline


async def test_an_offer_that_somebody_worked_on_is_left_as_it_is(bench: Workbench) -> None:
    before = await attached_to(bench, "helped-api", merged=False)
    theirs = await bench.push(before.repository, "slipway/helped-api", {workflow_of("helped-api"): b"on: push\n"})
    bench.publish(NEW)
    pipeline = await bench.update(at_version(NEW, before), before)
    assert (await bench.forge.branches(before.repository))["slipway/helped-api"] == theirs
    assert f"nodejs-api {NEW}" in (await bench.workflow(before, pipeline.commit) or "")


async def test_a_deletion_withdraws_every_offer_of_every_update(bench: Workbench) -> None:
    before = await attached_to(bench, "offers-api", merged=True)
    bench.publish(NEW)
    await bench.update(at_version(NEW, before), before)
    receipt = await bench.remove(at_version(NEW, before))
    assert sorted({resource.kind for resource in receipt.removed}) == [
        "branch",
        "deployment_environment",
        "pull_request",
        "variable",
    ]
    assert receipt.left_behind == ()
    assert set(await bench.forge.branches(before.repository)) == {"main", "slipway/offers-api--detach"}

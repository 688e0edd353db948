"""What the update of a pipeline promises, and the road back of one that failed, on the twin in memory and on the
embedded forge."""

import contextlib
from typing import Any

import pytest

from chassis.failures import PermanentError, TransientError
from contracts.values import EnvironmentSpec, Receipt
from services.cicd.ports import Forge
from tests.contract.pipelines.workbench import Interrupted, Workbench, workflow_of, writes_of
from tests.unit.cicd.events import deletion_requested, secrets_stored, spec

NEW = "2.0.0"


def to(version: str, before: EnvironmentSpec, **changes: Any) -> EnvironmentSpec:
    """The desired state with another version of the golden path."""
    return before.model_copy(update={"golden_path_version": version, **changes})


async def made(bench: Workbench, name: str) -> EnvironmentSpec:
    """An environment with a repository of its own."""
    before = spec(name)
    await bench.create(before)
    return before


async def attached(bench: Workbench, name: str, *, merged: bool) -> EnvironmentSpec:
    """An environment in a repository of somebody else's."""
    before = spec(name)
    await bench.existing(before.repository)
    await bench.create(before)
    if merged:
        await bench.merge(before.repository, f"slipway/{name}", "main")
    return before


# -- a repository of our own -------------------------------------------------------------------------------------------


async def test_a_workflow_that_nobody_touched_is_updated_by_a_commit(bench: Workbench) -> None:
    before = await made(bench, "up-api")
    theirs = await bench.push(before.repository, "main", {"src/routes.js": b"// weeks of work\n"})
    bench.publish(NEW)

    pipeline = await bench.update(to(NEW, before), before)

    assert (pipeline.origin, pipeline.pull_request_url) == ("created", None)
    assert (await bench.forge.branches(before.repository)) == {"main": pipeline.commit}
    assert f"nodejs-api {NEW}" in (await bench.workflow(before, "main") or "")
    assert await bench.forge.read(before.repository, "src/routes.js", at="main") == b"// weeks of work\n"
    (commit, *_) = await bench.forge.history(before.repository, pipeline.commit, limit=1)
    assert commit.parents == (theirs,)
    assert NEW in commit.message


async def test_an_update_that_changes_nothing_of_the_pipeline_makes_no_commit(bench: Workbench) -> None:
    before = await made(bench, "same-up-api")
    state = await bench.state(before.repository)
    larger = before.model_copy(update={"parameters": {"instances": 3}})
    pipeline = await bench.update(larger, before)
    assert await bench.state(before.repository) == state
    assert pipeline.pull_request_url is None
    bench.publish(NEW)
    assert await bench.update(larger, before) == pipeline, "the version it was made with is not published any more"
    assert await bench.state(before.repository) == state


async def test_updating_twice_is_updating_once(bench: Workbench) -> None:
    before = await made(bench, "up-twice-api")
    bench.publish(NEW)
    first = await bench.update(to(NEW, before), before)
    state = await bench.state(before.repository)
    assert await bench.update(to(NEW, before), before) == first
    assert await bench.state(before.repository) == state


async def test_a_workflow_that_its_owner_changed_is_offered_the_update_in_a_pull_request(bench: Workbench) -> None:
    before = await made(bench, "mine-api")
    theirs = await bench.push(before.repository, "main", {workflow_of("mine-api"): b"name: mine\non: push\n"})
    bench.publish(NEW)

    pipeline = await bench.update(to(NEW, before), before)

    assert pipeline.pull_request_url is not None
    assert (await bench.forge.branches(before.repository))["main"] == theirs
    assert await bench.workflow(before, "main") == "name: mine\non: push\n"
    assert f"nodejs-api {NEW}" in (await bench.workflow(before, pipeline.commit) or "")
    assert await bench.update(to(NEW, before), before) == pipeline
    pulls = [one for branch in await bench.forge.branches(before.repository) for one in await _pulls(bench, branch)]
    assert len(pulls) == 1


async def _pulls(bench: Workbench, branch: str, repository: str = "acme/mine-api") -> list[int]:
    return [pull.number for pull in await bench.forge.pull_requests(repository, head=branch)]


async def test_a_workflow_that_its_owner_removed_is_not_put_back(bench: Workbench) -> None:
    before = await made(bench, "gone-flow-api")
    await bench.discard(before.repository, "main", workflow_of("gone-flow-api"))
    bench.publish(NEW)
    pipeline = await bench.update(to(NEW, before), before)
    assert pipeline.pull_request_url is not None
    assert await bench.workflow(before, "main") is None


async def test_another_branch_deploys_from_then_on_and_the_old_one_no_longer(bench: Workbench) -> None:
    before = await made(bench, "moved-api")
    await bench.push(before.repository, "trunk", {"a": b"a"})

    pipeline = await bench.update(wanted := before.model_copy(update={"branch": "trunk"}), before)

    assert (pipeline.branch, pipeline.pull_request_url) == ("trunk", None)
    for branch in ("main", "trunk"):
        assert 'branches: ["trunk"]' in (await bench.workflow(before, branch) or "")
    state = await bench.state(before.repository)
    assert await bench.update(wanted, before) == pipeline
    assert await bench.state(before.repository) == state


async def test_a_branch_that_is_not_there_is_refused_and_nothing_is_changed(bench: Workbench) -> None:
    before = await made(bench, "up-nobranch-api")
    state = await bench.state(before.repository)
    with pytest.raises(PermanentError) as refused:
        await bench.update(before.model_copy(update={"branch": "feature-x"}), before)
    assert refused.value.code == "branch_missing"
    assert await bench.state(before.repository) == state


async def test_a_repository_that_is_gone_is_not_made_again(bench: Workbench) -> None:
    before = await made(bench, "lost-up-api")
    await bench.forge.delete(before.repository)
    with pytest.raises(PermanentError) as refused:
        await bench.update(before, before)
    assert refused.value.code == "repository_missing"
    assert await bench.restore(before, before) == Receipt()
    assert await bench.forge.find(before.repository) is None


async def test_an_environment_that_changes_hands_is_marked_anew_and_back(bench: Workbench) -> None:
    before = await made(bench, "hands-api")
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
    before = await made(bench, "grown-api")
    bench.publish(NEW)
    await bench.update(to(NEW, before), before)
    bench.publish("3.0.0")
    receipt = (await bench.deeds().remove_pipeline(deletion_requested(to(NEW, before)))).receipt
    assert [resource.id for resource in receipt.removed] == ["acme/grown-api"]
    assert await bench.forge.find(before.repository) is None


async def test_an_update_may_repair_what_somebody_took_away(bench: Workbench) -> None:
    before = await made(bench, "repair-api")
    state = await bench.state(before.repository)
    await bench.forge.delete_variable(before.repository, "SLIPWAY_URL")
    await bench.forge.delete_environment(before.repository, "repair-api")
    await bench.update(before, before)
    assert await bench.state(before.repository) == state


# -- a repository of somebody else's -----------------------------------------------------------------------------------


async def test_a_merged_workflow_is_offered_the_update_in_a_pull_request(bench: Workbench) -> None:
    before = await attached(bench, "old-up-api", merged=True)
    head = (await bench.forge.branches(before.repository))["main"]
    bench.publish(NEW)

    pipeline = await bench.update(to(NEW, before), before)

    assert (pipeline.origin, pipeline.commit != head) == ("attached", True)
    assert pipeline.pull_request_url is not None
    assert (await bench.forge.branches(before.repository))["main"] == head
    assert f"nodejs-api {NEW}" in (await bench.workflow(before, pipeline.commit) or "")


async def test_an_offer_that_nobody_took_yet_is_brought_up_to_date(bench: Workbench) -> None:
    before = await attached(bench, "open-up-api", merged=False)
    (first,) = await bench.forge.pull_requests(before.repository, head="slipway/open-up-api")
    bench.publish(NEW)

    pipeline = await bench.update(to(NEW, before), before)

    assert pipeline.pull_request_url == first.html_url
    assert sorted(await bench.forge.branches(before.repository)) == ["main", "slipway/open-up-api"]
    assert f"nodejs-api {NEW}" in (await bench.workflow(before, "slipway/open-up-api") or "")
    assert await bench.update(to(NEW, before), before) == pipeline


async def test_an_offer_that_somebody_worked_on_is_left_as_it_is(bench: Workbench) -> None:
    before = await attached(bench, "helped-api", merged=False)
    theirs = await bench.push(before.repository, "slipway/helped-api", {workflow_of("helped-api"): b"on: push\n"})
    bench.publish(NEW)
    pipeline = await bench.update(to(NEW, before), before)
    assert (await bench.forge.branches(before.repository))["slipway/helped-api"] == theirs
    assert f"nodejs-api {NEW}" in (await bench.workflow(before, pipeline.commit) or "")


async def test_a_deletion_withdraws_every_offer_of_every_update(bench: Workbench) -> None:
    before = await attached(bench, "offers-api", merged=True)
    bench.publish(NEW)
    await bench.update(to(NEW, before), before)
    receipt = await bench.remove(to(NEW, before))
    assert sorted({resource.kind for resource in receipt.removed}) == [
        "branch",
        "deployment_environment",
        "pull_request",
        "variable",
    ]
    assert receipt.left_behind == ()
    assert list(await bench.forge.branches(before.repository)) == ["main"]


# -- the road back -----------------------------------------------------------------------------------------------------


async def test_a_failed_update_is_put_back_by_a_commit(bench: Workbench) -> None:
    before = await made(bench, "back-up-api")
    was = await bench.workflow(before, "main")
    bench.publish(NEW)
    await bench.update(to(NEW, before), before)

    receipt = await bench.restore(to(NEW, before), before)

    assert [(one.kind, one.id) for one in receipt.restored] == [
        ("workflow", "acme/back-up-api/.github/workflows/slipway-back-up-api.yml@main")
    ]
    assert (receipt.removed, receipt.left_behind, receipt.kept) == ((), (), ())
    assert await bench.workflow(before, "main") == was
    state = await bench.state(before.repository)
    assert await bench.restore(to(NEW, before), before) == receipt, "the receipt of a repeated undo tells the same"
    assert await bench.state(before.repository) == state
    again = await bench.update(to(NEW, before), before, run="another")
    assert again.pull_request_url is None, "what was put back is still ours to update"


async def test_work_that_came_after_the_update_is_not_undone_with_it(bench: Workbench) -> None:
    before = await made(bench, "after-api")
    bench.publish(NEW)
    await bench.update(to(NEW, before), before)
    await bench.push(before.repository, "main", {"src/routes.js": b"// after\n"})
    receipt = await bench.restore(to(NEW, before), before)
    assert len(receipt.restored) == 1
    assert await bench.forge.read(before.repository, "src/routes.js", at="main") == b"// after\n"


async def test_a_workflow_that_its_owner_changed_after_the_update_stays_theirs(bench: Workbench) -> None:
    before = await made(bench, "after-flow-api")
    bench.publish(NEW)
    await bench.update(to(NEW, before), before)
    theirs = await bench.push(before.repository, "main", {workflow_of("after-flow-api"): b"on: push\n"})
    assert await bench.restore(to(NEW, before), before) == Receipt()
    assert (await bench.forge.branches(before.repository))["main"] == theirs


async def test_what_an_owner_wrote_and_got_back_is_not_taken_for_ours(bench: Workbench) -> None:
    before = await made(bench, "got-back-api")
    await bench.push(before.repository, "main", {workflow_of("got-back-api"): b"name: mine\non: push\n"})
    bench.publish(NEW)
    pipeline = await bench.update(to(NEW, before), before)
    head = next(branch for branch in await bench.forge.branches(before.repository) if branch != "main")
    await bench.merge(before.repository, head, "main")

    receipt = await bench.restore(to(NEW, before), before)

    assert [one.kind for one in receipt.restored] == ["workflow"]
    assert await bench.workflow(before, "main") == "name: mine\non: push\n"
    again = await bench.update(to(NEW, before), before, run="another")
    assert again.pull_request_url not in {None, pipeline.pull_request_url}


async def test_an_offer_of_a_failed_update_is_withdrawn(bench: Workbench) -> None:
    before = await attached(bench, "undo-offer-api", merged=True)
    state = await bench.state(before.repository)
    bench.publish(NEW)
    await bench.update(to(NEW, before), before)
    receipt = await bench.restore(to(NEW, before), before)
    assert [one.kind for one in receipt.removed] == ["pull_request", "branch"]
    assert (receipt.restored, receipt.left_behind) == ((), ())
    assert await bench.state(before.repository) == state


async def test_an_offer_that_was_brought_up_to_date_is_put_back(bench: Workbench) -> None:
    before = await attached(bench, "undo-open-api", merged=False)
    was = await bench.workflow(before, "slipway/undo-open-api")
    bench.publish(NEW)
    await bench.update(to(NEW, before), before)
    receipt = await bench.restore(to(NEW, before), before)
    assert [one.kind for one in receipt.restored] == ["workflow"]
    assert await bench.workflow(before, "slipway/undo-open-api") == was
    (pull,) = await bench.forge.pull_requests(before.repository, head="slipway/undo-open-api")
    assert pull.open


async def test_an_update_that_was_merged_before_it_failed_is_left_and_said_to_be(bench: Workbench) -> None:
    before = await attached(bench, "hasty-api", merged=True)
    bench.publish(NEW)
    await bench.update(to(NEW, before), before)
    head = next(branch for branch in await bench.forge.branches(before.repository) if "--" in branch)
    await bench.merge(before.repository, head, "main")
    receipt = await bench.restore(to(NEW, before), before)
    (left,) = receipt.left_behind
    assert left.resource.kind == "workflow"
    assert "revert its merge" in left.reason


@pytest.mark.parametrize("own", [True, False], ids=["own", "attached"])
async def test_a_failed_move_to_another_branch_is_put_back_on_both(bench: Workbench, own: bool) -> None:
    name = f"unmoved-{'own' if own else 'old'}-api"
    before = await made(bench, name) if own else await attached(bench, name, merged=False)
    await bench.push(before.repository, "trunk", {"a": b"a"})
    wanted = before.model_copy(update={"branch": "trunk"})
    flows = {branch: await bench.workflow(before, branch) for branch in await bench.forge.branches(before.repository)}

    moved = await bench.update(wanted, before)
    assert (moved.pull_request_url is None) == own
    receipt = await bench.restore(wanted, before)

    assert receipt.left_behind == ()
    now = {branch: await bench.workflow(before, branch) for branch in await bench.forge.branches(before.repository)}
    assert now == flows
    if not own:
        (pull,) = await bench.forge.pull_requests(before.repository, head=f"slipway/{name}")
        assert (pull.base, pull.open) == ("main", True)


async def test_the_road_back_of_an_update_that_had_not_begun_changes_nothing(bench: Workbench) -> None:
    before = await made(bench, "unbegun-api")
    state = await bench.state(before.repository)
    assert await bench.restore(to(NEW, before), before) == Receipt()
    assert await bench.state(before.repository) == state


async def test_a_run_puts_back_what_it_did_and_not_what_an_earlier_one_did(bench: Workbench) -> None:
    first = await made(bench, "layers-api")
    bench.publish(NEW)
    await bench.update(second := to(NEW, first), first, run="one")
    bench.publish("3.0.0")
    await bench.update(third := to("3.0.0", first), second, run="two")
    await bench.restore(third, second, run="two")
    assert f"nodejs-api {NEW}" in (await bench.workflow(first, "main") or "")
    assert await bench.restore(third, second, run="three") == Receipt()


# -- broken off at every write -----------------------------------------------------------------------------------------


async def _scene(bench: Workbench, kind: str, name: str) -> tuple[EnvironmentSpec, EnvironmentSpec]:
    """An environment, and another state for it: one where the update commits, one where it offers, one where it does
    both on two branches."""
    before = await (attached(bench, name, merged=kind == "merged") if kind != "own" else made(bench, name))
    await bench.push(before.repository, "trunk", {"a": b"a"})
    return before, before.model_copy(update={"branch": "trunk"})


@pytest.mark.parametrize("after", [False, True], ids=["request-lost", "answer-lost"])
@pytest.mark.parametrize("kind", ["own", "merged", "open"])
async def test_an_update_broken_off_at_any_write_is_finished_or_put_back_by_repeating_it(
    bench: Workbench, kind: str, after: bool
) -> None:
    prefix = f"up-{kind}-{'answer' if after else 'request'}"
    before, wanted = await _scene(bench, kind, f"{prefix}-x")
    untouched = await _flows(bench, before)

    async def whole(forge: Forge) -> None:
        await bench.update(wanted, before, forge=forge)

    writes = await writes_of(whole, bench.forge)
    finished = await _flows(bench, before)
    assert writes >= 2
    assert finished != untouched

    for at in range(1, writes + 1):
        before, wanted = await _scene(bench, kind, f"{prefix}-{at}")
        with contextlib.suppress(TransientError):
            await bench.update(wanted, before, forge=Interrupted(bench.forge, at, after))
        if at % 2:
            await bench.update(wanted, before)
            assert await _flows(bench, before) == finished, f"after breaking off at write {at}"
        receipt = await bench.restore(wanted, before)
        assert receipt.left_behind == ()
        assert await _flows(bench, before) == untouched, f"put back after breaking off at write {at}"


async def _flows(bench: Workbench, of: EnvironmentSpec) -> dict[str, Any]:
    """The workflow on each branch and the pull requests, told without the name and the run."""
    told: dict[str, Any] = {}
    for branch in await bench.forge.branches(of.repository):
        flow = await bench.workflow(of, branch)
        told[branch.replace(of.name, "NAME")] = (
            flow and flow.replace(of.name, "NAME"),
            [(pull.base, pull.open) for pull in await bench.forge.pull_requests(of.repository, head=branch)],
        )
    return told


@pytest.mark.parametrize("after", [False, True], ids=["request-lost", "answer-lost"])
async def test_a_road_back_broken_off_at_any_write_is_finished_by_repeating_it(bench: Workbench, after: bool) -> None:
    prefix = f"unback-{'answer' if after else 'request'}"
    at, finished = 0, False
    while not finished:
        at += 1
        before, wanted = await _scene(bench, "open", f"{prefix}-{at}")
        untouched = await _flows(bench, before)
        await bench.update(wanted, before)
        interrupted = Interrupted(bench.forge, at, after)
        with contextlib.suppress(TransientError):
            await bench.restore(wanted, before, forge=interrupted)
            finished = interrupted.writes < at
        await bench.restore(wanted, before)
        assert await _flows(bench, before) == untouched, f"after breaking off at write {at}"
    assert at > 3


async def test_a_creation_after_an_undone_one_works_under_the_same_names(bench: Workbench) -> None:
    before = spec("retried-api")
    with contextlib.suppress(TransientError):
        await bench.create(before, Interrupted(bench.forge, at=6, after=True))
    await bench.remove(before)
    again = (await bench.deeds().create_pipeline(secrets_stored(before))).pipeline
    assert (again.repository, again.origin) == ("acme/retried-api", "created")

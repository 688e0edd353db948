"""What the road back of an update promises, and what a connection that breaks does to either, on the twin in memory and
on the embedded forge."""

import contextlib
from typing import Any

import pytest

from chassis.failures import TransientError
from contracts.values import EnvironmentSpec, Receipt
from services.cicd.ports import Forge
from tests.contract.pipelines.workbench import (
    NEW,
    Interrupted,
    Workbench,
    at_version,
    attached_to,
    made_for,
    workflow_of,
    writes_of,
)
from tests.unit.cicd.events import secrets_stored, spec


async def test_a_failed_update_is_put_back_by_a_commit(bench: Workbench) -> None:
    before = await made_for(bench, "back-up-api")
    was = await bench.workflow(before, "main")
    bench.publish(NEW)
    await bench.update(at_version(NEW, before), before)

    receipt = await bench.restore(at_version(NEW, before), before)

    assert [(one.kind, one.id) for one in receipt.restored] == [
        ("workflow", "acme/back-up-api/.github/workflows/slipway-back-up-api.yml@main")
    ]
    assert (receipt.removed, receipt.left_behind, receipt.kept) == ((), (), ())
    assert await bench.workflow(before, "main") == was
    state = await bench.state(before.repository)
    assert await bench.restore(at_version(NEW, before), before) == receipt, (
        "the receipt of a repeated undo tells the same"
    )
    assert await bench.state(before.repository) == state
    again = await bench.update(at_version(NEW, before), before, run="another")
    assert again.pull_request_url is None, "what was put back is still ours to update"


async def test_work_that_came_after_the_update_is_not_undone_with_it(bench: Workbench) -> None:
    before = await made_for(bench, "after-api")
    bench.publish(NEW)
    await bench.update(at_version(NEW, before), before)
    await bench.push(before.repository, "main", {"src/routes.js": b"// after\n"})
    receipt = await bench.restore(at_version(NEW, before), before)
    assert len(receipt.restored) == 1
    assert await bench.forge.read(before.repository, "src/routes.js", at="main") == b"// after\n"


async def test_a_workflow_that_its_owner_changed_after_the_update_stays_theirs(bench: Workbench) -> None:
    before = await made_for(bench, "after-flow-api")
    bench.publish(NEW)
    await bench.update(at_version(NEW, before), before)
    theirs = await bench.push(before.repository, "main", {workflow_of("after-flow-api"): b"on: push\n"})
    assert await bench.restore(at_version(NEW, before), before) == Receipt()
    assert (await bench.forge.branches(before.repository))["main"] == theirs


async def test_what_an_owner_wrote_and_got_back_is_not_taken_for_ours(bench: Workbench) -> None:
    before = await made_for(bench, "got-back-api")
    await bench.push(before.repository, "main", {workflow_of("got-back-api"): b"name: mine\non: push\n"})
    bench.publish(NEW)
    pipeline = await bench.update(at_version(NEW, before), before)
    head = next(branch for branch in await bench.forge.branches(before.repository) if branch != "main")
    await bench.merge(before.repository, head, "main")

    receipt = await bench.restore(at_version(NEW, before), before)

    assert [one.kind for one in receipt.restored] == ["workflow"]
    assert await bench.workflow(before, "main") == "name: mine\non: push\n"
    again = await bench.update(at_version(NEW, before), before, run="another")
    assert again.pull_request_url not in {None, pipeline.pull_request_url}


async def test_an_offer_of_a_failed_update_is_withdrawn(bench: Workbench) -> None:
    before = await attached_to(bench, "undo-offer-api", merged=True)
    state = await bench.state(before.repository)
    bench.publish(NEW)
    await bench.update(at_version(NEW, before), before)
    receipt = await bench.restore(at_version(NEW, before), before)
    assert [one.kind for one in receipt.removed] == ["pull_request", "branch"]
    assert (receipt.restored, receipt.left_behind) == ((), ())
    assert await bench.state(before.repository) == state


async def test_an_offer_that_was_brought_up_to_date_is_put_back(bench: Workbench) -> None:
    before = await attached_to(bench, "undo-open-api", merged=False)
    was = await bench.workflow(before, "slipway/undo-open-api")
    bench.publish(NEW)
    await bench.update(at_version(NEW, before), before)
    receipt = await bench.restore(at_version(NEW, before), before)
    assert [one.kind for one in receipt.restored] == ["workflow"]
    assert await bench.workflow(before, "slipway/undo-open-api") == was
    (pull,) = await bench.forge.pull_requests(before.repository, head="slipway/undo-open-api")
    assert pull.open


async def test_an_update_that_was_merged_before_it_failed_is_left_and_said_to_be(bench: Workbench) -> None:
    before = await attached_to(bench, "hasty-api", merged=True)
    bench.publish(NEW)
    await bench.update(at_version(NEW, before), before)
    head = next(branch for branch in await bench.forge.branches(before.repository) if "--" in branch)
    await bench.merge(before.repository, head, "main")
    receipt = await bench.restore(at_version(NEW, before), before)
    (left,) = receipt.left_behind
    assert left.resource.kind == "workflow"
    assert "revert its merge" in left.reason


@pytest.mark.parametrize("own", [True, False], ids=["own", "attached"])
async def test_a_failed_move_to_another_branch_is_put_back_on_both(bench: Workbench, own: bool) -> None:
    name = f"unmoved-{'own' if own else 'old'}-api"
    before = await made_for(bench, name) if own else await attached_to(bench, name, merged=False)
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
    before = await made_for(bench, "unbegun-api")
    state = await bench.state(before.repository)
    assert await bench.restore(at_version(NEW, before), before) == Receipt()
    assert await bench.state(before.repository) == state


async def test_a_run_puts_back_what_it_did_and_not_what_an_earlier_one_did(bench: Workbench) -> None:
    first = await made_for(bench, "layers-api")
    bench.publish(NEW)
    await bench.update(second := at_version(NEW, first), first, run="one")
    bench.publish("3.0.0")
    await bench.update(third := at_version("3.0.0", first), second, run="two")
    await bench.restore(third, second, run="two")
    assert f"nodejs-api {NEW}" in (await bench.workflow(first, "main") or "")
    assert await bench.restore(third, second, run="three") == Receipt()


# -- broken off at every write -----------------------------------------------------------------------------------------


async def _scene(bench: Workbench, kind: str, name: str) -> tuple[EnvironmentSpec, EnvironmentSpec]:
    """An environment, and another state for it: one where the update commits, one where it offers, one where it does
    both on two branches."""
    before = await (attached_to(bench, name, merged=kind == "merged") if kind != "own" else made_for(bench, name))
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

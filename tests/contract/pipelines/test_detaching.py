"""A merged workflow once its environment is deleted, on the twin in memory and on the embedded forge."""

from contracts.values import Receipt
from tests.contract.pipelines.workbench import Interrupted, Workbench, attached_to, workflow_of
from tests.unit.cicd.events import SECOND_LIFE, secrets_stored, spec


async def test_a_merged_workflow_is_offered_to_be_removed_and_nothing_else_is(bench: Workbench) -> None:
    wanted = await attached_to(bench, "merged-away", merged=True)
    head = (await bench.forge.branches(wanted.repository))["main"]

    receipt = await bench.remove(wanted)

    (pull,) = await bench.forge.pull_requests(wanted.repository, head="slipway/merged-away--detach")
    assert (pull.open, pull.base) == (True, "main")
    assert [(kept.resource.kind, pull.html_url in kept.reason) for kept in receipt.kept] == [("workflow", True)]
    assert receipt.left_behind == ()
    branches = await bench.forge.branches(wanted.repository)
    assert branches == {"main": head, "slipway/merged-away--detach": pull.head_commit}
    assert await bench.workflow(wanted, "main") is not None
    await bench.merge(wanted.repository, "slipway/merged-away--detach", "main")
    assert await bench.workflow(wanted, "main") is None
    assert await bench.forge.read(wanted.repository, "src/main.js", at="main") == b"console.log('ours')\n"


async def test_what_the_owner_changed_in_it_is_theirs_to_decide_about(bench: Workbench) -> None:
    wanted = await attached_to(bench, "changed-away", merged=True)
    await bench.push(wanted.repository, "main", {workflow_of("changed-away"): b"name: mine\non: push\n"})

    receipt = await bench.remove(wanted)

    assert await bench.workflow(wanted, "main") == "name: mine\non: push\n"
    assert [kept.resource.kind for kept in receipt.kept] == ["workflow"]


async def test_without_a_merged_workflow_there_is_nothing_to_offer(bench: Workbench) -> None:
    wanted = await attached_to(bench, "never-merged", merged=False)
    receipt = await bench.remove(wanted)
    assert receipt.kept == ()
    assert list(await bench.forge.branches(wanted.repository)) == ["main"]


async def test_a_detachment_that_broke_off_anywhere_is_finished_by_repeating_it(bench: Workbench) -> None:
    for number, after in ((1, False), (2, False), (2, True), (3, False), (3, True), (4, True)):
        wanted = await attached_to(bench, f"broken-{number}-{str(after).lower()}", merged=True)
        breaking = Interrupted(bench.forge, at=number, after=after)
        try:
            await bench.remove(wanted, breaking)
        except Exception:  # noqa: BLE001 - what is heard again is handled again, whatever went wrong
            await bench.remove(wanted)
        (pull,) = await bench.forge.pull_requests(wanted.repository, head=f"slipway/{wanted.name}--detach")
        assert pull.open
        assert await bench.forge.variables(wanted.repository) == {}
        assert not await bench.forge.has_environment(wanted.repository, wanted.name)


async def test_the_next_life_of_the_name_takes_the_offer_back(bench: Workbench) -> None:
    wanted = await attached_to(bench, "second-try", merged=True)
    await bench.remove(wanted)

    again = (await bench.deeds().create_pipeline(secrets_stored(wanted, SECOND_LIFE))).pipeline

    assert again.pull_request_url is None
    assert "slipway/second-try--detach" not in await bench.forge.branches(wanted.repository)
    (pull,) = await bench.forge.pull_requests(wanted.repository, head="slipway/second-try--detach")
    assert not pull.open


async def test_an_offer_on_which_somebody_works_is_left_alone_by_the_next_life(bench: Workbench) -> None:
    wanted = await attached_to(bench, "worked-on", merged=True)
    await bench.remove(wanted)
    theirs = await bench.push(wanted.repository, "slipway/worked-on--detach", {"NOTES.md": b"why\n"})

    await bench.deeds().create_pipeline(secrets_stored(wanted, SECOND_LIFE))

    assert (await bench.forge.branches(wanted.repository))["slipway/worked-on--detach"] == theirs


async def test_a_deployment_environment_that_was_there_before_stays(bench: Workbench) -> None:
    wanted = spec("had-one")
    await bench.existing(wanted.repository)
    await bench.forge.put_environment(wanted.repository, "had-one")
    await bench.create(wanted)
    await bench.create(wanted)

    receipt = await bench.remove(wanted)

    assert await bench.forge.has_environment(wanted.repository, "had-one")
    assert [kept.resource.kind for kept in receipt.kept] == ["deployment_environment"]
    assert await bench.forge.variables(wanted.repository) == {}
    assert await bench.remove(wanted) == Receipt()

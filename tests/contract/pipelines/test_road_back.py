"""What the road back takes away, keeps and leaves, on the twin in memory and on the embedded forge."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from chassis.failures import TransientError
from contracts.values import Receipt
from tests.contract.pipelines.workbench import Interrupted, Workbench, workflow_of
from tests.unit.cicd.events import SECOND_LIFE, deletion_requested, pipeline_failed, secrets_stored, spec


@pytest.mark.parametrize("heard", [deletion_requested, pipeline_failed])
async def test_undo_mirrors_do_in_a_new_repository(bench: Workbench, heard: Callable[..., Any]) -> None:
    name = "gone-" + heard.__name__.replace("_", "-")
    await bench.create(spec(name, branch="develop"))

    receipt = (await bench.deeds().remove_pipeline(heard(spec(name, branch="develop")))).receipt

    assert [(resource.kind, resource.id) for resource in receipt.removed] == [("repository", f"acme/{name}")]
    assert receipt.left_behind == ()
    assert await bench.forge.find(f"acme/{name}") is None


async def test_undo_mirrors_do_in_an_existing_repository(bench: Workbench) -> None:
    await bench.existing("acme/back-api")
    before = await bench.state("acme/back-api")
    await bench.create(spec("back-api"))

    receipt = await bench.remove(spec("back-api"))

    after = await bench.state("acme/back-api")
    assert after is not None
    assert before is not None
    assert [open_ for _, open_ in after.pop("pulls")] == [False]
    assert before.pop("pulls") == []
    assert after == before
    assert sorted({resource.kind for resource in receipt.removed}) == [
        "branch",
        "deployment_environment",
        "pull_request",
        "variable",
    ]
    assert receipt.left_behind == ()


async def test_a_repository_with_work_in_it_is_kept_on_purpose_and_said_to_be(bench: Workbench) -> None:
    await bench.create(spec("busy-api"))
    theirs = await bench.push("acme/busy-api", "main", {"src/routes.js": b"// weeks of work\n"})

    receipt = await bench.remove(spec("busy-api"))

    assert receipt.left_behind == ()
    assert [kept.resource.id for kept in receipt.kept] == ["acme/busy-api"]
    assert "commits that Slipway did not make" in receipt.kept[0].reason
    assert (await bench.forge.branches("acme/busy-api"))["main"] == theirs
    assert await bench.forge.variables("acme/busy-api") == {}
    assert await bench.forge.topics("acme/busy-api") == ()
    assert not await bench.forge.has_environment("acme/busy-api", "busy-api")


async def test_what_was_left_can_be_used_by_the_next_life_of_the_name(bench: Workbench) -> None:
    await bench.create(spec("phoenix-api"))
    theirs = await bench.push("acme/phoenix-api", "main", {workflow_of("phoenix-api"): b"name: mine\non: push\n"})
    await bench.remove(spec("phoenix-api"))

    again = await bench.deeds().create_pipeline(secrets_stored(spec("phoenix-api"), SECOND_LIFE))

    assert again.pipeline.origin == "attached"
    assert (await bench.forge.branches("acme/phoenix-api"))["main"] == theirs


async def test_a_pull_request_that_an_earlier_life_merged_is_not_taken_for_ours(bench: Workbench) -> None:
    await bench.existing("acme/reborn-api")
    first = await bench.create(spec("reborn-api"))
    await bench.merge("acme/reborn-api", "slipway/reborn-api", "main")
    await bench.push("acme/reborn-api", "main", {workflow_of("reborn-api"): b"name: mine\non: push\n"})
    await bench.remove(spec("reborn-api"))

    again = (await bench.deeds().create_pipeline(secrets_stored(spec("reborn-api"), SECOND_LIFE))).pipeline

    assert again.pull_request_url is not None
    assert again.pull_request_url != first.pull_request_url


async def test_an_environment_that_changed_hands_is_removed_all_the_same(bench: Workbench) -> None:
    await bench.create(spec("handed-api"))
    handed = spec("handed-api", owner={"person": "bob", "team": "search"})
    assert [resource.kind for resource in (await bench.remove(handed)).removed] == ["repository"]


async def test_a_repository_where_people_talk_is_kept(bench: Workbench) -> None:
    await bench.create(spec("talk-api"))
    await bench.forge.create_branch("acme/talk-api", "idea", (await bench.forge.branches("acme/talk-api"))["main"])
    await bench.push("acme/talk-api", "idea", {"a": b"a"})
    await bench.forge.open_pull_request("acme/talk-api", head="idea", base="main", title="Idea", body="")
    await bench.forge.delete_branch("acme/talk-api", "idea")
    receipt = await bench.remove(spec("talk-api"))
    assert [kept.reason for kept in receipt.kept] == [
        "It holds issues or pull requests. Delete it on the forge if nobody needs it."
    ]


async def test_a_claimed_repository_that_is_kept_loses_the_claim(bench: Workbench) -> None:
    with contextlib.suppress(TransientError):
        await bench.create(spec("claim-api"), Interrupted(bench.forge, at=2, after=False))
    await bench.push("acme/claim-api", "main", {"a": b"a"})
    receipt = (await bench.deeds().remove_pipeline(pipeline_failed(spec("claim-api")))).receipt
    assert [kept.resource.kind for kept in receipt.kept] == ["repository"]
    repository = await bench.forge.find("acme/claim-api")
    assert repository is not None
    assert repository.description == ""


async def test_removing_twice_or_what_never_was_removes_nothing(bench: Workbench) -> None:
    assert await bench.remove(spec("never-api")) == Receipt()
    await bench.existing("acme/foreign-api")
    before = await bench.state("acme/foreign-api")
    assert await bench.remove(spec("foreign-api")) == Receipt()
    assert await bench.state("acme/foreign-api") == before


async def test_a_late_removal_of_an_earlier_life_leaves_the_later_one_alone(bench: Workbench) -> None:
    await bench.deeds().create_pipeline(secrets_stored(spec("later-api"), SECOND_LIFE))
    before = await bench.state("acme/later-api")
    assert await bench.remove(spec("later-api")) == Receipt()
    assert await bench.state("acme/later-api") == before

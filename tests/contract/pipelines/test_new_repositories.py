"""What a pipeline promises in a repository of its own, on the twin in memory and on the embedded forge."""

import asyncio

import pytest

from chassis.failures import PermanentError, TransientError
from contracts.values import Pipeline, Receipt
from services.cicd.domain import TOPIC, URL_VARIABLE, File
from tests.contract.pipelines.workbench import PLATFORM, Workbench
from tests.unit.cicd.events import NOON, spec


async def test_a_new_repository_holds_the_skeleton_the_workflow_and_our_marks(bench: Workbench) -> None:
    pipeline = await bench.create(spec("new-api"))

    assert pipeline.origin == "created"
    assert pipeline.pull_request_url is None
    assert pipeline.branch == "main"
    assert pipeline.clone_url.startswith("http")
    repository = await bench.forge.find("acme/new-api")
    assert repository is not None
    assert repository.id == pipeline.repository_id
    assert repository.description == "Node.js API of the Slipway environment new-api"
    assert TOPIC in await bench.forge.topics("acme/new-api")
    variables = await bench.forge.variables("acme/new-api")
    assert variables[URL_VARIABLE] == PLATFORM
    assert variables["SLIPWAY_ENV_NEW_API"] == variables["SLIPWAY_MADE_FOR"]
    assert await bench.forge.has_environment("acme/new-api", "new-api")
    assert await bench.forge.branches("acme/new-api") == {"main": pipeline.commit}
    package = await bench.forge.read("acme/new-api", "package.json", at="main")
    assert package is not None
    assert b'"name": "new-api"' in package
    workflow = await bench.forge.read("acme/new-api", pipeline.workflow_path, at=pipeline.commit)
    assert workflow is not None
    assert b"Deploy to new-api" in workflow


async def test_the_chosen_branch_is_the_only_one_and_the_default(bench: Workbench) -> None:
    pipeline = await bench.create(spec("trunk-api", branch="release/1.x"))

    repository = await bench.forge.find("acme/trunk-api")
    assert repository is not None
    assert repository.default_branch == "release/1.x"
    assert await bench.forge.branches("acme/trunk-api") == {"release/1.x": pipeline.commit}


async def test_called_twice_nothing_changes(bench: Workbench) -> None:
    first = await bench.create(spec("twice-api"))
    before = await bench.state("acme/twice-api")
    assert await bench.create(spec("twice-api")) == first
    assert await bench.state("acme/twice-api") == before


async def test_called_again_after_developers_pushed_nothing_of_theirs_is_touched(bench: Workbench) -> None:
    first = await bench.create(spec("used-api"))
    theirs = await bench.push("acme/used-api", "main", {"src/routes.js": b"// ours now\n"})

    assert await bench.create(spec("used-api")) == first
    assert (await bench.forge.branches("acme/used-api"))["main"] == theirs


async def test_a_repository_of_another_teams_environment_is_refused_by_name(bench: Workbench) -> None:
    await bench.create(spec("their-api"))
    before = await bench.state("acme/their-api")
    ours = spec("our-api", repository="acme/their-api", owner={"person": "bob", "team": "search"})

    with pytest.raises(PermanentError, match="their-api") as refused:
        await bench.create(ours)

    assert refused.value.code == "repository_taken"
    assert await bench.state("acme/their-api") == before
    assert await bench.remove(ours) == Receipt()
    assert await bench.state("acme/their-api") == before


async def test_two_environments_of_a_team_share_a_repository(bench: Workbench) -> None:
    await bench.create(spec("shop-api"))
    await bench.push("acme/shop-api", "staging", {"README.md": b"# Shop\n"})
    staging = spec("shop-staging", repository="acme/shop-api", branch="staging")

    pipeline = await bench.create(staging)

    assert pipeline.origin == "attached"
    assert pipeline.pull_request_url is not None
    kept = await bench.remove(spec("shop-api"))
    assert kept.left_behind == ()
    assert "the pipeline of shop-staging" in kept.kept[0].reason
    assert (await bench.forge.variables("acme/shop-api"))[URL_VARIABLE] == PLATFORM
    await bench.remove(staging)
    assert await bench.forge.variables("acme/shop-api") == {}


async def test_two_replicas_at_once_make_one_pipeline(bench: Workbench) -> None:
    made = await asyncio.gather(*(bench.create(spec("raced-api")) for _ in range(4)), return_exceptions=True)
    pipelines = [pipeline for pipeline in made if isinstance(pipeline, Pipeline)]
    assert pipelines
    assert all(isinstance(other, Pipeline | TransientError) for other in made), made
    settled = await bench.create(spec("raced-api"))
    assert {pipeline.commit for pipeline in pipelines} == {settled.commit}
    assert await bench.forge.branches("acme/raced-api") == {"main": settled.commit}


async def test_binary_and_executable_files_arrive_unchanged(bench: Workbench) -> None:
    await bench.existing("acme/binary-api")
    picture = bytes(range(256))
    await bench.push("acme/binary-api", "main", {"logo.png": picture})
    assert await bench.forge.read("acme/binary-api", "logo.png", at="main") == picture


async def test_the_same_commit_twice_is_one_commit(bench: Workbench) -> None:
    await bench.existing("acme/same-api")
    parent = (await bench.forge.branches("acme/same-api"))["main"]
    made = [
        await bench.forge.commit(
            "acme/same-api",
            files=[File("run.sh", b"#!/bin/sh\n", executable=True)],
            parent=parent,
            keep_other_files=False,
            message="Run",
            at=NOON,
        )
        for _ in range(2)
    ]
    assert made[0] == made[1]


async def test_a_branch_never_moves_but_forward(bench: Workbench) -> None:
    await bench.existing("acme/forward-api")
    first = (await bench.forge.branches("acme/forward-api"))["main"]
    second = await bench.push("acme/forward-api", "main", {"a": b"a"})
    with pytest.raises(PermanentError):
        await bench.forge.forward_branch("acme/forward-api", "main", first)
    with pytest.raises(PermanentError):
        await bench.forge.create_branch("acme/forward-api", "main", first)
    assert await bench.forge.branches("acme/forward-api") == {"main": second}


async def test_removing_what_is_not_there_is_no_error(bench: Workbench) -> None:
    await bench.existing("acme/bare-api")
    before = await bench.state("acme/bare-api")
    await bench.forge.delete_variable("acme/bare-api", "NOTHING")
    await bench.forge.delete_environment("acme/bare-api", "nothing")
    await bench.forge.delete_branch("acme/bare-api", "nothing")
    await bench.forge.delete("acme/nothing")
    assert await bench.forge.read("acme/bare-api", "nothing", at="main") is None
    assert await bench.forge.branches("acme/bare-api", prefix="nothing") == {}
    assert not await bench.forge.has_tags("acme/bare-api")
    assert await bench.state("acme/bare-api") == before

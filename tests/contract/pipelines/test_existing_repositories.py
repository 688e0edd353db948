"""What a pipeline promises in a repository that exists, on the twin in memory and on the embedded forge."""

import pytest

from chassis.failures import PermanentError
from services.cicd.domain import TOPIC, URL_VARIABLE
from tests.contract.pipelines.workbench import Interrupted, Workbench, workflow_of
from tests.unit.cicd.events import NOON, pipeline_failed, spec


async def test_an_existing_repository_is_offered_the_workflow_in_a_pull_request(bench: Workbench) -> None:
    await bench.existing("acme/old-api")
    head = (await bench.forge.branches("acme/old-api"))["main"]

    pipeline = await bench.create(spec("old-api"))

    assert pipeline.origin == "attached"
    assert pipeline.pull_request_url is not None
    branches = await bench.forge.branches("acme/old-api")
    assert branches == {"main": head, "slipway/old-api": pipeline.commit}
    assert await bench.forge.read("acme/old-api", workflow_of("old-api"), at="main") is None
    for path in (workflow_of("old-api"), "src/main.js"):
        assert await bench.forge.read("acme/old-api", path, at="slipway/old-api") is not None
    assert TOPIC not in await bench.forge.topics("acme/old-api")


async def test_attaching_twice_opens_one_pull_request(bench: Workbench) -> None:
    await bench.existing("acme/again-api")
    first = await bench.create(spec("again-api"))
    before = await bench.state("acme/again-api")
    assert await bench.create(spec("again-api")) == first
    assert await bench.state("acme/again-api") == before
    assert len(await bench.forge.pull_requests("acme/again-api", head="slipway/again-api")) == 1


async def test_where_the_workflow_is_already_merged_nothing_is_offered(bench: Workbench) -> None:
    await bench.existing("acme/merged-api")
    await bench.create(spec("merged-api"))
    await bench.merge("acme/merged-api", "slipway/merged-api", "main")

    pipeline = await bench.create(spec("merged-api"))

    assert pipeline.pull_request_url is None
    assert pipeline.commit == (await bench.forge.branches("acme/merged-api"))["main"]


async def test_what_is_already_merged_is_run_once_since_no_push_will(bench: Workbench) -> None:
    wanted = spec("run-api")
    await bench.existing(wanted.repository)
    await bench.create(wanted)
    await bench.merge(wanted.repository, "slipway/run-api", "main")
    head = (await bench.forge.branches(wanted.repository))["main"]
    path = workflow_of("run-api")
    assert not await bench.forge.has_run(wanted.repository, path, commit=head, since=NOON)

    counting = Interrupted(bench.forge, at=0, after=False)
    await bench.create(wanted, counting)
    assert await bench.forge.has_run(wanted.repository, path, commit=head, since=NOON)
    writes = counting.writes
    await bench.create(wanted, counting)
    assert (writes, counting.writes) == (1, 1)


async def test_a_workflow_that_is_not_on_the_default_branch_cannot_be_asked_for(bench: Workbench) -> None:
    await bench.existing("acme/unasked-api")
    with pytest.raises(PermanentError):
        await bench.forge.run_workflow("acme/unasked-api", workflow_of("unasked-api"), branch="main")


async def test_a_branch_that_does_not_exist_is_refused_and_nothing_is_changed(bench: Workbench) -> None:
    await bench.existing("acme/nobranch-api")
    before = await bench.state("acme/nobranch-api")
    with pytest.raises(PermanentError, match="no branch feature-x"):
        await bench.create(spec("nobranch-api", branch="feature-x"))
    assert await bench.state("acme/nobranch-api") == before


async def test_a_foreign_branch_of_our_name_is_not_overwritten(bench: Workbench) -> None:
    await bench.existing("acme/squat-api")
    theirs = await bench.push("acme/squat-api", "slipway/squat-api", {"x": b"x"})
    with pytest.raises(PermanentError, match="slipway/squat-api"):
        await bench.create(spec("squat-api"))
    receipt = (await bench.deeds().remove_pipeline(pipeline_failed(spec("squat-api")))).receipt
    assert (await bench.forge.branches("acme/squat-api"))["slipway/squat-api"] == theirs
    assert receipt.left_behind == ()
    assert [kept.resource.kind for kept in receipt.kept] == ["branch"]


async def test_a_repository_that_deploys_to_another_platform_is_refused(bench: Workbench) -> None:
    await bench.existing("acme/other-api")
    await bench.forge.set_variable("acme/other-api", URL_VARIABLE, "https://slipway.example.com")
    with pytest.raises(PermanentError, match="another platform"):
        await bench.create(spec("other-api"))
    assert await bench.forge.variables("acme/other-api") == {URL_VARIABLE: "https://slipway.example.com"}


async def test_an_organisation_that_does_not_exist_is_an_answer(bench: Workbench) -> None:
    with pytest.raises(PermanentError) as refused:
        await bench.create(spec("lost-api", repository="nobody/lost-api"))
    assert refused.value.code == "forge_not_found"

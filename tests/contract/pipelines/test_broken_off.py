"""A connection that breaks at every write there is, on the twin in memory and on the embedded forge."""

import contextlib

import pytest
from pydantic import SecretStr

from chassis.failures import PermanentError, TransientError
from services.cicd.adapters.github import GitHubForge
from tests.contract.pipelines.workbench import Interrupted, Workbench, client_of, writes_of
from tests.integration.forge_process import ForgeProcess
from tests.unit.cicd.events import pipeline_failed, spec


async def test_the_forge_is_ready_and_a_wrong_token_is_said_to_be(embedded: ForgeProcess) -> None:
    await client_of(embedded).check()
    with pytest.raises(PermanentError) as refused:
        await GitHubForge(embedded.api, SecretStr("wrong"), pause_seconds=(0, 0)).check()
    assert refused.value.code == "forge_credentials"


@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
async def test_lost_answers_of_what_cannot_be_repeated_are_settled_by_reading(bench: Workbench, existing: bool) -> None:
    """Creating a repository, placing its branch, opening a pull request: each is there, so nobody has to try again."""
    kind = f"settled-{'old' if existing else 'new'}"
    whole = spec(f"{kind}-x")
    if existing:
        await bench.existing(whole.repository)
    raised = 0
    writes = await writes_of(lambda forge: bench.create(whole, forge), bench.forge)
    for at in range(1, writes + 1):
        broken = whole.model_copy(update={"name": f"{kind}-{at}", "repository": f"acme/{kind}-{at}"})
        if existing:
            await bench.existing(broken.repository)
        try:
            await bench.create(broken, Interrupted(bench.forge, at, after=True))
        except TransientError:
            raised += 1
    assert raised == writes - 2


@pytest.mark.parametrize("after", [False, True], ids=["request-lost", "answer-lost"])
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
async def test_creation_broken_off_at_any_write_is_finished_by_repeating_it(
    bench: Workbench, existing: bool, after: bool
) -> None:
    kind = f"{'old' if existing else 'new'}-{'answer' if after else 'request'}"
    whole = spec(f"{kind}-x", branch="main" if existing else "develop")
    if existing:
        await bench.existing(whole.repository)
    writes = await writes_of(lambda forge: bench.create(whole, forge), bench.forge)
    wanted = await bench.state(whole.repository)
    assert writes >= 6

    for at in range(1, writes + 1):
        broken = whole.model_copy(update={"name": f"{kind}-{at}", "repository": f"acme/{kind}-{at}"})
        if existing:
            await bench.existing(broken.repository)
        try:
            first = await bench.create(broken, Interrupted(bench.forge, at, after))
        except TransientError:
            first = await bench.create(broken)
        assert await bench.state(broken.repository) == wanted, f"after breaking off at write {at}"
        assert await bench.create(broken) == first


@pytest.mark.parametrize("after", [False, True], ids=["request-lost", "answer-lost"])
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
async def test_what_was_begun_and_broken_off_at_any_write_is_undone(
    bench: Workbench, existing: bool, after: bool
) -> None:
    kind = f"undo-{'old' if existing else 'new'}-{'answer' if after else 'request'}"
    whole = spec(f"{kind}-x", branch="main" if existing else "develop")
    if existing:
        await bench.existing(whole.repository)
    untouched = await bench.state(whole.repository)
    writes = await writes_of(lambda forge: bench.create(whole, forge), bench.forge)

    for at in range(1, writes + 1):
        broken = whole.model_copy(update={"name": f"{kind}-{at}", "repository": f"acme/{kind}-{at}"})
        if existing:
            await bench.existing(broken.repository)
        with contextlib.suppress(TransientError):
            await bench.create(broken, Interrupted(bench.forge, at, after))
        receipt = (await bench.deeds().remove_pipeline(pipeline_failed(broken))).receipt
        state = await bench.state(broken.repository)
        assert receipt.left_behind == ()
        if state is not None:
            state["pulls"] = [pull for pull in state["pulls"] if pull[1]]
        assert state == untouched, f"after breaking off at write {at}"


@pytest.mark.parametrize("after", [False, True], ids=["request-lost", "answer-lost"])
async def test_removal_broken_off_at_any_write_is_finished_by_repeating_it(bench: Workbench, after: bool) -> None:
    kind = f"rm-{'answer' if after else 'request'}"
    at, finished = 0, False
    while not finished:
        at += 1
        broken = spec(f"{kind}-{at}")
        await bench.existing(broken.repository)
        before = await bench.state(broken.repository)
        await bench.create(broken)
        interrupted = Interrupted(bench.forge, at, after)
        with contextlib.suppress(TransientError):
            await bench.remove(broken, interrupted)
            finished = interrupted.writes < at
        await bench.remove(broken)
        state = await bench.state(broken.repository)
        assert state is not None
        assert before is not None
        state["pulls"] = [pull for pull in state["pulls"] if pull[1]]
        assert state == before, f"after breaking off at write {at}"
    assert at > 4

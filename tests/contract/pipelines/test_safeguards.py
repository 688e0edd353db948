"""What a production environment is kept from, on the twin in memory and on the embedded forge."""

from dataclasses import replace

import pytest

from chassis.failures import PermanentError
from services.cicd.domain import Safeguards
from tests.contract.pipelines.workbench import Workbench
from tests.unit.cicd.events import secrets_stored, spec


async def test_a_protected_branch_moves_forward_and_is_not_removed(bench: Workbench) -> None:
    await bench.existing("acme/guarded")
    head = (await bench.forge.branches("acme/guarded"))["main"]
    await bench.forge.create_branch("acme/guarded", "stable", head)
    await bench.forge.protect_branch("acme/guarded", "stable", approvals=0)
    await bench.forge.protect_branch("acme/guarded", "stable", approvals=0)
    moved = await bench.push("acme/guarded", "stable", {"a": b"a"})
    with pytest.raises(PermanentError):
        await bench.forge.delete_branch("acme/guarded", "stable")
    assert (await bench.forge.branches("acme/guarded"))["stable"] == moved
    with pytest.raises(PermanentError):
        await bench.forge.protect_branch("acme/guarded", "nowhere", approvals=0)


async def test_only_production_is_protected_and_it_can_be_removed_all_the_same(bench: Workbench) -> None:
    deeds = replace(bench.deeds(), production=Safeguards(approvals=0))
    for kind in ("preview", "production"):
        wanted = spec(f"guarded-{kind}", kind=kind, branch="release")
        for _ in range(2):
            await deeds.create_pipeline(secrets_stored(wanted))
        await bench.forge.describe(wanted.repository, description="", default_branch="release")
        await bench.forge.create_branch(
            wanted.repository, "main", (await bench.forge.branches(wanted.repository))["release"]
        )
        await bench.forge.describe(wanted.repository, description="", default_branch="main")
        if kind == "production":
            with pytest.raises(PermanentError):
                await bench.forge.delete_branch(wanted.repository, "release")
        else:
            await bench.forge.delete_branch(wanted.repository, "release")
        assert [gone.kind for gone in (await bench.remove(wanted)).removed] == ["repository"]


async def test_a_reviewer_who_cannot_be_asked_is_an_answer(bench: Workbench) -> None:
    deeds = replace(bench.deeds(), production=Safeguards(reviewers=("user/nobody-of-that-name",)))
    with pytest.raises(PermanentError) as refused:
        await deeds.create_pipeline(secrets_stored(spec("reviewed", kind="production")))
    assert refused.value.code == "reviewer_missing"
    await bench.remove(spec("reviewed", kind="production"))
    assert await bench.forge.find("acme/reviewed") is None

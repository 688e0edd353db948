"""Several applications in one repository, on the twin in memory and on the embedded forge."""

import pytest

from chassis.failures import PermanentError
from services.cicd.adapters.golden_paths import parse_yaml
from tests.contract.pipelines.workbench import Workbench, workflow_of
from tests.unit.cicd.events import spec


async def test_two_applications_of_one_repository_have_a_workflow_each(bench: Workbench) -> None:
    await bench.existing("acme/mono")
    await bench.push("acme/mono", "main", {"services/a/package.json": b"{}\n", "services/b/package.json": b"{}\n"})
    one = spec("mono-a", repository="acme/mono", path="services/a")
    other = spec("mono-b", repository="acme/mono", path="services/b")

    for wanted in (one, other):
        assert (await bench.create(wanted)).workflow_path == workflow_of(wanted.name)
        tree = parse_yaml(await bench.workflow(wanted, f"slipway/{wanted.name}") or "")
        assert tree["defaults"]["run"]["working-directory"] == wanted.path
        for event in ("push", "pull_request"):
            assert tree["on"][event]["paths"] == [f"{wanted.path}/**", workflow_of(wanted.name)]

    await bench.remove(one)
    assert list(await bench.forge.branches("acme/mono", prefix="slipway/")) == ["slipway/mono-b"]
    assert "SLIPWAY_ENV_MONO_B" in await bench.forge.variables("acme/mono")


async def test_a_directory_that_does_not_exist_is_refused_and_nothing_is_changed(bench: Workbench) -> None:
    await bench.existing("acme/nodir")
    before = await bench.state("acme/nodir")
    for path in ("services/nowhere", "src/main.js"):
        with pytest.raises(PermanentError) as refused:
            await bench.create(spec("nodir", path=path))
        assert refused.value.code == "path_missing"
    assert await bench.state("acme/nodir") == before


async def test_a_new_repository_begins_with_the_skeleton_in_the_directory(bench: Workbench) -> None:
    wanted = spec("first-of-many", path="apps/web")
    pipeline = await bench.create(wanted)
    assert pipeline.origin == "created"
    assert await bench.forge.read(wanted.repository, "apps/web/package.json", at="main") is not None
    assert await bench.forge.read(wanted.repository, "package.json", at="main") is None
    assert await bench.workflow(wanted, "main") is not None
    assert [gone.kind for gone in (await bench.remove(wanted)).removed] == ["repository"]

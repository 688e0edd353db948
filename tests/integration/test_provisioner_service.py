"""The provisioner as a process of its own, between a real bus, a real forge and a real machine."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from chassis.bus import Bus
from chassis.failures import PermanentError
from contracts.envelope import Event, ServiceName
from contracts.events import (
    EnvironmentRequested,
    InfraDestroyed,
    InfraFailed,
    InfraReady,
)
from deploy.embedded import leftovers
from deploy.embedded.forge_access import (
    ENVIRONMENTS_REPOSITORY,
    PROVISIONER_LOGIN,
    forge_token_file,
)
from deploy.embedded.home import write_file
from services.provisioner.adapters.git import GitEnvironments
from services.provisioner.adapters.git_command import GitKnobs
from services.provisioner.ports import Author, Change
from tests.integration.provisioner_process import Platform, connect, requested, revoked, said, say, start_platform
from tests.machines import KINDS, schema_of
from tests.waiting import until


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with start_platform(tmp_path_factory.mktemp("provisioner")) as platform:
        yield platform


@pytest.fixture
async def buses(platform: Platform) -> AsyncIterator[dict[ServiceName, Bus]]:
    async with connect(platform) as connected:
        yield connected


async def test_an_environment_is_made_and_removed_again(platform: Platform, buses: dict[ServiceName, Bus]) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    request = requested(name)
    with platform.running() as child:
        await say(buses["gateway"], request)
        ready = await until(lambda: said(buses["provisioner"], InfraReady, request), what="InfraReady")
        assert isinstance(ready, InfraReady)
        made = ready.data.infrastructure
        assert all(platform.machine.is_healthy(kind, name) for kind in KINDS if kind != "namespace")
        assert platform.machine.get(name).status_code == 200
        assert {resource.kind for resource in made.resources} == set(KINDS)
        shown = platform.committed("log", "-1", "--format=%H %an %(trailers:key=Slipway-Run,valueonly)", made.commit)
        assert shown.split() == [made.commit, request.data.requested_by, str(request.run_id)]
        files = platform.committed("ls-tree", "-r", "--name-only", made.commit, f"environments/{name}/").split()
        assert f"environments/{name}/manifest.yaml" in files
        assert f"environments/{name}/modules/database/main.tf" in files

        undo = revoked(request)
        await say(buses["secrets"], undo)
        destroyed = await until(lambda: said(buses["provisioner"], InfraDestroyed, undo), what="InfraDestroyed")
        assert isinstance(destroyed, InfraDestroyed)
        assert set(destroyed.data.receipt.removed) == set(made.resources)
        assert not any(platform.machine.has(kind, name) for kind in KINDS)
        assert platform.committed("ls-tree", "--name-only", "HEAD", f"environments/{name}") == ""
        assert child.stop() == 0
    lines = [json.loads(line) for line in child.log.read_text().splitlines()]
    assert not [line for line in lines if line["level"] in ("error", "critical")]


async def test_a_provisioner_killed_in_mid_apply_goes_on_where_it_was(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    request = requested(name)
    with platform.machine.postgres.connect("postgres", "apps") as lock:
        lock.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"slipway {schema_of(name)}"])
        with platform.running() as child:
            await say(buses["gateway"], request)
            await until(lambda: platform.machine.has("dns_record", name), what="the first resources")
            below = psutil.Process(child.process.pid).children(recursive=True)
            child.kill()
            # Its Terraform does not outlive it.
            await until(lambda: not any(map(leftovers.is_alive, below)), what="the end of its children")
    with platform.running():
        ready = await until(lambda: said(buses["provisioner"], InfraReady, request), what="InfraReady")
    assert isinstance(ready, InfraReady)
    assert {resource.kind for resource in ready.data.infrastructure.resources} == set(KINDS)


async def test_many_environments_at_once_are_made_at_the_first_attempt(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    requests = [requested(f"shop-{uuid4().hex[:8]}") for _ in range(8)]
    with platform.running() as child:
        await asyncio.gather(*(say(buses["gateway"], request) for request in requests))
        for request in requests:

            async def ready(request: EnvironmentRequested = request) -> Event | None:
                return await said(buses["provisioner"], InfraReady, request)

            await until(ready, what="InfraReady")
    assert "waits for its next attempt" not in child.log.read_text()


async def test_a_name_that_somebody_else_has_fails_and_is_undone(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    platform.machine.occupy("dns_record", name)
    request = requested(name)
    with platform.running():
        await say(buses["gateway"], request)
        failed = await until(lambda: said(buses["provisioner"], InfraFailed, request), what="InfraFailed")
        assert isinstance(failed, InfraFailed)
        assert failed.data.failure.code == "foreign_resource"
        destroyed = await until(lambda: said(buses["provisioner"], InfraDestroyed, failed), what="InfraDestroyed")
    assert isinstance(destroyed, InfraDestroyed)
    assert destroyed.data.receipt.left_behind == ()
    assert [kind for kind in KINDS if platform.machine.has(kind, name)] == ["dns_record"]


async def test_a_token_that_the_forge_does_not_know_is_refused_for_good(platform: Platform, tmp_path: Path) -> None:
    write_file(tmp_path / "token", "not-a-token")
    url = f"{platform.forge_url}/{ENVIRONMENTS_REPOSITORY}.git"
    knobs = GitKnobs(url, "main", PROVISIONER_LOGIN, tmp_path / "token", tmp_path / "clone.git")
    with pytest.raises(PermanentError) as refused:
        await GitEnvironments(knobs).read("demo-api")
    assert refused.value.code == "environments_repository_refused"
    assert "not-a-token" not in str(refused.value)


async def test_commits_of_several_provisioners_all_reach_the_forge(platform: Platform, tmp_path: Path) -> None:
    url = f"{platform.forge_url}/{ENVIRONMENTS_REPOSITORY}.git"
    token = forge_token_file(platform.keys, PROVISIONER_LOGIN)
    clones = [
        GitEnvironments(GitKnobs(url, "main", PROVISIONER_LOGIN, token, tmp_path / f"{number}.git"))
        for number in range(3)
    ]
    names = [f"race-{number}" for number in range(6)]
    change = Change(Author("ann", "ann@example.test"), "Race", "run")
    await asyncio.gather(*(clones[i % 3].write(name, {"x": name.encode()}, change) for i, name in enumerate(names)))
    found = [await clones[0].read(name) for name in names]
    assert [committed.files["x"].decode() for committed in found if committed] == names

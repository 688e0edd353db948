"""Updates, plans, Git and stops of the provisioner's process, between a real bus, a real forge and a real machine."""

import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from chassis.bus import Bus
from chassis.failures import PermanentError
from chassis.questions import ask
from contracts.envelope import Event, ServiceName
from contracts.events import (
    Asked,
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    InfraDestroyed,
    InfraFailed,
    InfraReady,
    SecretsRevoked,
    Undone,
)
from contracts.plans import CommittedState, DesiredState, Plan, PlanEnvironment
from contracts.values import EnvironmentSpec, Receipt, Resource
from deploy.embedded import leftovers
from deploy.embedded.forge_access import ENVIRONMENTS_REPOSITORY, PROVISIONER_LOGIN, forge_token_file
from tests import samples
from tests.integration.provisioner_process import KEY, Platform, connect, requested, said, say, start_platform
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


def update(request: EnvironmentRequested, spec: EnvironmentSpec, previous: EnvironmentSpec) -> Event:
    """Somebody asks for another desired state."""
    cause = uuid4()
    run = KEY.derive(cause, EnvironmentUpdateRequested.kind)
    data = Asked(spec=spec, previous=previous, requested_by="bob")
    identity: dict[str, Any] = {"id": run, "runid": run, "correlationid": run, "causationid": cause}
    return samples.follows(KEY, EnvironmentUpdateRequested, data, request, source="gateway", **identity)


def taken_back(event: Event, spec: EnvironmentSpec, previous: EnvironmentSpec) -> SecretsRevoked:
    """The road back of an update has come as far as the infrastructure."""
    data = Undone(spec=spec, previous=previous, receipt=Receipt())
    return samples.follows(KEY, SecretsRevoked, data, event, source="secrets")


async def created(buses: dict[ServiceName, Bus]) -> EnvironmentRequested:
    """An environment that exists; its request."""
    request = requested(f"shop-{uuid4().hex[:8]}")
    await say(buses["gateway"], request)
    await until(lambda: said(buses["provisioner"], InfraReady, request), what="InfraReady")
    return request


def changed(spec: EnvironmentSpec, **changes: Any) -> EnvironmentSpec:
    parameters = spec.parameters | changes.pop("parameters", {})
    return spec.model_copy(update={"parameters": parameters, **changes})


def push_by_hand(platform: Platform, directory: Path, name: str, old: str, new: str) -> str:
    """Somebody edits an environment's manifest in a clone of theirs and pushes; the commit."""
    token = forge_token_file(platform.keys, PROVISIONER_LOGIN).read_text()
    header = (
        "-c",
        f"http.extraHeader=Authorization: token {token}",
        "-c",
        "user.name=eve",
        "-c",
        "user.email=e@e.test",
    )

    def git(*arguments: str) -> str:
        run = subprocess.run(["git", *header, *arguments], check=True, capture_output=True, text=True)
        return run.stdout.strip()

    git("clone", "--quiet", f"{platform.forge_url}/{ENVIRONMENTS_REPOSITORY}.git", str(directory))
    manifest = directory / "environments" / name / "manifest.yaml"
    assert old in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(old, new))
    git("-C", str(directory), "commit", "--quiet", "--all", "-m", "By hand")
    git("-C", str(directory), "push", "--quiet", "origin", "HEAD")
    return git("-C", str(directory), "rev-parse", "HEAD")


async def test_an_update_is_made_and_taken_back(platform: Platform, buses: dict[ServiceName, Bus]) -> None:
    with platform.running() as child:
        request = await created(buses)
        before = request.data.spec
        after = changed(before, branch="next", parameters={"database": False})
        asked = update(request, after, before)
        await say(buses["gateway"], asked)
        ready = await until(lambda: said(buses["provisioner"], InfraReady, asked), what="InfraReady")
        assert ready.data.previous == before
        assert ready.data.infrastructure.database is None
        assert not platform.machine.has("database", before.name)
        shown = platform.committed("log", "-1", "--format=%an|%s", ready.data.infrastructure.commit)
        assert shown == f"bob|Update {before.name}"

        undo = taken_back(asked, after, before)
        await say(buses["secrets"], undo)
        restored = await until(lambda: said(buses["provisioner"], InfraDestroyed, undo), what="InfraDestroyed")
        database = Resource(kind="database", id=f"apps/{schema_of(before.name)}")
        assert restored.data.previous == before
        assert restored.data.receipt.removed == ()
        assert database in restored.data.receipt.restored
        # Its schema is there again; what was in it is not, and that is told.
        assert [left.resource for left in restored.data.receipt.left_behind] == [database]
        assert platform.machine.is_healthy("database", before.name)
        assert child.stop() == 0
    log = platform.committed("log", "--format=%an|%s|%(trailers:key=Slipway-Run,valueonly,separator=%x2C)", "-1")
    assert log == f"{before.owner.person}|Restore {before.name} after a failed update|{asked.run_id}"
    path = f"environments/{before.name}"
    assert platform.committed("diff", "--stat", "HEAD~2", "HEAD", "--", path) == ""


async def test_an_update_that_cannot_be_made_is_restored(platform: Platform, buses: dict[ServiceName, Bus]) -> None:
    with platform.running():
        request = await created(buses)
        before, after = request.data.spec, changed(request.data.spec, parameters={"instances": "many"})
        asked = update(request, after, before)
        await say(buses["gateway"], asked)
        failed = await until(lambda: said(buses["provisioner"], InfraFailed, asked), what="InfraFailed")
        assert failed.data.previous == before
        assert failed.data.failure.code == "terraform_refused"
        restored = await until(lambda: said(buses["provisioner"], InfraDestroyed, failed), what="InfraDestroyed")
        assert restored.data.receipt == Receipt()
    assert platform.machine.get(before.name).status_code == 200
    assert platform.committed("log", "-1", "--format=%s") == f"Restore {before.name} after a failed update"


async def test_drift_is_planned_and_repaired_by_a_run_with_the_same_state(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    with platform.running():
        request = await created(buses)
        spec = request.data.spec
        question = PlanEnvironment(spec=spec, incarnation=request.incarnation)
        clean = await ask(buses["gateway"], question, Plan)
        assert clean.changes == ()
        platform.machine.lose("database", spec.name)
        platform.machine.spoil("dns_record", spec.name)
        platform.machine.lose("route", spec.name)
        drift = await ask(buses["gateway"], question, Plan)
        assert {(change.action, change.resource.kind) for change in drift.changes} == {
            ("create", "database"),
            ("update", "dns_record"),
            ("create", "route"),
        }
        assert drift.commit == clean.commit
        assert drift.hash != clean.hash

        asked = update(request, spec, spec)
        await say(buses["gateway"], asked)
        ready = await until(lambda: said(buses["provisioner"], InfraReady, asked), what="InfraReady")
        assert ready.data.infrastructure.commit == clean.commit
        assert await ask(buses["gateway"], question, Plan) == clean
    assert platform.machine.get(spec.name).status_code == 200


async def test_a_push_becomes_an_update_and_a_revert_a_rollback(
    platform: Platform, buses: dict[ServiceName, Bus], tmp_path: Path
) -> None:
    with platform.running():
        request = await created(buses)
        name, before = request.subject, request.data.spec
        was = await ask(buses["gateway"], DesiredState(environment=name), CommittedState)
        assert (was.spec, was.incarnation) == (before, request.incarnation)

        pushed = push_by_hand(platform, tmp_path / "a", name, "branch: main", "branch: next")
        wanted = await ask(buses["gateway"], DesiredState(environment=name, commit=pushed), CommittedState)
        assert wanted.spec == changed(before, branch="next")
        assert wanted.commit == pushed
        assert wanted.spec is not None
        asked = update(request, wanted.spec, before)
        await say(buses["gateway"], asked)
        ready = await until(lambda: said(buses["provisioner"], InfraReady, asked), what="InfraReady")
        # The manifest is the person's; what is rendered from it is a commit after theirs.
        assert platform.committed("rev-parse", "HEAD~1") == pushed
        assert ready.data.infrastructure.commit == platform.committed("rev-parse", "HEAD")
        now = await ask(buses["gateway"], DesiredState(environment=name), CommittedState)
        assert now.spec == wanted.spec

        rolled_back = push_by_hand(platform, tmp_path / "b", name, "branch: next", "branch: main")
        again = await ask(buses["gateway"], DesiredState(environment=name, commit=rolled_back), CommittedState)
        assert again.spec == before
        spoiled = push_by_hand(platform, tmp_path / "c", name, "branch: main", "branch: !!python/name:os.system x")
        refused = await ask(buses["gateway"], DesiredState(environment=name, commit=spoiled), CommittedState)
        assert (refused.spec, refused.commit) == (None, spoiled)
        assert "tags" in refused.refused
        gone = await ask(buses["gateway"], DesiredState(environment="nobody-has-it"), CommittedState)
        assert gone == CommittedState()


async def test_plans_are_answered_for_what_is_not_there_yet_and_refused_with_a_reason(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    with platform.running():
        head = platform.committed("rev-list", "--all", "--count")
        spec = samples.spec("planned-only", parameters={"database": True, "instances": 1, "memory_mib": 256})
        took = []
        for _ in range(5):
            started = time.perf_counter()
            plan = await ask(buses["gateway"], PlanEnvironment(spec=spec), Plan)
            took.append(time.perf_counter() - started)
            assert {change.action for change in plan.changes} == {"create"}
            assert {change.resource.kind for change in plan.changes} == set(KINDS)
        print(f"a plan took {statistics.median(took):.2f} s")
        unknown = PlanEnvironment(spec=spec.model_copy(update={"golden_path": "nobody-has-it"}))
        with pytest.raises(PermanentError, match="no golden path called nobody-has-it"):
            await ask(buses["gateway"], unknown, Plan)
        assert platform.committed("rev-list", "--all", "--count") == head
    assert not any(platform.machine.has(kind, "planned-only") for kind in KINDS)


async def test_a_provisioner_that_is_told_to_stop_in_mid_apply_hands_its_work_back(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    with platform.running():
        request = await created(buses)
    name, before = request.subject, request.data.spec
    after = changed(before, branch="next")
    asked = update(request, after, before)
    with platform.machine.postgres.connect("postgres", "apps") as lock:
        lock.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"slipway {schema_of(name)}"])
        with platform.running(SLIPWAY_SHUTDOWN_GRACE_SECONDS="0.1") as child:
            await say(buses["gateway"], asked)
            await until(lambda: _waits(lock), what="Terraform at the database")
            below = psutil.Process(child.process.pid).children(recursive=True)
            assert below
            assert child.stop() == 0
            # Whoever adopts what it left may not have reaped it yet.
            assert not any(map(leftovers.is_alive, below))
        lines = child.log.read_text()
        assert "stopping" in lines
        assert "waits for its next attempt" not in lines
        assert '"level": "critical"' not in lines
    assert await said(buses["provisioner"], InfraFailed, asked) is None
    with platform.running():
        ready = await until(lambda: said(buses["provisioner"], InfraReady, asked), what="InfraReady")
    assert ready.data.spec == after


async def test_a_provisioner_killed_in_the_middle_of_a_road_back_finishes_it(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    with platform.running():
        request = await created(buses)
        name, before = request.subject, request.data.spec
        after = changed(before, branch="next")
        asked = update(request, after, before)
        await say(buses["gateway"], asked)
        await until(lambda: said(buses["provisioner"], InfraReady, asked), what="InfraReady")
    undo = taken_back(asked, after, before)
    with platform.machine.postgres.connect("postgres", "apps") as lock:
        lock.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"slipway {schema_of(name)}"])
        with platform.running() as child:
            await say(buses["secrets"], undo)
            await until(lambda: _waits(lock), what="Terraform at the database")
            child.kill()
    with platform.running():
        restored = await until(lambda: said(buses["provisioner"], InfraDestroyed, undo), what="InfraDestroyed")
    assert {resource.kind for resource in restored.data.receipt.restored} == {"namespace", "route"}
    assert restored.data.receipt.left_behind == ()
    assert platform.committed("log", "--format=%s", "-1") == f"Restore {name} after a failed update"


def _waits(connection: Any) -> bool:
    row = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
    return bool(row[0])

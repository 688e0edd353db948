"""The previous release's own code beside today's, on the same bus, the same durables and the same schema: the middle of
a rolling upgrade. Its commit stands in `tests/contract/recorded/<release>/commit`."""

import asyncio
import subprocess
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Final, LiteralString

import httpx
import pytest

from benchmarks.saga import Driver
from benchmarks.stage import ServiceProcess, Stage, stage
from contracts import subjects
from deploy import log_copy
from deploy.embedded.ports import free_port
from tests.stand_ins import wait_until

PROJECT: Final = Path(__file__).resolve().parents[2]
RECORDED: Final = PROJECT / "tests" / "contract" / "recorded"
RELEASE: Final = max(RECORDED.iterdir(), key=lambda path: tuple(map(int, path.name.split("."))))
REPLACED: Final = ("catalog", "secrets")
"""Services of which a process of both releases runs."""


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the previous release."""
    commit = (RELEASE / "commit").read_text().strip()
    found = subprocess.run(
        ["git", "archive", commit, "chassis", "contracts", "services", "benchmarks", "deploy", "golden_paths"],
        cwd=PROJECT,
        capture_output=True,
        check=False,
    )
    if found.returncode != 0:
        pytest.skip(f"this checkout has no history back to {commit} ({RELEASE.name}): fetch all of it")
    directory = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=BytesIO(found.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory


def of_old(service: ServiceProcess, code: Path) -> ServiceProcess:
    """The same service of the previous release, with a health port of its own."""
    port = free_port()
    environment = {**service.launch.environment, "SLIPWAY_HEALTH_PORT": str(port)}
    launch = replace(service.launch, environment=environment, directory=code)
    return ServiceProcess(f"old-{service.name}", launch, f"http://127.0.0.1:{port}", service.directory)


def note_numbered_files(on: Stage) -> None:
    """What a schema still has that was made by the previous release and then adopted."""
    with on.postgres.connect("slipway_catalog") as connection:
        connection.execute("CREATE TABLE schema_version (number int PRIMARY KEY)")
        for path in (RELEASE / "schema" / "catalog").glob("*.sql"):
            connection.execute("INSERT INTO schema_version VALUES (%s)", [int(path.name[:4])])


def handled(service: ServiceProcess, metric: str) -> float:
    """How much of something a process has done so far."""
    text = httpx.get(f"{service.url}/metrics", trust_env=False).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(metric))


def test_runs_end_well_in_the_middle_of_a_rolling_upgrade(old_code: Path, tmp_path: Path) -> None:
    with stage(tmp_path) as on:
        note_numbered_files(on)
        old = {name: of_old(on.services[name], old_code) for name in REPLACED}
        try:
            for process in old.values():
                process.begin()
            for process in old.values():
                process.wait_ready()

            asyncio.run(create(on, 40))

            assert handled(old["catalog"], "slipway_folded_messages_total") > 0
            assert handled(old["secrets"], "slipway_events_handled_total") > 0
            assert handled(on.services["secrets"], "slipway_events_handled_total") > 0
        finally:
            for process in old.values():
                process.stop()
        assert "Traceback" not in old["catalog"].log.read_text()
        with on.postgres.connect("slipway_catalog") as catalog:
            # A verdict is heard on the log; that it is folded comes a moment later.
            states: LiteralString = "SELECT state, count(*) FROM environments GROUP BY 1"
            wait_until(lambda: catalog.execute(states).fetchall() == [("ready", 40)])
            assert log_copy.verify(catalog).is_intact
            assert catalog.execute("SELECT count(*) FROM events WHERE rejection IS NOT NULL").fetchone() == (0,)


async def create(on: Stage, sagas: int) -> None:
    """So many environments, many at a time, and nothing laid aside."""
    driver = Driver(on)
    await driver.start()
    try:
        await driver.crowd(sagas, 30)
        streams = driver._ears.jetstream
        assert (await streams.stream_info(subjects.DEAD_LETTERS)).state.messages == 0
    finally:
        await driver.stop()

"""What an earlier release wrote, through today's code: the catalog comes to the views that it had, and every service
does what it hears of."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import twins
from chassis.consuming import Subscription
from contracts.envelope import Event
from contracts.events import parse
from contracts.golden_path import GoldenPath
from contracts.topology import HEARS
from services.cicd.adapters.golden_paths import DirectoryGoldenPaths
from services.cicd.adapters.memory import InMemoryForge, InMemoryGoldenPaths, InMemoryProgress, InMemoryWorkflowCheck
from services.cicd.handlers import PipelineHandlers
from services.cicd.subscriptions import subscriptions as cicd_table
from services.provisioner.adapters.memory import MemoryEnvironments, MemoryInfrastructure, MemoryStepLog
from services.secrets.adapters.memory import MemoryHistory, MemoryJournal, MemoryVault
from tests.contract import history
from tests.contract.history import Line

RECORDED = Path(__file__).parent / "recorded"
RELEASES = [path.parent for path in sorted(RECORDED.glob("*/history.jsonl"))]
EVERY_RELEASE = pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)


def recorded(release: Path, first_token: str) -> list[Line]:
    """A recorded stream."""
    found = [json.loads(line) for line in (release / "history.jsonl").read_text().splitlines()]
    ours = [line for line in found if line["subject"].startswith(first_token)]
    return [Line(number, line["subject"].encode(), line["body"].encode()) for number, line in enumerate(ours, start=1)]


def missing(then: Any, now: Any, path: str = "") -> list[str]:
    """What was said then and is said otherwise now. Today's views may say more."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [said for key, value in then.items() for said in missing(value, now.get(key), f"{path}/{key}")]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [said for n, (a, b) in enumerate(zip(then, now, strict=True)) for said in missing(a, b, f"{path}/{n}")]
    return [] if then == now else [f"{path}: {then!r} is {now!r} now"]


@EVERY_RELEASE
def test_the_catalog_folds_an_earlier_log_to_the_views_it_had(release: Path) -> None:
    views = history.folded(recorded(release, "environment."), recorded(release, "signal."))

    assert views.rejections == []
    then = json.loads((release / "views.json").read_text())
    assert missing(then, views.document()) == []
    states = {view.state for view in views.environments.values()}
    assert states >= {"ready", "failed", "deleted"}


async def tables(offered: dict[str, GoldenPath]) -> dict[str, dict[str, Subscription[Any]]]:
    """What each service with an effect does, on its twins, by the kind that it hears."""
    pipelines = PipelineHandlers(
        golden_paths=InMemoryGoldenPaths(offered),
        workflow_check=InMemoryWorkflowCheck(),
        forge=InMemoryForge(),
        progress=InMemoryProgress(),
        platform_url="http://127.0.0.1:8000",
    )
    found = {
        "provisioner": twins.provisioner(MemoryEnvironments(), MemoryInfrastructure(), MemoryStepLog()),
        "secrets": twins.secrets(MemoryVault(), MemoryHistory(), MemoryJournal()),
        "cicd": cicd_table(pipelines),
    }
    return {service: {row.hears.kind: row for row in rows} for service, rows in found.items()}


@EVERY_RELEASE
async def test_every_service_does_what_an_earlier_log_tells_it(release: Path) -> None:
    told = [parse(line.body) for line in recorded(release, "environment.")]
    published = await DirectoryGoldenPaths(twins.GOLDEN_PATHS).find(twins.GOLDEN_PATH)
    offered = {twins.GOLDEN_PATH: published}
    rows = await tables(offered)
    done: set[tuple[str, type[Event]]] = set()
    for event in told:
        if (spec := getattr(event.data, "spec", None)) is not None:
            offered[twins.GOLDEN_PATH] = published.model_copy(update={"version": spec.golden_path_version})
        for service, heard in rows.items():
            if (row := heard.get(event.kind)) is not None:
                await row.deed(event)
                done.add((service, row.hears))

    heard_of = {type(event) for event in told}
    assert done == {(service, kind) for service in rows for kind in HEARS[service] if kind in heard_of}  # type: ignore[index]
    assert len(done) >= 10

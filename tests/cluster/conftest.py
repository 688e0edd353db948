"""A bus of three servers for each module of tests here.

What the chassis needs of such a bus is tested with everything else (test_bus.py). Replicas of every service take
minutes and are collected where `SLIPWAY_CLUSTER_REPLICAS` says how many: `make cluster-test`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from chassis.bus import Bus
from chassis.identity import EventKey
from contracts.topology import User, inbox_prefix
from deploy.embedded.testing_cluster import RunningCluster, start_nats_cluster
from tests.cluster.measured import MEASURED

KEY = EventKey(b"k" * 32)
collect_ignore = [] if "SLIPWAY_CLUSTER_REPLICAS" in os.environ else ["test_replicas.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured."""
    if MEASURED.rows:
        terminalreporter.section("scaled out")
        for line in MEASURED.lines():
            terminalreporter.write_line(line)


def connect(cluster: RunningCluster, user: User, url: str = "") -> Bus:
    return Bus(url or cluster.url, name=user, nkey_file=cluster.nkey_file(user), inbox_prefix=inbox_prefix(user))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with start_nats_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
async def everywhere(cluster: RunningCluster) -> AsyncIterator[list[Bus]]:
    """A connection to each server, with the rights of the gateway."""
    await asyncio.to_thread(cluster.wait_current)
    buses = [connect(cluster, "gateway", server.url) for server in cluster.servers]
    for bus in buses:
        await bus.connect()
    yield buses
    for bus in buses:
        await bus.close()

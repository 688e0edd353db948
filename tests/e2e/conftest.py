"""One platform for all end-to-end tests, made the way a newcomer makes it: `make demo` in an empty home."""

from collections.abc import Iterator

import pytest

from deploy.embedded import leftovers
from tests.e2e.outside import DEMO_NAME, Demo, begin_demo
from tests.stand_ins import wait_until

FIRST_DEPLOYMENT_SECONDS = 180.0


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The running platform with `demo-api` on it. A test that stops it starts it again."""
    demo = begin_demo(tmp_path_factory.mktemp("demo") / "home")
    try:
        wait_until(lambda: _is_settled(demo), seconds=FIRST_DEPLOYMENT_SECONDS)
        yield demo
    finally:
        demo.make("reset", SLIPWAY_YES="1")
        leftovers.end(leftovers.find(demo.home))


def _is_settled(demo: Demo) -> bool:
    """Whether what follows a creation by itself, the first deployment, is over."""
    shown = demo.show(DEMO_NAME)
    return shown["deployment"] == "failed" or (shown["deployment"], shown["running"]) == ("deployed", "healthy")


@pytest.fixture(scope="package")
def neighbour(demo: Demo) -> str:
    """A second environment that nobody touches."""
    demo.create("neighbour")
    return "neighbour"

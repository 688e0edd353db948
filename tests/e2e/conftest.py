"""One platform for all end-to-end tests, made the way a newcomer makes it: `make demo` in an empty home."""

from collections.abc import Iterator

import pytest

from deploy.embedded import leftovers
from tests.e2e.outside import Demo, begin_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The running platform with `demo-api` on it. A test that stops it starts it again."""
    demo = begin_demo(tmp_path_factory.mktemp("demo") / "home")
    try:
        yield demo
    finally:
        demo.make("reset", SLIPWAY_YES="1")
        leftovers.end(leftovers.find(demo.home))


@pytest.fixture(scope="session")
def neighbour(demo: Demo) -> str:
    """A second environment that nobody touches."""
    demo.create("neighbour")
    return "neighbour"

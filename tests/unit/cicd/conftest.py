"""GitHub, as a server that gives whatever answer a test wants."""

from collections.abc import Iterator

import pytest

from tests.unit.cicd.answers import Answers, answering


@pytest.fixture
def github() -> Iterator[Answers]:
    with answering() as answers:
        yield answers

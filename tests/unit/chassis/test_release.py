"""Which release this is, said once."""

import tomllib
from pathlib import Path

from chassis.release import RELEASE, as_numbers

PROJECT = Path(__file__).parents[3]


def test_the_release_is_that_of_the_distribution() -> None:
    described = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert described["project"]["version"] == RELEASE


def test_releases_are_compared_as_numbers() -> None:
    assert as_numbers("0.10.0") > as_numbers("0.9.3") > as_numbers("0.9")

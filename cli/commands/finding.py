"""Which run a word means: its id, the beginning of its id as tables show it, or an environment's latest."""

import re
from itertools import islice
from typing import Final

from cli.failures import CommandError, Exit, ProblemError
from cli.gateway import Json, at
from cli.screens import run as screen
from cli.session import Session

RUNS_A_PAGE: Final = 100
_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BEGINNING_OF_A_RUN_ID = re.compile(rf"[0-9a-f]{{{screen.SHORT_ID}}}[0-9a-f-]*")
_RUNS_SEARCHED: Final = 1000


def find_run(here: Session, name: str) -> Json:
    """The run that `name` means. Raises CommandError."""
    if _RUN_ID.fullmatch(name):
        return here.gateway.get(at("runs", name))
    try:
        environment = here.gateway.get(at("environments", name))
    except ProblemError as problem:
        if problem.code is Exit.NOT_FOUND and _BEGINNING_OF_A_RUN_ID.fullmatch(name):
            return _find_by_beginning(here, name)
        raise
    return here.gateway.get(at("runs", environment["run_id"]))


def _find_by_beginning(here: Session, beginning: str) -> Json:
    newest = islice(here.gateway.every(at("runs"), page_size=RUNS_A_PAGE), _RUNS_SEARCHED)
    found = [run for run in newest if run["id"].startswith(beginning)]
    if len(found) == 1:
        return found[0]
    raise CommandError(
        f"{len(found) or 'None'} of the newest {_RUNS_SEARCHED} runs begin with {beginning}.",
        remedy="`slipway -o json runs` shows whole ids.",
        code=Exit.NOT_FOUND,
    )

"""How a command ends, and what it says when it ends badly.

Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 not found, 130 interrupted.
"""

from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot do what was asked. `remedy` is the next step; `trace_id` finds what happened."""

    def __init__(
        self, message: str, *, remedy: str = "", code: Exit = Exit.FAILED, trace_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.code = code
        self.trace_id = trace_id


class ProblemError(CommandError):
    """The gateway answered with a problem document (RFC 9457)."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        rules = "; ".join(f"{error.get('field')}: {error.get('rule')}" for error in problem.get("errors") or ())
        title = str(problem.get("title") or f"HTTP {status}")
        detail = str(problem.get("detail") or "")
        super().__init__(
            f"{title}: {rules}" if rules else title,
            remedy=detail,
            code=_exit_code(status),
            trace_id=problem.get("trace_id"),
        )
        self.status = status
        self.problem = problem


def _exit_code(status: int) -> Exit:
    if status == 404:
        return Exit.NOT_FOUND
    if status in {400, 413, 415, 422}:
        return Exit.USAGE
    return Exit.REFUSED if status < 500 else Exit.FAILED

"""How a command ends, and what it says when it ends badly.

Invariant: whatever goes wrong is raised as a `CommandError`, which carries its exit code; `main.run` alone catches it.
Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 not found, 130 interrupted.
"""

from enum import IntEnum
from typing import Any

_FLAGS = {
    "url": "the URL", "environment": "--environment", "description": "--description",
    "batch_size": "--batch", "branch": "--branch", "canaries": "--canaries", "expires_in_days": "--expires-in-days",
    "golden_path": "--template", "kind": "--kind", "kinds": "--kind", "limit": "--limit", "parameters": "--set",
    "path": "--path", "person": "--person", "reason": "--reason", "repository": "--repo", "role": "--role",
    "state": "--state", "team": "--team", "teams": "--team", "ttl": "the time",
}  # fmt: skip
"""What a field of the API is called here."""


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot do what was asked.

    `details` are lines that say more, `remedy` is the next step, `trace_id` finds what happened.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        code: Exit = Exit.FAILED,
        details: tuple[str, ...] = (),
        trace_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.code = code
        self.details = details
        self.trace_id = trace_id


class AwayError(CommandError):
    """The gateway does not answer."""


class ReaderGoneError(Exception):
    """Whoever read our output stopped reading (`slipway ls | head -1`): nothing is wrong, nothing more can be said."""


class ProblemError(CommandError):
    """The gateway answered with a problem document (RFC 9457)."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        message, remedy = _said(status, problem)
        super().__init__(
            message,
            remedy=remedy,
            code=_exit_code(status),
            details=tuple(f"{_flag(error.get('field'))} {error.get('rule')}" for error in problem.get("errors") or ()),
            trace_id=problem.get("trace_id"),
        )
        self.status = status
        self.problem = problem


def _said(status: int, problem: dict[str, Any]) -> tuple[str, str]:
    """The message and the remedy, in the words of a terminal where the API speaks to programs."""
    title, detail = str(problem.get("title") or ""), str(problem.get("detail") or "")
    if status == 401:
        return (
            "The gateway does not take this token.",
            "It may be mistyped, expired or revoked: give another with --token-file or SLIPWAY_TOKEN.",
        )
    if problem.get("errors"):
        return "This cannot be asked for.", "Nothing was changed."
    if status == 404 and detail:
        return detail, "`slipway ls` and `slipway runs` list what there is."
    if not title:
        return f"The gateway answered HTTP {status}.", "`slipway doctor` says what is wrong."
    in_the_way = (problem.get("environment") or {}).get("name")
    return f"{title}.", f"{detail} See it: slipway show {in_the_way}" if in_the_way else detail


def _flag(field: object) -> str:
    parameter = str(field).removeprefix("parameters.")
    return f"--set {parameter}" if parameter != field else _FLAGS.get(parameter, parameter)


def _exit_code(status: int) -> Exit:
    if status == 404:
        return Exit.NOT_FOUND
    if status in {400, 413, 415, 422}:
        return Exit.USAGE
    return Exit.REFUSED if status < 500 else Exit.FAILED

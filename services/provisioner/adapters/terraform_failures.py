"""What a failed Terraform command means: worth another try, or not.

Invariant: a failure is transient only when every error in it is. One that no repeat can cure makes the whole permanent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from chassis.failures import PermanentError, TransientError
from services.provisioner.adapters.terraform_output import Diagnostic
from services.provisioner.adapters.terraform_process import Finished
from services.provisioner.adapters.terraform_provider.resource import BUSY, FOREIGN

_MESSAGE_CHARACTERS: Final = 1500
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
_TRANSIENT: Final = re.compile(
    r"Error acquiring the state lock|connection refused|connection reset|broken pipe|i/o timeout|timed? ?out"
    r"|TLS handshake|no such host|Throttling|RequestLimitExceeded|Rate exceeded|TooManyRequests|SlowDown"
    r"|ServiceUnavailable|InternalServerError|status code: 5\d\d|temporarily|transport is closing"
    r"|error reading from server|code = Unavailable|Request cancelled|execution halted|operation canceled"
    r"|context canceled|context deadline exceeded",
    re.IGNORECASE,
)


def failure_of(command: str, finished: Finished, errors: Sequence[Diagnostic]) -> Exception:
    """The exception to raise for a command that did not succeed."""
    if finished.cancelled:
        return TransientError(f"terraform {command} was stopped before it had finished")
    if finished.timed_out:
        return TransientError(f"terraform {command} took too long and was stopped; what it made is recorded")
    if not errors:
        said = _ANSI.sub("", finished.stderr).strip()
        if finished.exit_code < 0:
            return TransientError(f"terraform {command} was ended by signal {-finished.exit_code}")
        errors = [Diagnostic("error", f"terraform {command} failed ({finished.exit_code})", _shorten(said), "")]
    lasting = [error for error in errors if not _may_pass(error)]
    if not lasting:
        return TransientError(_shorten("; ".join(str(error) for error in errors)))
    foreign = [error for error in lasting if error.summary == FOREIGN]
    if foreign:
        return PermanentError(
            "foreign_resource",
            _shorten("; ".join(str(error) for error in foreign)),
            next_step="Choose another name, or have the platform team look at whose the existing thing is.",
        )
    return PermanentError(
        "terraform_refused",
        _shorten("; ".join(str(error) for error in lasting)),
        next_step="The step's log shows every error. Change the environment's parameters, or give the trace id "
        "to the platform team.",
    )


def _may_pass(error: Diagnostic) -> bool:
    if error.summary == FOREIGN:
        return False
    return error.summary == BUSY or bool(_TRANSIENT.search(f"{error.summary} {error.detail}"))


def _shorten(text: str) -> str:
    return text if len(text) <= _MESSAGE_CHARACTERS else f"{text[: _MESSAGE_CHARACTERS - 1]}…"

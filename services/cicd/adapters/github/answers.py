"""What GitHub's answers mean for us."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from github import GithubException, RateLimitExceededException

from chassis.failures import PermanentError, TransientError

T = TypeVar("T")

MAX_WAIT_SECONDS: Final = 3660.0
"""The longest wait that a rate limit may impose between two attempts: GitHub's limits are by the hour."""
SECONDARY_LIMIT_WAIT_SECONDS: Final = 60.0
"""How long to wait where a limit says nothing of it: "at least one minute" (GitHub's best practices for its API)."""


def or_none(call: Callable[[], T]) -> T | None:
    """What `call` gives, or None where the forge answers that there is no such thing (404; 409 for a repository
    without commits; 422 for a branch that is gone)."""
    try:
        return call()
    except GithubException as error:
        gone = error.status == 422 and "does not exist" in words(error)
        empty = error.status == 409 and "empty" in words(error)
        if error.status == 404 or gone or empty:
            return None
        raise


def words(error: GithubException) -> str:
    """GitHub's own words for what is wrong, as one short printable line."""
    data = error.data if isinstance(error.data, dict) else {}
    details = data.get("errors")
    texts = [str(data.get("message") or "")]
    texts.extend(
        str(detail.get("message") or "") if isinstance(detail, dict) else str(detail)
        for detail in (details if isinstance(details, list) else [])
    )
    line = "; ".join(text for text in texts if text)
    return "".join(character if character.isprintable() else " " for character in line)[:300]


def wait_seconds(error: GithubException) -> float | None:
    """How long the forge asks us to wait, or None where it does not: `Retry-After`, else the reset of a used-up limit
    by the forge's own clock, else what holds for a secondary limit."""
    headers = {name.lower(): str(value) for name, value in (error.headers or {}).items()}
    if error.status not in {403, 429}:
        return None
    try:
        if "retry-after" in headers:
            return _within_reason(float(headers["retry-after"]))
        if headers.get("x-ratelimit-remaining") == "0":
            return _within_reason(float(headers["x-ratelimit-reset"]) - _their_now(headers))
    except (KeyError, ValueError):
        pass  # not what the protocol says; the limit itself is still one
    limited = error.status == 429 or isinstance(error, RateLimitExceededException)
    return SECONDARY_LIMIT_WAIT_SECONDS if limited else None


def _within_reason(seconds: float) -> float:
    return min(max(seconds, 1.0), MAX_WAIT_SECONDS)


def _their_now(headers: Mapping[str, str]) -> float:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return datetime.now(UTC).timestamp()


def meaning(what: str, error: GithubException) -> TransientError | PermanentError:
    """What an answer that is no success means for us."""
    if (wait := wait_seconds(error)) is not None:
        return TransientError(f"the forge asks us to wait: {what}", delay_seconds=wait)
    if error.status >= 500 or error.status in {408, 423} or error.status <= 0:
        return TransientError(f"the forge failed with {error.status}: {what}")
    if error.status == 401:
        return PermanentError(
            "forge_credentials",
            f"the forge does not take the platform's credentials: {what}",
            next_step="Tell the platform team: the forge's token or the GitHub App's key is wrong or has expired.",
        )
    if error.status == 403:
        return PermanentError(
            "forge_forbidden",
            f"the platform may not do this on the forge: {what} ({words(error)})",
            next_step="Give the platform's account write access there, or choose another repository; then retry.",
        )
    if error.status == 404:
        return PermanentError(
            "forge_not_found",
            f"the forge does not know it, or hides it from the platform: {what} ({words(error)})",
            next_step="Check the owner's and the repository's name, and that the platform's account may see it.",
        )
    return PermanentError(
        "forge_refused",
        f"the forge refused with {error.status}: {what} ({words(error)})",
        next_step="Look at the repository on the forge, put right what it says, and retry.",
    )

"""When a webhook is told of something, and what follows from an attempt. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from contracts.webhooks import Attempt, DeliveryState, Webhook
from services.notifier.domain.news import News

RETRY_DELAYS_SECONDS: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""5 s, 5 min, 30 min, then 2, 5, 10, 14, 20 and 24 hours: three days, and ten attempts in all."""
LONGEST_WAIT_SECONDS: Final = 86_400
"""A receiver may ask for more time than the schedule gives it, but not for more than a day."""
JITTER: Final = 0.1
"""By how much of itself a delay is longer at most, so that what failed together does not come back together."""
OLD_SECRET_FOR: Final = timedelta(hours=24)
"""For how long after a rotation the secret before it signs too."""
FAILING_FOR: Final = timedelta(days=5)
"""After how long without anything arriving nothing more is sent."""
KEPT_FOR: Final = timedelta(days=30)
"""How long a delivery is kept that is over."""
ATTEMPTS_KEPT: Final = 20
MOST_OF_A_TEAM: Final = 50
"""How many webhooks a team may have."""
CLOCKS_DIFFER_BY: Final = timedelta(seconds=5)
"""The most by which the clock of whoever said something is taken to be behind ours."""
ANSWER_BYTES: Final = 4096
"""How much of an answer is read."""
ANSWER_SHOWN: Final = 500
"""And how many characters of it are kept."""
_GONE: Final = 410
_BUSY: Final = frozenset({429, 503})


@dataclass(frozen=True)
class Reply:
    """What a receiver answered."""

    status_code: int
    answer: str = ""
    retry_after_seconds: float | None = None


@dataclass(frozen=True)
class Consequence:
    """What follows from an attempt."""

    attempt: Attempt
    state: DeliveryState
    next_attempt_at: datetime | None = None
    disable: str | None = None
    """Why nothing more is sent to this webhook; None where it goes on."""

    @property
    def arrived(self) -> bool:
        """Whether the receiver has it."""
        return self.state == "delivered"


def is_wanted(hook: Webhook, news: News) -> bool:
    """Whether this webhook is told of this: its own team's, of a kind that it named, said after it was made."""
    return (
        hook.state == "active"
        and hook.team == news.owned.team
        and (not hook.kinds or news.kind in hook.kinds)
        and hook.environment in {None, news.environment}
        and hook.golden_path in {None, news.owned.golden_path}
        and news.message.time >= hook.created_at - CLOCKS_DIFFER_BY
    )


def kinds_wanted(hooks: Sequence[Webhook], every: Sequence[str]) -> frozenset[str]:
    """The kinds of which at least one of these is told; `every` are all that there are."""
    wanted: set[str] = set()
    for hook in hooks:
        wanted.update(hook.kinds or every)
    return frozenset(wanted)


def generations(hook: Webhook, now: datetime) -> tuple[int, ...]:
    """Which generations of its secret sign now, the newest first."""
    if hook.rotated_at is not None and hook.generation > 1 and now - hook.rotated_at < OLD_SECRET_FOR:
        return hook.generation, hook.generation - 1
    return (hook.generation,)


def consequence(
    hook: Webhook,
    tries: int,
    reply: Reply | str,
    *,
    began_at: datetime,
    ended_at: datetime,
    chance: Callable[[], float],
) -> Consequence:
    """What follows from attempt number `tries` + 1 since the delivery was (or was again) asked for: the receiver's
    answer, or why there was none. `chance` gives a number from 0 to 1."""
    duration = (ended_at - began_at).total_seconds()
    if isinstance(reply, str):
        attempt = Attempt(at=began_at, duration_seconds=duration, error=reply)
    else:
        attempt = Attempt(
            at=began_at,
            duration_seconds=duration,
            status_code=reply.status_code,
            answer=reply.answer,
            error=_fault(reply.status_code),
        )
    if attempt.error is None:
        return Consequence(attempt, "delivered")
    if attempt.status_code == _GONE:
        return Consequence(attempt, "failed", disable="Its receiver answered 410: it is gone for good.")
    if hook.failing_since is not None and ended_at - hook.failing_since >= FAILING_FOR:
        return Consequence(
            attempt, "failed", disable=f"Nothing arrived for {FAILING_FOR.days} days. The last time: {attempt.error}"
        )
    if tries >= len(RETRY_DELAYS_SECONDS):
        return Consequence(attempt, "failed")
    delay = RETRY_DELAYS_SECONDS[tries] * (1 + JITTER * chance())
    if isinstance(reply, Reply) and reply.status_code in _BUSY and reply.retry_after_seconds is not None:
        delay = max(delay, min(reply.retry_after_seconds, LONGEST_WAIT_SECONDS))
    return Consequence(attempt, "waiting", ended_at + timedelta(seconds=delay))


def single(attempt_of: Consequence) -> Consequence:
    """The same where nothing is to be tried again and nothing follows for the webhook: a test."""
    state: Literal["delivered", "failed"] = "delivered" if attempt_of.arrived else "failed"
    return Consequence(attempt_of.attempt, state)


def _fault(status_code: int) -> str | None:
    if 200 <= status_code < 300:
        return None
    if 300 <= status_code < 400:
        return f"It answered {status_code}; redirects are not followed. Give the webhook the URL that it leads to."
    return f"It answered {status_code}."


@dataclass(frozen=True)
class Disabled:
    """A webhook of whose end its team has to be told."""

    hook: Webhook
    notice_id: UUID
    at: datetime

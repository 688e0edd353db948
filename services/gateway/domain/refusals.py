"""Why a request is refused, in words for the person who asked. How a refusal travels (HTTP status, problem+json) is
the business of `api.problems`.

Invariant: a refusal never repeats the value that it refuses, and tells of an environment only what the asker may see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal
from uuid import UUID

from contracts.envelope import Value
from contracts.names import EnvironmentName
from contracts.queries import EnvironmentState


@dataclass(frozen=True)
class BrokenRule:
    """A field, and the rule that its value breaks."""

    field: str
    rule: str


class Standing(Value):
    """What a refusal may tell of the environment that is in the way."""

    name: EnvironmentName
    state: EnvironmentState
    run_id: UUID


class RefusalError(Exception):
    """A request that is not carried out. `code` is stable, for programs; the message is for people."""

    code: ClassVar[str]

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class MalformedError(RefusalError):
    """The body is not the JSON we take."""

    code = "malformed_request"


class TooLargeError(RefusalError):
    """The body is larger than any honest request."""

    code = "too_large"


class UnsupportedMediaTypeError(RefusalError):
    """The body is of a type or in an encoding that we do not read."""

    code = "unsupported_media_type"


class UnauthenticatedError(RefusalError):
    """No token, or none that is valid. Does not say which."""

    code = "unauthenticated"


class ForbiddenError(RefusalError):
    """The token is valid and its role, or its teams, do not reach so far."""

    code = "forbidden"


class NotAllowedError(RefusalError):
    """The platform's policy does not let this team have such a thing."""

    code = "not_allowed"


class Exceeded(Value):
    """A quota that is used up: how much of it, and what could be deleted to make room."""

    what: Literal["environments", "previews_of_repository", "cost_per_month"]
    scope: str
    """The team or the repository that it belongs to."""
    used: str
    limit: str
    delete_one_of: tuple[EnvironmentName, ...] = ()


class QuotaExceededError(RefusalError):
    """There is no room for another one."""

    code = "quota_exceeded"

    def __init__(self, detail: str, quota: Exceeded) -> None:
        super().__init__(detail)
        self.quota = quota


class UnknownThingError(RefusalError):
    """There is no such thing, or it belongs to somebody else: both look alike."""

    code = "not_found"


class InvalidError(RefusalError):
    """One or more fields break their rules."""

    code = "invalid_request"

    def __init__(self, errors: Sequence[BrokenRule]) -> None:
        super().__init__("Mend the fields named in `errors` and send the request again. Nothing was changed.")
        self.errors = tuple(errors)


class KeyReusedError(RefusalError):
    """An idempotency key came back with another request."""

    code = "idempotency_key_reused"


class RateLimitedError(RefusalError):
    """Too many requests in too short a time."""

    code = "rate_limited"

    def __init__(self, detail: str, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(RefusalError):
    """Something the answer depends on is away; asking again later may work."""

    code = "unavailable"

    def __init__(self, detail: str, retry_after_seconds: int = 2) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class ConflictError(RefusalError):
    """Something stands in the way of the run. `standing` is None where the asker may not see what."""

    def __init__(self, detail: str, standing: Standing | None) -> None:
        super().__init__(detail)
        self.standing = standing


class NameTakenError(ConflictError):
    """There is a live environment of this name."""

    code = "name_taken"


class RunUnderWayError(ConflictError):
    """Another run of this environment is under way."""

    code = "run_under_way"


class RunEndedError(ConflictError):
    """The run that was to be called off is over."""

    code = "run_ended"


class NotFailedError(ConflictError):
    """The run that was to be tried again did not fail, or another one came after it."""

    code = "run_not_failed"


class NothingThereError(ConflictError):
    """The environment was never made, so there is nothing of it that could be changed."""

    code = "nothing_there"


class ChangedMeanwhileError(ConflictError):
    """The environment is no longer what the asker saw."""

    code = "changed_meanwhile"


class PlanOutdatedError(ConflictError):
    """What would happen now is not what the asker agreed to."""

    code = "plan_outdated"


class RolloutUnderWayError(RefusalError):
    """Another rollout of the same golden path is not over."""

    code = "rollout_under_way"


class RolloutEndedError(RefusalError):
    """The rollout that was to be steered is over."""

    code = "rollout_ended"


class WebhookNotActiveError(RefusalError):
    """Nothing is sent to this webhook as long as it is paused or disabled."""

    code = "webhook_not_active"


RefusalCode = Literal["name_taken", "run_under_way", "not_found", "run_ended", "nothing_there", "changed_meanwhile"]

_CONFLICTS: Final[dict[str, tuple[type[ConflictError], str]]] = {
    "run_under_way": (
        RunUnderWayError,
        "The environment is {state}: one run at a time. Wait for the run to end, then ask again.",
    ),
    "run_ended": (RunEndedError, "This run is over, and cannot be called off any more. Nothing was changed."),
    "nothing_there": (
        NothingThereError,
        "The environment is {state}, and nothing of it exists. Try its last run again, or delete it.",
    ),
    "changed_meanwhile": (
        ChangedMeanwhileError,
        "The environment was changed since you looked at it. Look again, and ask for what you still want.",
    ),
}


class RecordedRefusal(Value):
    """A refusal as it is kept with the request, so that the same request gets the same answer again."""

    code: RefusalCode
    standing: Standing | None = None

    def error(self) -> RefusalError:
        """The refusal, ready to be raised."""
        if self.code == "not_found":
            return UnknownThingError(NO_SUCH_ENVIRONMENT)
        if self.code in _CONFLICTS:
            kind, text = _CONFLICTS[self.code]
            return kind(text.format(state=self.standing.state if self.standing else "busy"), self.standing)
        if self.standing is None:
            return NameTakenError("This name is taken on this platform. Choose another one.", None)
        return NameTakenError(
            f"You have an environment of this name; it is {self.standing.state}. Use it, delete it first, or choose"
            " another name.",
            self.standing,
        )


NO_SUCH_ENVIRONMENT = "There is no such environment, or it is not one of your teams'."
NO_SUCH_ROLLOUT = "There is no such rollout."
NO_SUCH_RUN = "There is no such run, or it is not one of your teams'."

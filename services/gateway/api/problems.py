"""Errors as `application/problem+json` (RFC 9457): one shape for everything that is not answered.

Invariant: a problem never holds a value that was sent, nor anything of the inside of the platform: only which field
breaks which rule, what happened, and what to do next.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from chassis import tracing
from chassis.failures import TransientError
from contracts.names import ENVIRONMENT_NAME_PATTERN
from services.gateway.domain.deployments import DeploymentFailedError
from services.gateway.domain.refusals import (
    BrokenRule,
    ConflictError,
    Exceeded,
    InvalidError,
    QuotaExceededError,
    RateLimitedError,
    RefusalError,
    Standing,
    UnavailableError,
)

_log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:slipway:problem:"

_KNOWN: Final[Mapping[str, tuple[int, str]]] = {
    "malformed_request": (400, "The request cannot be read"),
    "unauthenticated": (401, "Who are you?"),
    "forbidden": (403, "You may not do this"),
    "not_allowed": (403, "Your team may not have this"),
    "quota_exceeded": (403, "There is no room for this"),
    "not_found": (404, "There is no such thing"),
    "method_not_allowed": (405, "This cannot be done here"),
    "name_taken": (409, "The name is taken"),
    "run_under_way": (409, "Another run is under way"),
    "run_ended": (409, "The run is over"),
    "run_not_failed": (409, "There is nothing to try again"),
    "nothing_there": (409, "There is nothing to change"),
    "changed_meanwhile": (409, "It has changed since"),
    "plan_outdated": (409, "The plan is outdated"),
    "rollout_under_way": (409, "Another rollout is under way"),
    "rollout_ended": (409, "The rollout is over"),
    "webhook_not_active": (409, "The webhook is not active"),
    "not_deployable": (409, "Nothing can be deployed there"),
    "no_such_release": (409, "There is no such release"),
    "no_cluster": (409, "There is no cluster"),
    "no_runtime": (409, "Applications run elsewhere"),
    "too_large": (413, "The request is too large"),
    "unsupported_media_type": (415, "The request is of a type that is not read"),
    "deployment_failed": (422, "The release did not become live"),
    "invalid_request": (422, "The request breaks a rule"),
    "idempotency_key_reused": (422, "The idempotency key belongs to another request"),
    "rate_limited": (429, "Too many requests"),
    "internal": (500, "Something went wrong here"),
    "unavailable": (503, "Not at the moment"),
}
_HARMLESS: Final = re.compile(r"/?[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*(?::[a-z]{1,20})?")
"""Addresses that may be shown as they came."""
_SUBJECT: Final = re.compile(r"^(?:Input|[A-Z][a-z]+) should")
"""How pydantic begins its sentences."""
_PLACES: Final = frozenset({"body", "query", "header", "path"})
_MANIFEST: Final = frozenset({"metadata", "spec"})
"""The parts of `contracts.application.Application`."""
_OF_STATUS: Final = {400: "malformed_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}

_LABEL_RULE: Final = (
    "must be a DNS label: lower-case letters, digits and single hyphens, beginning with a letter and ending in a letter"
    " or digit, 40 characters at most"
)
_RULES: Final[Mapping[str, str]] = {
    "repository": "must be owner/name as on GitHub, without .git",
    "branch": "must be letters, digits and . _ / -, beginning with a letter or digit, 120 characters at most",
    "Idempotency-Key": "must be 1 to 255 visible ASCII characters",
}
"""In the words of the person who types, where a regular expression would say less."""


class FieldError(BaseModel):
    """A field of the request, and the rule that its value breaks."""

    field: str
    rule: str


class Problem(BaseModel):
    """Why a request is not answered (RFC 9457)."""

    type: str = Field(description="`urn:slipway:problem:<code>`; the code is stable")
    title: str
    status: int
    detail: str = Field(description="What happened, and what to do next")
    instance: str
    trace_id: str | None = Field(description="Give it to the platform team")
    errors: list[FieldError] = []
    environment: Standing | None = Field(
        default=None, description="What is in the way, where the asker may see it; absent otherwise"
    )
    quota: Exceeded | None = Field(default=None, description="What is used up; absent otherwise")
    lines: list[str] | None = Field(
        default=None, description="What a release printed last that did not become live; absent otherwise"
    )


class Refused(BaseModel):
    """A problem, ready to be sent."""

    problem: Problem
    headers: dict[str, str] = {}

    @property
    def body(self) -> bytes:
        """The problem as JSON; `environment` and `quota` are there only where they say something."""
        hidden = {name for name in ("environment", "quota", "lines") if getattr(self.problem, name) is None}
        return self.problem.model_dump_json(exclude=hidden).encode()


def known() -> Mapping[str, tuple[int, str]]:
    """Every code, with its status and title."""
    return _KNOWN


def of(error: Exception, instance: str) -> Refused:
    """What is said of any exception. `instance` is the path of the request, or the bus's subject."""
    if isinstance(error, RefusalError):
        return _of_refusal(error, instance)
    if isinstance(error, RequestValidationError):
        return _of_refusal(InvalidError(broken_rules(error.errors())), instance)
    if isinstance(error, HTTPException):
        code = _OF_STATUS.get(error.status_code, "internal")
        detail = {
            "not_found": "Nothing is served under this address. The API is described at /api/v1/openapi.json.",
            "method_not_allowed": "This address does not take this method. The API is described at"
            " /api/v1/openapi.json.",
        }.get(code, "The request was not understood.")
        return _refused(code, detail, instance, headers=dict(error.headers or {}))
    if isinstance(error, TransientError):
        _log.warning("could not answer now", error=str(error)[:500])
        return _of_refusal(
            UnavailableError(
                "A part of the platform does not answer. Ask again in a moment, with the same Idempotency-Key: what"
                " was recorded is carried out once, also without you."
            ),
            instance,
        )
    _log.error("could not answer", error_type=type(error).__name__, exc_info=error)
    return _refused(
        "internal", "This is a fault of the platform. Tell the platform team the trace id.", instance, headers={}
    )


def _of_refusal(error: RefusalError, instance: str) -> Refused:
    headers: dict[str, str] = {}
    if error.code == "unauthenticated":
        headers["WWW-Authenticate"] = 'Bearer realm="slipway"'
    if isinstance(error, RateLimitedError | UnavailableError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    return _refused(
        error.code,
        error.detail,
        instance,
        headers=headers,
        errors=error.errors if isinstance(error, InvalidError) else (),
        standing=error.standing if isinstance(error, ConflictError) else None,
        quota=error.quota if isinstance(error, QuotaExceededError) else None,
        lines=error.lines if isinstance(error, DeploymentFailedError) else None,
    )


def _refused(
    code: str,
    detail: str,
    instance: str,
    *,
    headers: dict[str, str],
    errors: Sequence[BrokenRule] = (),
    standing: Standing | None = None,
    quota: Exceeded | None = None,
    lines: Sequence[str] | None = None,
) -> Refused:
    status, title = _KNOWN[code]
    problem = Problem(
        type=TYPE_PREFIX + code,
        title=title,
        status=status,
        detail=detail,
        instance=instance if _HARMLESS.fullmatch(instance) else "/",
        trace_id=tracing.trace_id(),
        errors=[FieldError(field=error.field, rule=error.rule) for error in errors],
        environment=standing,
        quota=quota,
        lines=list(lines) if lines is not None else None,
    )
    return Refused(problem=problem, headers=headers)


def broken_rules(errors: Iterable[Mapping[str, Any]]) -> list[BrokenRule]:
    """Pydantic's errors as rules: which field, and what it must be; never what it was. An unknown field's name was
    sent, too, so it is not named."""
    found = (_broken_rule(error) for error in errors)
    return list(dict.fromkeys(found))


def _broken_rule(error: Mapping[str, Any]) -> BrokenRule:
    loc = tuple(error["loc"])
    if loc[:1] != ("path",) or len(loc) > 1:  # alone it is a field of that name
        loc = loc[1:] if loc and loc[0] in _PLACES else loc
    where = [part for part in loc if isinstance(part, str)]
    if error["type"] == "extra_forbidden":
        return BrokenRule("body", "has a field that this request does not take")
    if not where:
        return BrokenRule("body", _without_value(error) if error["type"] == "value_error" else "must be an object")
    # A manifest's fields have fixed names at every level; further in than that, names are what somebody sent.
    field = ".".join(where) if where[0] in _MANIFEST else _spelled(where[0])
    return BrokenRule(field, _rule(where[-1] if where[0] in _MANIFEST else field, error))


def _rule(field: str, error: Mapping[str, Any]) -> str:
    kind = str(error["type"])
    if kind == "missing":
        return "is required"
    if kind == "value_error":
        return _without_value(error)
    if kind == "string_pattern_mismatch" and error.get("ctx", {}).get("pattern") == ENVIRONMENT_NAME_PATTERN:
        return _LABEL_RULE
    if kind.startswith("string_") and field in _RULES:
        return _RULES[field]
    if kind.endswith("_parsing"):  # these messages may quote what they could not read
        return f"must be a valid {kind.removesuffix('_parsing').replace('_', ' ')}"
    return _SUBJECT.sub("must", str(error["msg"]))


def _spelled(field: str) -> str:
    return "Idempotency-Key" if field.lower() in {"idempotency-key", "idempotency_key"} else field


def _without_value(error: Mapping[str, Any]) -> str:
    text = str(error.get("ctx", {}).get("error", "breaks its rule"))
    value = error.get("input")
    if isinstance(value, str) and value:
        text = text.replace(repr(value), "").replace(value, "")
    return re.sub(r" {2,}", " ", text).strip()

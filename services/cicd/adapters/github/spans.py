"""Spans of the requests to GitHub, named by what they ask for.

Invariant: a look-up that finds nothing is an answer and no failure. Names hold no repository, branch or number, so that
spans of one kind have one name (`url.template` of OpenTelemetry's semantic conventions).
"""

import re
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, Status, StatusCode
from requests import PreparedRequest, Response

_BASE: Final = re.compile(r"^/api/v3(?=/|$)")
"""Where GitHub Enterprise, and the embedded forge, have the API."""
_TEMPLATES: Final = tuple(
    (re.compile(pattern + r"$"), template)
    for pattern, template in (
        (r"^/repos/[^/]+/[^/]+/git/(ref|refs|matching-refs)/.+", r"/repos/{owner}/{repo}/git/\1/{ref}"),
        (r"^/repos/[^/]+/[^/]+/git/(commits|trees|blobs)/.+", r"/repos/{owner}/{repo}/git/\1/{sha}"),
        (r"^/repos/[^/]+/[^/]+/contents/.+", "/repos/{owner}/{repo}/contents/{path}"),
        (r"^/repos/[^/]+/[^/]+/actions/variables/.+", "/repos/{owner}/{repo}/actions/variables/{name}"),
        (r"^/repos/[^/]+/[^/]+/environments/.+", "/repos/{owner}/{repo}/environments/{environment_name}"),
        (r"^/repos/[^/]+/[^/]+/pulls/[^/]+", "/repos/{owner}/{repo}/pulls/{pull_number}"),
        (r"^/repos/[^/]+/[^/]+((?:/(?:git|actions))?/[a-z-]+)?", r"/repos/{owner}/{repo}\1"),
        (r"^/orgs/[^/]+/repos", "/orgs/{org}/repos"),
        (r"^/repositories/[0-9]+(/.*)?", "/repositories/{id}"),
        (r"^/app/installations/[0-9]+/access_tokens", "/app/installations/{installation_id}/access_tokens"),
        (r"^(/[a-z_]+)", r"\1"),
    )
)


def template(path: str) -> str:
    """What a path of the API asks for: `/repos/{owner}/{repo}/git/ref/{ref}`. `/…` for one that we do not know."""
    asked = _BASE.sub("", path)
    for pattern, named in _TEMPLATES:
        if found := pattern.match(asked):
            return found.expand(named)
    return "/…"


def name(span: Span, request: PreparedRequest) -> None:
    """Name the span of a request."""
    asked = template(urlsplit(request.url or "").path)
    span.update_name(f"{request.method} {asked}")
    span.set_attribute("url.template", asked)


def forgive(span: Span, request: PreparedRequest, response: Response) -> None:
    """Say of a look-up that found nothing, or a removal of what was not there, that it went well."""
    if response.status_code == 404 and request.method in {"GET", "DELETE"}:
        span.set_status(Status(StatusCode.OK))


def trace_requests(provider: TracerProvider | None = None) -> None:
    """Give every request of this process a span, whose trace goes on into the forge."""
    RequestsInstrumentor().instrument(request_hook=name, response_hook=forgive, tracer_provider=provider)

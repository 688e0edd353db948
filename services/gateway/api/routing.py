"""The one door of the API. Every request to a route goes through here, in this order: trace, token, rate, role, body.

Invariants
- A route is made from an `Endpoint`, which has a policy; `refuse_undeclared` ends the process at its start where a
  route was added in any other way.
- Whatever happens behind the door, what comes out is an answer of the route or a problem.
"""

from collections.abc import Awaitable, Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import structlog
from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.routing import APIRoute
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from chassis import tracing
from services.gateway.api import limits, problems
from services.gateway.api.auth import Gate, Policy
from services.gateway.api.cookies import site_of
from services.gateway.api.yaml_bodies import parse_yaml
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import BrokenRule, InvalidError, UnsupportedMediaTypeError

_log = structlog.get_logger(__name__)

TRACE_HEADER: Final = "Slipway-Trace-Id"
_TURNED_AWAY: Final = frozenset({401, 403, 429})
_Handler = Callable[[Request], Awaitable[Response]]
_Body = Literal["none", "optional", "required", "also YAML"]
"""Whether a route takes a body."""


@dataclass(frozen=True)
class Endpoint:
    """One row of the table of routes."""

    method: str
    path: str
    answer: Callable[..., Any]
    policy: Policy
    status: int = 200
    model: type[Any] | None = None
    """The shape of the answer; only what it names leaves the platform."""
    tag: str = "platform"
    in_schema: bool = True
    takes_yaml: bool = False
    """Whether its body may be YAML as well as JSON."""
    options: dict[str, Any] = field(default_factory=dict)
    """More of what FastAPI's routes take, for the description."""


class _ReadRequest(Request):
    """A request whose body was read and checked by us, so that nobody parses it a second time in another way."""

    checked_body: bytes = b""
    checked_json: Any = None

    @classmethod
    def of(cls, request: Request) -> "_ReadRequest":
        """The same request; whatever its body was written in, it is handed on as JSON."""
        others = [pair for pair in request.scope["headers"] if pair[0] != b"content-type"]
        scope = {**request.scope, "headers": [*others, (b"content-type", b"application/json")]}
        return cls(scope, request.receive)

    async def body(self) -> bytes:
        """The bytes."""
        return self.checked_body

    async def json(self) -> Any:
        """What they say."""
        return self.checked_json


def door(gate: Gate, table: dict[Callable[..., Any], Endpoint]) -> type[APIRoute]:
    """The class of the routes behind which `gate` stands."""

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            inner = super().get_route_handler()
            policy = table[self.endpoint].policy
            takes_body: _Body = "none"
            if self.body_field is not None:
                takes_body = "required" if self.body_field.field_info.is_required() else "optional"
                if table[self.endpoint].takes_yaml:
                    takes_body = "also YAML"

            async def handle(request: Request) -> Response:
                if not policy.traced:
                    return await _answer(gate, policy, request, inner, takes_body=takes_body)
                with root_span(request, self.path_format) as span:
                    response = await _answer(gate, policy, request, inner, takes_body=takes_body)
                    tell(span, response)
                    note(request, self.path_format, response)
                    return response

            return handle

    return GuardedRoute


async def _answer(gate: Gate, policy: Policy, request: Request, inner: _Handler, *, takes_body: _Body) -> Response:
    try:
        address = request.client.host if request.client else "unknown"
        request.state.principal = await gate.admit(
            policy, request.headers.getlist("authorization"), address, site_of(request).session_of_reader(request)
        )
        limits.check_query(request.scope["query_string"])
        if takes_body != "none":
            request = await _read(request, takes_body)
        response = await inner(request)
    except Exception as error:  # noqa: BLE001 - whatever it is, it leaves as a problem
        refused = problems.of(error, request.url.path)
        response = Response(
            refused.body, refused.problem.status, headers=refused.headers, media_type=problems.MEDIA_TYPE
        )
    if trace_id := tracing.trace_id():
        response.headers[TRACE_HEADER] = trace_id
    return response


async def _read(request: Request, takes_body: _Body) -> Request:
    types, encodings = request.headers.getlist("content-type"), request.headers.getlist("content-encoding")
    length = request.headers.get("content-length")
    if takes_body == "optional" and not types and not await limits.read(request.stream(), length):
        return _ReadRequest(request.scope, request.receive)
    if len(types) > 1:
        raise UnsupportedMediaTypeError("Send one Content-Type.")
    is_yaml = takes_body == "also YAML" and limits.is_yaml(types[0] if types else None)
    kind = "application/json" if is_yaml else types[0] if types else None
    limits.check_type(kind, ", ".join(encodings) if encodings else None)
    body = await limits.read(request.stream(), length)
    read = _ReadRequest.of(request)
    read.checked_json = parse_yaml(body) if is_yaml else limits.parse_json(body)
    if not isinstance(read.checked_json, dict):
        raise InvalidError([BrokenRule("body", "must be an object")])
    read.checked_body = body
    return read


def root_span(request: Request, template: str) -> AbstractContextManager[Span]:
    """The trace of one request begins here; `template` is its route."""
    attributes = {"http.request.method": request.method, "http.route": template, "url.scheme": request.url.scheme}
    return linked_span(f"{request.method} {template}", request.headers.get("traceparent"), attributes)


@contextmanager
def linked_span(name: str, foreign_parent: str | None, attributes: dict[str, str]) -> Iterator[Span]:
    """A new trace begins here: whoever calls does not decide what is traced, or under which id. The span that they
    came with is kept as a link. `name` is a template, so that there are few names."""
    with tracing.span(name, kind=SpanKind.SERVER, attributes=attributes) as span:
        if foreign_parent is not None:
            foreign = trace.get_current_span(tracing.context_of(foreign_parent)).get_span_context()
            if foreign.is_valid and foreign.trace_id != span.get_span_context().trace_id:
                span.add_link(foreign)
        yield span


def tell(span: Span, response: Response) -> None:
    """Let the span say what came of the request."""
    span.set_attribute("http.response.status_code", response.status_code)
    if response.status_code >= 500:
        span.set_attribute("error.type", str(response.status_code))
        span.set_status(Status(StatusCode.ERROR))


def note(request: Request, template: str, response: Response) -> None:
    """Leave a line about every change that was asked for, and about everybody who was turned away."""
    if request.method == "GET" and response.status_code not in _TURNED_AWAY:
        return
    principal: Principal | None = getattr(request.state, "principal", None)
    _log.info(
        "a request was answered",
        method=request.method,
        route=template,
        status=response.status_code,
        person=principal.person if principal else None,
        token_id=principal.token_id if principal else None,
    )


def serve(application: FastAPI, gate: Gate, endpoints: Sequence[Endpoint]) -> None:
    """Add these routes, and no others, to the application."""
    table: dict[Callable[..., Any], Endpoint] = {}
    route = door(gate, table)
    for endpoint in endpoints:
        table[endpoint.answer] = endpoint
        application.router.routes.append(
            route(
                endpoint.path,
                endpoint.answer,
                methods=[endpoint.method],
                status_code=endpoint.status,
                response_model=endpoint.model,
                tags=[endpoint.tag],
                operation_id=endpoint.answer.__name__,
                include_in_schema=endpoint.in_schema,
                dependency_overrides_provider=application,
                **endpoint.options,
            )
        )
    refuse_undeclared(application, table)


def refuse_undeclared(application: FastAPI, table: Container[Callable[..., Any]]) -> None:
    """Raise where a route has no policy: what nobody thought about is not served."""
    for route in application.routes:
        if getattr(route, "endpoint", None) not in table:
            raise LookupError(f"the route {getattr(route, 'path', route)!r} has no policy; declare it as an Endpoint")


def _principal(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


Asker = Annotated[Principal, Depends(_principal)]
"""Whoever asks; only for routes whose policy takes somebody."""


def _key(
    request: Request, idempotency_key: Annotated[str | None, Header(pattern=limits.KEY_PATTERN)] = None
) -> str | None:
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise InvalidError([BrokenRule("Idempotency-Key", "must be sent once")])
    return idempotency_key


IdempotencyKey = Annotated[str | None, Depends(_key)]
"""What makes a repeated request the same request."""

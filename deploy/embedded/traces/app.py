"""The trace store as an ASGI application: OTLP intake, Jaeger's query API, pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import structlog
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it has none
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from deploy.embedded.traces import jaeger
from deploy.embedded.traces.otlp import BODY_LIMIT_BYTES, Batch, Encoding, RefusedBodyError
from deploy.embedded.traces.pages import Pages
from deploy.embedded.traces.queries import Queries
from deploy.embedded.traces.settings import TraceSettings
from deploy.embedded.traces.store import BusyError, Store
from deploy.embedded.web.guard import guards
from deploy.embedded.web.pages import look

_ENCODINGS: dict[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}
_COME_BACK_SECONDS = 1

log = structlog.get_logger(__name__)


def create_app(settings: TraceSettings) -> Starlette:
    """The application over the database in `settings.data`."""
    store = Store(settings.data / "traces.sqlite3", settings.retention_days)
    endpoints = _Endpoints(store)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        log.info("traces_ready", port=settings.port, retention_days=settings.retention_days)
        yield
        await anyio.to_thread.run_sync(store.close)

    return Starlette(
        routes=[
            Route("/v1/traces", endpoints.intake, methods=["POST"]),
            Route("/api/traces/{trace_id}", endpoints.trace_json),
            Route("/api/traces", endpoints.search),
            Route("/api/services", endpoints.services),
            Route("/api/services/{service:path}/operations", endpoints.operations_of_service),
            Route("/api/operations", endpoints.operations),
            Route("/trace/{trace_id}", endpoints.trace_page),
            Route("/", endpoints.list_page),
            Route("/readyz", endpoints.ready),
            *look(Path(__file__).with_name("static")),
        ],
        middleware=guards(hosts=settings.hosts, body_limit_bytes=BODY_LIMIT_BYTES),
        lifespan=lifespan,
    )


class _Endpoints:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._queries = Queries(store.path)
        self._pages = Pages(self._queries)

    async def intake(self, request: Request) -> Response:
        """OTLP/HTTP: 200 once stored, 503 with Retry-After when swamped, 4xx for what will never be taken."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        encoding = _ENCODINGS.get(kind)
        compression = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding is None or compression not in ("identity", "gzip"):
            return _otlp_error("json", 415, "send protobuf or JSON, plain or gzip")
        try:
            body = await request.body()
            return _otlp_answer(encoding, await self._store.submit(body, encoding, gzipped=compression == "gzip"))
        except RefusedBodyError as error:
            log.warning("traces_refused", status=error.status, reason=str(error))
            return _otlp_error(encoding, error.status, str(error))
        except BusyError:
            return _otlp_error(encoding, 503, "too much waits to be written", {"Retry-After": str(_COME_BACK_SECONDS)})

    async def trace_json(self, request: Request) -> Response:
        """Jaeger: one trace."""
        trace_id = jaeger.parse_trace_id(request.path_params["trace_id"])
        if trace_id is None:
            return JSONResponse(jaeger.failure(400, "a trace id has up to 32 hexadecimal digits"), 400)
        trace = await anyio.to_thread.run_sync(self._queries.trace, trace_id)
        if trace is None:
            return JSONResponse(jaeger.failure(404, "trace not found"), 404)
        return JSONResponse(jaeger.answer([jaeger.trace_json(trace_id, trace)]))

    async def search(self, request: Request) -> Response:
        """Jaeger: traces by service, operation, tags, time and duration; or by `traceID`, as often as given."""
        wanted = [jaeger.parse_trace_id(text) for text in request.query_params.getlist("traceID")[:100]]
        try:
            if wanted:
                found = await anyio.to_thread.run_sync(self._by_id, [i for i in wanted if i is not None])
                return JSONResponse(jaeger.answer(found))
            service, bounds = jaeger.search(request.query_params)
            matches = jaeger.SpanFilter(request.query_params)
        except jaeger.BadParameterError as error:
            return JSONResponse(jaeger.failure(400, str(error)), 400)
        traces = await anyio.to_thread.run_sync(self._queries.matching, service, matches, bounds)
        return JSONResponse(jaeger.answer([jaeger.trace_json(trace_id, trace) for trace_id, trace in traces]))

    def _by_id(self, trace_ids: list[bytes]) -> list[jaeger.Json]:
        found = [(trace_id, self._queries.trace(trace_id)) for trace_id in trace_ids]
        return [jaeger.trace_json(trace_id, trace) for trace_id, trace in found if trace is not None]

    async def services(self, _: Request) -> Response:
        """Jaeger: names of services."""
        names = await anyio.to_thread.run_sync(self._queries.services)
        return JSONResponse(jaeger.answer(names, total=len(names)))

    async def operations_of_service(self, request: Request) -> Response:
        """Jaeger: names of a service's operations."""
        found = await anyio.to_thread.run_sync(self._queries.operations, request.path_params["service"])
        names = sorted({operation for operation, _ in found})
        return JSONResponse(jaeger.answer(names, total=len(names)))

    async def operations(self, request: Request) -> Response:
        """Jaeger: a service's operations with their kinds."""
        service = request.query_params.get("service", "")
        found = await anyio.to_thread.run_sync(self._queries.operations, service)
        kind = request.query_params.get("spanKind")
        shown = [jaeger.operation_json(*pair) for pair in found]
        data = [entry for entry in shown if kind in (None, "", entry["spanKind"])]
        return JSONResponse(jaeger.answer(data, total=len(data)))

    async def trace_page(self, request: Request) -> Response:
        """A trace for people."""
        text = request.path_params["trace_id"]
        html = await anyio.to_thread.run_sync(self._pages.trace, text)
        return HTMLResponse(html) if html is not None else HTMLResponse(self._pages.missing(text), 404)

    async def list_page(self, request: Request) -> Response:
        """The list for people."""
        return HTMLResponse(await anyio.to_thread.run_sync(self._pages.traces, request.query_params))

    async def ready(self, _: Request) -> Response:
        """Whether the database answers."""
        await anyio.to_thread.run_sync(self._queries.services)
        return JSONResponse({"service": "traces", "status": "ready"})


def _otlp_answer(encoding: Encoding, batch: Batch) -> Response:
    response = ExportTraceServiceResponse()
    if batch.rejected:
        response.partial_success.rejected_spans = batch.rejected
        response.partial_success.error_message = "spans with malformed ids or times were left out"
    if encoding == "json":
        partial = {"rejectedSpans": str(batch.rejected), "errorMessage": response.partial_success.error_message}
        return JSONResponse({"partialSuccess": partial} if batch.rejected else {})
    return Response(response.SerializeToString(), media_type="application/x-protobuf")


def _otlp_error(encoding: Encoding, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    if encoding == "json":
        return JSONResponse({"message": message}, status, headers)
    body = Status(message=message).SerializeToString()
    return Response(body, status, headers, media_type="application/x-protobuf")

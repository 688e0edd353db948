"""Spans of the calls to OpenBao: named by what is done, and failed only where something failed."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from chassis.failures import PermanentError
from services.secrets.adapters.openbao import OpenBao, span_name
from tests.spans import recorded_spans


@pytest.mark.parametrize(
    ("method", "path", "named"),
    [
        ("GET", "kv/metadata/env/demo-api/app", "openbao read kv/metadata/env/{name}/app"),
        ("POST", "kv/data/env/demo-api/app", "openbao write kv/data/env/{name}/app"),
        ("DELETE", "sys/policies/acl/env-demo-api", "openbao delete sys/policies/acl/{name}"),
        ("POST", "auth/approle/role/env-demo-api", "openbao write auth/approle/role/{name}"),
        ("POST", "auth/approle/login", "openbao write auth/approle/login"),
        ("POST", "database/roles/env-demo-api", "openbao write database/roles/{name}"),
        ("GET", "identity/group/name/env:demo-api:developer", "openbao read identity/group/name/{name}"),
        (
            "PUT",
            "sys/leases/revoke-prefix/database/creds/env-demo-api",
            "openbao write sys/leases/revoke-prefix/database/creds/{name}",
        ),
        ("GET", "sys/health", "openbao read sys/health"),
    ],
)
def test_a_span_says_what_is_done_and_not_to_whom(method: str, path: str, named: str) -> None:
    assert span_name(method, path) == named


@pytest.fixture
def openbao(tmp_path: Path) -> Iterator[OpenBao]:
    """A client of something that lets it in and has nothing."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            login = self.path.endswith("login")
            body: dict[str, object] = {"auth": {"client_token": "t", "lease_duration": 60}} if login else {"errors": []}
            content = json.dumps(body).encode()
            self.send_response_only(200 if login else 404)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    (tmp_path / "role").write_text("r")
    (tmp_path / "secret").write_text("s")
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield OpenBao(url, role_id_file=tmp_path / "role", secret_id_file=tmp_path / "secret")
    server.shutdown()
    server.server_close()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    return recorded_spans(monkeypatch)


async def test_a_look_up_that_finds_nothing_is_no_failed_span(openbao: OpenBao, spans: InMemorySpanExporter) -> None:
    assert await openbao.read("kv/metadata/env/demo-api/app") is None
    await openbao.delete("sys/policies/acl/env-demo-api")
    told = {span.name: span.status.status_code for span in spans.get_finished_spans()}
    assert told == {
        "openbao write auth/approle/login": StatusCode.UNSET,
        "openbao read kv/metadata/env/{name}/app": StatusCode.UNSET,
        "openbao delete sys/policies/acl/{name}": StatusCode.UNSET,
    }


async def test_a_write_into_nothing_is_a_failed_span(openbao: OpenBao, spans: InMemorySpanExporter) -> None:
    with pytest.raises(PermanentError):
        await openbao.write("kv/data/env/demo-api/app", {"data": {}})
    assert spans.get_finished_spans()[-1].status.status_code is StatusCode.ERROR

"""Whether something on this machine answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.embedded.local_http import answers
from deploy.embedded.ports import free_port


@contextmanager
def says(answer: bytes) -> Iterator[str]:
    """The address of a server that says this to whoever comes first, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/readyz"
        thread.join(10)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok", False),
        (b"220 mail.example SMTP\r\n", False),
        (b"", False),
    ],
    ids=["success", "success without a body", "not ready", "dies in the middle", "no HTTP", "hangs up"],
)
def test_only_a_whole_success_is_an_answer(answer: bytes, expected: bool) -> None:
    with says(answer) as url:
        assert answers(url, timeout_seconds=10) is expected


def test_nobody_there_is_no_answer() -> None:
    assert not answers(f"http://127.0.0.1:{free_port()}/readyz")

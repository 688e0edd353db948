"""Serves one provider object to one Terraform run, on a unix socket, inside this process.

Terraform finds it through TF_REATTACH_PROVIDERS and starts no provider process of its own, which takes nine
tenths off a plan. Invariant: the socket is gone and no deed is under way once `stop` has returned True.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc
from tf.gen import grpc_controller_pb2, grpc_controller_pb2_grpc, grpc_stdio_pb2_grpc, tfplugin_pb2_grpc
from tf.provider import ProviderServicer

from .provider import PROVIDER_SOURCE, SlipwayProvider

_MAX_SOCKET_PATH_BYTES: Final = 107
_WORKERS: Final = 8


class _Controller(grpc_controller_pb2_grpc.GRPCControllerServicer):  # type: ignore[misc] # generated, untyped
    """Terraform asks its plugins to shut down at the end of each command; ours lives as long as the run."""

    def Shutdown(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Nothing: `ProviderServer.stop` decides."""
        return grpc_controller_pb2.Empty()


class _Stdio(grpc_stdio_pb2_grpc.GRPCStdioServicer):  # type: ignore[misc] # generated, untyped
    """Plugins may stream their output to Terraform; ours logs where it runs."""

    def StreamStdio(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802, ARG002 - the protocol's
        """An empty stream."""
        return iter(())


class _Servicer(ProviderServicer):  # type: ignore[misc] # tf has no types
    """The framework's, which would take a request to stop without telling anybody."""

    def StopProvider(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's
        """Terraform was interrupted: deeds end as usual, waits are called off."""
        self.app.stopping.set()
        return super().StopProvider(request, context)


class ProviderServer:
    """A context manager: inside it, Terraform commands started with `environment` reach `provider`."""

    def __init__(self, provider: SlipwayProvider, socket_directory: Path, drain_seconds: float = 30.0) -> None:
        """`socket_directory` is short, private (0700) and ours; `drain_seconds` bounds the wait at the end."""
        check_private(socket_directory)
        self._provider = provider
        self._drain_seconds = drain_seconds
        self._socket = socket_directory / f"p-{os.getpid()}-{secrets.token_hex(4)}.sock"
        if len(os.fsencode(self._socket)) > _MAX_SOCKET_PATH_BYTES:
            raise ValueError(f"the socket's path is longer than 107 bytes: choose a shorter one than {self._socket}")
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="terraform-provider"),
            options=[("grpc.so_reuseport", 0)],
        )
        tfplugin_pb2_grpc.add_ProviderServicer_to_server(_Servicer(provider), self._server)
        grpc_controller_pb2_grpc.add_GRPCControllerServicer_to_server(_Controller(), self._server)
        grpc_stdio_pb2_grpc.add_GRPCStdioServicer_to_server(_Stdio(), self._server)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make Terraform attach to this server."""
        attach = {
            PROVIDER_SOURCE: {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                # False makes Terraform take the process for its own to kill, and panic.
                "Test": True,
                "Addr": {"Network": "unix", "String": str(self._socket)},
            }
        }
        return {"TF_REATTACH_PROVIDERS": json.dumps(attach)}

    def __enter__(self) -> Self:
        """Listen."""
        self._server.add_insecure_port(f"unix:{self._socket}")
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and wait for the deeds under way."""
        if not self.stop() and error is None:
            raise TimeoutError(f"a resource was still being changed after {self._drain_seconds:g} s")

    def stop(self) -> bool:
        """Close the socket, let running deeds end; False when one was still running after `drain_seconds`."""
        self._server.stop(grace=self._drain_seconds).wait()
        drained = self._provider.drain(self._drain_seconds)
        self._socket.unlink(missing_ok=True)
        return drained


def remove_stale_sockets(directory: Path) -> None:
    """Remove the sockets of processes that were killed before they could."""
    for socket in directory.glob("p-*-*.sock"):
        pid = socket.name.split("-")[1]
        if pid.isdigit() and int(pid) != os.getpid() and not Path(f"/proc/{pid}").exists():
            socket.unlink(missing_ok=True)


def check_private(directory: Path) -> None:
    """Make `directory` if it is missing; PermissionError unless it is ours and nobody else's (0700).

    Whoever can reach the socket can have Terraform's deeds done, and /tmp belongs to everybody.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise PermissionError(f"{directory} must be a directory of this user with mode 0700: remove it")

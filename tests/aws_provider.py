"""A stand-in for the AWS provider that knows its schemas only, for machines that cannot get the real one.

It answers what Terraform asks before anything is made: which resources there are, and which arguments they take. What
it knows is an excerpt of the real provider's schema (`data/aws_provider/`), so a misspelt argument, a wrong type or a
missing one is found as the real one would find it. Invariant: it refuses to plan, read and apply anything; plans in
tests come from Terraform's own `mock_provider`, which needs a schema and nothing else.

Where SLIPWAY_TERRAFORM_PLUGIN_DIR names a filesystem mirror that holds the real one, that is used instead.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from tf.gen import grpc_controller_pb2, grpc_controller_pb2_grpc, grpc_stdio_pb2_grpc, tfplugin_pb2_grpc
from tf.gen import tfplugin_pb2 as pb

SOURCE: Final = "hashicorp/aws"
SCHEMA: Final = Path(__file__).with_name("data") / "aws_provider" / "schema.json"
PLUGIN_DIRECTORY: Final = "SLIPWAY_TERRAFORM_PLUGIN_DIR"
_NESTING: Final = {
    "list": pb.Schema.NestedBlock.LIST,
    "set": pb.Schema.NestedBlock.SET,
    "single": pb.Schema.NestedBlock.SINGLE,
}


def real_mirror() -> Path | None:
    """The filesystem mirror with the real provider, where there is one."""
    named = os.environ.get(PLUGIN_DIRECTORY)
    found = Path(named) if named else None
    return found if found is not None and any(found.glob(f"*/{SOURCE}/*")) else None


@contextmanager
def schema_only(directory: Path) -> Iterator[Mapping[str, Any]]:
    """Serve the stand-in on a socket below `directory` (short, private); yields its entry for TF_REATTACH_PROVIDERS."""
    socket = directory / f"aws-{os.getpid()}.sock"
    server = grpc.server(ThreadPoolExecutor(4, thread_name_prefix="aws-schema"), options=[("grpc.so_reuseport", 0)])
    tfplugin_pb2_grpc.add_ProviderServicer_to_server(SchemaOnlyProvider(), server)
    grpc_controller_pb2_grpc.add_GRPCControllerServicer_to_server(_Controller(), server)
    grpc_stdio_pb2_grpc.add_GRPCStdioServicer_to_server(_Stdio(), server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    address = {"Network": "unix", "String": str(socket)}
    try:
        yield {SOURCE: {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": address}}
    finally:
        server.stop(grace=5).wait()
        socket.unlink(missing_ok=True)


class SchemaOnlyProvider(tfplugin_pb2_grpc.ProviderServicer):  # type: ignore[misc] # generated, untyped
    """Plugin protocol 6: schemas and validation; what it does not have, gRPC refuses as unimplemented."""

    def __init__(self) -> None:
        """Read the excerpt."""
        known = json.loads(SCHEMA.read_text(encoding="utf-8"))
        self._answer = pb.GetProviderSchema.Response(
            provider=pb.Schema(version=0, block=_block(known["configuration"])),
            resource_schemas={
                name: pb.Schema(version=0, block=_block(block)) for name, block in known["resources"].items()
            },
        )

    def GetMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """The names of its resources."""
        names = [pb.GetMetadata.ResourceMetadata(type_name=name) for name in self._answer.resource_schemas]
        return pb.GetMetadata.Response(resources=names)

    def GetProviderSchema(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """All of the excerpt."""
        return self._answer

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Terraform itself has held it against the schema."""
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Terraform itself has held it against the schema."""
        return pb.ValidateResourceConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Refused: there is nothing to reach."""
        return pb.ConfigureProvider.Response(diagnostics=[_REFUSED])

    def PlanResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Refused."""
        return pb.PlanResourceChange.Response(diagnostics=[_REFUSED])

    def ApplyResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Refused."""
        return pb.ApplyResourceChange.Response(diagnostics=[_REFUSED])


_REFUSED: Final = pb.Diagnostic(
    severity=pb.Diagnostic.ERROR,
    summary="This stand-in knows schemas only",
    detail=f"Name a mirror with the real provider in {PLUGIN_DIRECTORY}.",
)


class _Controller(grpc_controller_pb2_grpc.GRPCControllerServicer):  # type: ignore[misc] # generated, untyped
    def Shutdown(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        """Nothing: `schema_only` decides."""
        return grpc_controller_pb2.Empty()


class _Stdio(grpc_stdio_pb2_grpc.GRPCStdioServicer):  # type: ignore[misc] # generated, untyped
    def StreamStdio(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802, ARG002 - the protocol's
        """An empty stream."""
        return iter(())


def _block(known: Mapping[str, Any]) -> Any:
    return pb.Schema.Block(
        attributes=[
            pb.Schema.Attribute(
                name=name,
                type=json.dumps(about["type"]).encode(),
                **{flag: True for flag in ("required", "optional", "computed") if about.get(flag)},
            )
            for name, about in known["attributes"].items()
        ],
        block_types=[
            pb.Schema.NestedBlock(
                type_name=name,
                block=_block(about["block"]),
                nesting=_NESTING[about["nesting"]],
                min_items=about.get("min", 0),
                max_items=about.get("max", 0),
            )
            for name, about in known.get("blocks", {}).items()
        ],
    )

"""The provider object: which resources there are, what they may touch, and the trace they belong to.

One object serves one Terraform run. Invariant: its configuration comes from Python, so two runs in one process
can never mix up their credentials, and Terraform never sees any.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from tf.iface import DataSource, Provider, Resource
from tf.schema import Schema
from tf.utils import Diagnostics

from chassis.failures import TransientError

from .access import Access
from .database import DatabaseResource
from .dns_record import DnsRecordResource
from .kubernetes_objects import KubernetesObjectsResource
from .marks import Busy, Refused
from .namespace import NamespaceResource
from .resource import MarkedResource
from .route import RouteResource

#: The address in `required_providers`. The host resolves nowhere and is never asked: the provider is attached.
PROVIDER_SOURCE: Final = "slipway.localhost/platform/slipway"
PROVIDER_VERSION: Final = "1.0.0"
_KINDS: Final = (DatabaseResource, DnsRecordResource, RouteResource, NamespaceResource, KubernetesObjectsResource)


class SlipwayProvider(Provider):  # type: ignore[misc] # tf has no types
    """`slipway`, with its resources."""

    def __init__(
        self,
        access: Access,
        *,
        tracer: trace.Tracer | None = None,
        parent_context: Context | None = None,
    ) -> None:
        """`parent_context` holds the span under which each resource's own is put; None starts traces anew."""
        self.access = access
        self.tracer = tracer or trace.get_tracer(__name__)
        self.parent_context = parent_context
        self.taken: dict[tuple[str, str], str] = {}
        """What was ours and is somebody else's by now: why, by type and identifier."""
        self.stopping = threading.Event()
        """Terraform was told to stop: whatever waits for something outside gives up."""
        self._deeds = 0
        self._changed = threading.Condition()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count a deed: gRPC forgets the call of a client that died, but the handler goes on."""
        with self._changed:
            self._deeds += 1
        try:
            yield
        finally:
            with self._changed:
                self._deeds -= 1
                self._changed.notify_all()

    def drain(self, timeout_seconds: float) -> bool:
        """Wait until no deed is under way; False when the time ran out first."""
        with self._changed:
            return self._changed.wait_for(lambda: self._deeds == 0, timeout_seconds)

    def find(self, type_name: str, values: dict[str, Any]) -> str | None:
        """The identifier of a thing that carries the mark in `values`; None when there is none, or another's.

        For what no state knows: a run that was killed between a deed and its record leaves such a thing. Raises
        TransientError when it cannot be looked at.
        """
        resource = self._resource(type_name)
        if resource is None:
            return None
        with self._directly(type_name):
            try:
                found = resource.look(resource.mark_of(values), values)
            except Refused:
                return None
            return None if found is None else resource.identify(values)

    def identify(self, type_name: str, values: dict[str, Any]) -> str | None:
        """What a thing with these attributes will be called where it lives; None where that cannot be known yet."""
        resource = self._resource(type_name)
        if resource is None:
            return None
        try:
            return resource.identify(values)
        except (KeyError, ValueError):
            return None

    def remove(self, type_name: str, values: dict[str, Any]) -> None:
        """Remove what carries the mark in `values`; what carries another's stays. Raises as `find`."""
        resource = self._resource(type_name)
        if resource is None:
            return
        with self._directly(type_name):
            try:
                resource.remove(resource.mark_of(values), values)
            except Refused:
                return

    def _resource(self, type_name: str) -> MarkedResource | None:
        for kind in _KINDS:
            if self.get_model_prefix() + kind.get_name() == type_name:
                return kind(self)
        return None

    @contextmanager
    def _directly(self, type_name: str) -> Iterator[None]:
        """A deed that nobody asked for over gRPC: counted like the others, its failure worth another try."""
        with self.under_way():
            try:
                yield
            except (Busy, OSError, ValueError) as failure:
                raise TransientError(f"{type_name} could not be looked after: {failure}") from failure

    def get_model_prefix(self) -> str:
        """Every type begins with it."""
        return "slipway_"

    def full_name(self) -> str:
        """The provider's source address."""
        return PROVIDER_SOURCE

    def get_provider_schema(self, diags: Diagnostics) -> Schema:  # noqa: ARG002 - the framework's
        """Nothing to configure: see the invariant above."""
        return Schema(version=1)

    def validate_config(self, diags: Diagnostics, config: dict[str, Any]) -> None:
        """Nothing to configure."""

    def configure_provider(self, diags: Diagnostics, config: dict[str, Any]) -> None:
        """Nothing to configure."""

    def get_data_sources(self) -> list[type[DataSource]]:
        """None: what a module needs is given to it as a variable."""
        return []

    def get_resources(self) -> list[type[Resource]]:
        """Every kind."""
        return list(_KINDS)

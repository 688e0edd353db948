"""The twin of whoever gives logins of namespaces, for tests and rehearsals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from pydantic import SecretStr

from chassis.clock import Clock
from chassis.failures import TransientError
from services.gateway.domain.kubeconfigs import ClusterLogin, NoClusterError
from services.gateway.ports import EnvironmentGoneError


@dataclass
class MemoryClusters:
    """Twin of `ports.Clusters`. `claims`: what the secret store says is alive; None where it knows everything."""

    clock: Clock
    exists: bool = True
    away: bool = False
    claims: Mapping[str, UUID] | None = None
    given: list[tuple[str, str]] = field(default_factory=list)
    """Namespace and person of every login."""

    async def login(self, environment: str, incarnation: UUID, namespace: str, person: str) -> ClusterLogin:
        """See the port."""
        if self.away:
            raise TransientError("nobody answers")
        if not self.exists:
            raise NoClusterError("Environments of this platform are in no Kubernetes cluster.")
        if self.claims is not None and self.claims.get(environment) != incarnation:
            raise EnvironmentGoneError
        self.given.append((namespace, person))
        return ClusterLogin(
            server="https://cluster.test",
            certificate_authority="-----BEGIN CERTIFICATE-----\n",
            namespace=namespace,
            token=SecretStr(f"token-of-{namespace}-{len(self.given)}"),
            expires_at=self.clock.now() + timedelta(hours=1),
        )

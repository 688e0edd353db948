"""Logins of namespaces, for the developers of an environment.

Invariant: a login is made only while the name is claimed by the very incarnation that it is asked for, and every one of
them leaves a line in the log that says for whom.
"""

from dataclasses import dataclass

import structlog

from contracts.clusters import NamespaceAccess, RequestNamespaceAccess
from services.secrets.domain import Names
from services.secrets.ports import Clusters, Vault

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Doorkeeper:
    """Answers who asks for a login. `clusters` is None on a platform without a cluster."""

    vault: Vault
    clusters: Clusters | None

    async def namespace_access(self, question: RequestNamespaceAccess) -> NamespaceAccess:
        """A login of the environment's namespace, wrapped."""
        if self.clusters is None:
            return NamespaceAccess(refused="no_cluster")
        claim = await self.vault.claim_of(Names(question.environment))
        if claim is None or claim.incarnation != question.incarnation:
            return NamespaceAccess(refused="environment_gone")
        login = await self.clusters.login(question.namespace)
        _log.info(
            "a login of a namespace was made",
            environment=question.environment,
            incarnation=str(question.incarnation),
            namespace=question.namespace,
            person=question.person,
        )
        return NamespaceAccess(login=login)

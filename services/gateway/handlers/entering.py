"""Letting people into the namespace of an environment, with kubectl.

Invariants
- Whoever gets a login is a developer in that very environment at this moment; to others it does not exist, or they are
  told who may let them in.
- Every login leaves a line in the log: who, with which token, where to and until when; never the login itself.
"""

from dataclasses import dataclass

import structlog

from services.gateway.domain.kubeconfigs import ClusterLogin
from services.gateway.domain.obstacles import standing_of
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import NO_SUCH_ENVIRONMENT, NothingThereError, UnknownThingError
from services.gateway.handlers.wishing import Wishing
from services.gateway.ports import Clusters, EnvironmentGoneError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Entering:
    """Gives out logins that open one namespace for an hour at most."""

    wishing: Wishing
    clusters: Clusters

    async def namespace(self, principal: Principal, name: str) -> ClusterLogin:
        """A login of the environment's namespace. Raises `ForbiddenError`, `UnknownThingError`, `NothingThereError`
        where it has none yet, and `NoClusterError` where the platform has no cluster."""
        principal.require("developer")
        view = await self.wishing.living(principal, name)
        if view.infrastructure is None:
            raise NothingThereError(
                "The environment has no namespace: it is being made, or could not be. Ask again when it is ready.",
                standing_of(view),
            )
        try:
            login = await self.clusters.login(
                view.name, view.incarnation, view.infrastructure.namespace, principal.person
            )
        except EnvironmentGoneError:
            raise UnknownThingError(NO_SUCH_ENVIRONMENT) from None
        _log.info(
            "somebody was let into a namespace",
            person=principal.person,
            token_id=principal.token_id,
            environment=view.name,
            incarnation=str(view.incarnation),
            namespace=login.namespace,
            expires_at=login.expires_at.isoformat(),
        )
        return login

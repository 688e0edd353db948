"""`/environments/{name}/kubeconfig`: a file for kubectl, for whoever is a developer in the environment."""

from typing import Any, Final

from pydantic import BaseModel, Field

from contracts.envelope import Timestamp
from services.gateway.api.answers import API
from services.gateway.api.auth import DEVELOPER
from services.gateway.api.context import Deeds
from services.gateway.api.environments import Name
from services.gateway.api.routing import Asker, Endpoint
from services.gateway.domain.kubeconfigs import kubeconfig


class KubeconfigAnswer(BaseModel):
    """A login of an environment's namespace."""

    environment: str
    namespace: str
    token: str = Field(description="Opens this namespace alone, until `expires_at`; it cannot be renewed")
    expires_at: Timestamp
    kubeconfig: dict[str, Any] = Field(description="The same as a file for kubectl (`v1.Config`)")


async def make_kubeconfig(name: Name, asker: Asker, gateway: Deeds) -> KubeconfigAnswer:
    """Make a login of the environment's namespace, for an hour at most. Each call makes another one."""
    login = await gateway.entering.namespace(asker, name)
    return KubeconfigAnswer(
        environment=name,
        namespace=login.namespace,
        token=login.token.get_secret_value(),
        expires_at=login.expires_at,
        kubeconfig=kubeconfig(name, login),
    )


ENDPOINTS: Final = (
    Endpoint(
        "POST",
        f"{API}/environments/{{name}}/kubeconfig",
        make_kubeconfig,
        DEVELOPER,
        200,
        KubeconfigAnswer,
        "access",
    ),
)

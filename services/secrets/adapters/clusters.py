"""The port `Clusters` by OpenBao's Kubernetes secrets engine, which holds the credential of the cluster; we never do.

The engine's role names one service account, `developer`, and takes only namespaces that carry the label of an
environment. Our own policy lets us ask for nothing but wrapped answers.
"""

from typing import Final

from contracts.clusters import WrappedLogin
from services.secrets.adapters.openbao import OpenBao

WRAPPED_SECONDS: Final = 60
"""How long a login waits for whoever may open it."""


class OpenBaoClusters:
    """Logins of one cluster."""

    def __init__(
        self,
        openbao: OpenBao,
        *,
        server: str,
        certificate_authority: str,
        path: str,
        audience: str,
        token_seconds: int,
    ) -> None:
        """`path` is `<mount>/creds/<role>`; an empty `audience` leaves it to the API server."""
        self._openbao = openbao
        self._server = server
        self._certificate_authority = certificate_authority
        self._path = path
        self._body = {"ttl": f"{token_seconds}s"} | ({"audiences": audience} if audience else {})

    async def login(self, namespace: str) -> WrappedLogin:
        """See the port."""
        body = self._body | {"kubernetes_namespace": namespace}
        wrapping_token = await self._openbao.write_wrapped(self._path, body, seconds=WRAPPED_SECONDS)
        return WrappedLogin(
            server=self._server, certificate_authority=self._certificate_authority, wrapping_token=wrapping_token
        )

"""Logins of namespaces: asked of the secrets service over the bus, and opened at OpenBao.

Invariants: what comes over the bus is a token that opens the login once (response wrapping); a login that somebody else
has opened first is missed, told to the operators, and never replaced in silence; no token is in an error, a log line or
a span.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import structlog
from opentelemetry.trace import SpanKind
from pydantic import SecretStr

from chassis import questions, tracing
from chassis.bus import Bus
from chassis.clock import Clock
from chassis.failures import TransientError
from contracts.clusters import DEVELOPERS_ACCOUNT, NamespaceAccess, RequestNamespaceAccess, WrappedLogin
from services.gateway.domain.kubeconfigs import ClusterLogin, NoClusterError
from services.gateway.ports import EnvironmentGoneError

_log = structlog.get_logger(__name__)

_TIMEOUT: Final = httpx.Timeout(10, connect=3)
_ASK_SECONDS: Final = 20.0
"""OpenBao asks the cluster before it answers."""
NO_CLUSTER: Final = (
    "Environments of this platform are in no Kubernetes cluster, so there is nothing that kubectl could reach. See what"
    " runs with `slipway logs`; OpenBao opens the environment's secret and its database."
)


class BusClusters:
    """Fulfils `ports.Clusters`."""

    def __init__(self, bus: Bus, openbao_url: str, clock: Clock, ca_file: Path | None = None) -> None:
        """`ca_file` holds the certificates to trust where OpenBao has a private authority."""
        self._bus = bus
        self._url = openbao_url
        self._clock = clock
        self._verify: str | bool = str(ca_file) if ca_file is not None else openbao_url.startswith("https://")

    async def login(self, environment: str, incarnation: UUID, namespace: str, person: str) -> ClusterLogin:
        """See the port."""
        question = RequestNamespaceAccess(
            environment=environment, incarnation=incarnation, namespace=namespace, person=person
        )
        answer = await questions.ask(self._bus, question, NamespaceAccess, timeout_seconds=_ASK_SECONDS)
        if answer.refused == "environment_gone":
            raise EnvironmentGoneError
        if answer.login is None:
            raise NoClusterError(NO_CLUSTER)
        return await self.open(answer.login, namespace)

    async def open(self, wrapped: WrappedLogin, namespace: str) -> ClusterLogin:
        """The login of `namespace`. Raises `TransientError` where it cannot be had with this wrapping token."""
        asked_at = self._clock.now()
        found = await self._unwrap(SecretStr(wrapped.wrapping_token))
        data = found.get("data") or {}
        opens = (data.get("service_account_namespace"), data.get("service_account_name"))
        if opens != (namespace, DEVELOPERS_ACCOUNT):
            _log.error("a login of another namespace was answered", asked=namespace, answered=opens[0])
            raise TransientError("the login that was answered is another one")
        return ClusterLogin(
            server=wrapped.server,
            certificate_authority=wrapped.certificate_authority,
            namespace=namespace,
            token=SecretStr(str(data["service_account_token"])),
            expires_at=asked_at + timedelta(seconds=int(found["lease_duration"])),
        )

    async def _unwrap(self, wrapping_token: SecretStr) -> dict[str, Any]:
        with tracing.span("openbao unwrap", kind=SpanKind.CLIENT, attributes={"http.request.method": "POST"}):
            try:
                # A neighbour: neither proxies nor ~/.netrc.
                async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False, verify=self._verify) as client:
                    answer = await client.post(
                        f"{self._url}/v1/sys/wrapping/unwrap",
                        headers={"X-Vault-Token": wrapping_token.get_secret_value()},
                    )
            except httpx.HTTPError as error:
                raise TransientError(f"OpenBao does not answer ({type(error).__name__})") from None
        if answer.is_success:
            return dict(answer.json())
        if answer.is_client_error:
            # It opens once. Whoever listens on the bus could have been faster, and that must not go unseen.
            _log.error("a wrapped login was opened by somebody else, or too late", status=answer.status_code)
        raise TransientError(f"OpenBao did not open the login ({answer.status_code})")

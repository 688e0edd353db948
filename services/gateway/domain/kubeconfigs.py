"""A login of an environment's namespace, and the file in which kubectl finds it. Pure.

Invariant: the token is a `SecretStr` until the file, or the answer, is written for the person it belongs to.
"""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from services.gateway.domain.refusals import RefusalError


class NoClusterError(RefusalError):
    """Environments of this platform are in no Kubernetes cluster."""

    code = "no_cluster"


@dataclass(frozen=True)
class ClusterLogin:
    """A token for one namespace. `certificate_authority` (PEM) is empty where everybody trusts the server's."""

    server: str
    certificate_authority: str
    namespace: str
    token: SecretStr
    expires_at: datetime


def kubeconfig(environment: str, login: ClusterLogin) -> dict[str, Any]:
    """The file, in the format of `v1.Config`, with the namespace as the default one.

    https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
    """
    context = f"slipway-{environment}"
    cluster: dict[str, str] = {"server": login.server}
    if login.certificate_authority:
        cluster["certificate-authority-data"] = base64.b64encode(login.certificate_authority.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "slipway", "cluster": cluster}],
        "users": [{"name": context, "user": {"token": login.token.get_secret_value()}}],
        "contexts": [
            {"name": context, "context": {"cluster": "slipway", "user": context, "namespace": login.namespace}}
        ],
        "current-context": context,
    }

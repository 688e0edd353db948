"""What the provider may touch on this machine, and with which credentials.

Built once by the composition root (or by `__main__`) and handed to each provider object.
Secrets are read from files when they are needed to build these, and wrapped so that they never print.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from chassis.settings import read_secret
from services.provisioner.settings import AccessSettings

from .caddy import CaddyAdmin
from .kubernetes_cluster import ClusterAccess

_BIND_KEY: Final = re.compile(
    r'key\s+"?(?P<name>[^"\s{]+)"?\s*\{\s*algorithm\s+"?(?P<algorithm>[\w.-]+)"?\s*;\s*'
    r'secret\s+"(?P<secret>[A-Za-z0-9+/=]+)"\s*;\s*\}\s*;?',
)
_PLAIN_KEY: Final = re.compile(r"(?P<name>[^\s:]+):(?P<algorithm>[^\s:]+):(?P<secret>[^\s:]+)")


@dataclass(frozen=True, slots=True)
class PostgresAccess:
    """The database server where environments get their schemas.

    `user` needs CREATEROLE and CREATE on `database`; `leases_role` is the role under which OpenBao makes
    short-lived logins.
    """

    host: str
    port: int
    database: str
    user: str
    password: SecretStr
    leases_role: str


@dataclass(frozen=True, slots=True)
class DnsAccess:
    """A server that takes RFC 2136 updates for `zone`, signed with TSIG (RFC 8945)."""

    host: str
    port: int
    zone: str
    key_name: str
    key_algorithm: str
    key_secret: SecretStr


@dataclass(frozen=True, slots=True)
class Access:
    """Everything the resources reach; None means that this machine does not offer it."""

    postgres: PostgresAccess | None = None
    dns: DnsAccess | None = None
    ingress: CaddyAdmin | None = None
    runtime: Path | None = None
    kubernetes: ClusterAccess | None = None


def read_tsig_key(path: Path) -> tuple[str, str, SecretStr]:
    """Name, algorithm and base64 secret from a key file.

    Takes what `tsig-keygen` writes (`key "name" { algorithm ...; secret "..."; };`) or `name:algorithm:base64`.

    Raises:
        ValueError: neither of these; the message names the file and never shows its content.
    """
    text = path.read_text(encoding="ascii").strip()
    found = _BIND_KEY.fullmatch(text) or _PLAIN_KEY.fullmatch(text)
    if found is None:
        raise ValueError(f"{path} is not a TSIG key file: write it with `tsig-keygen`")
    try:
        base64.b64decode(found["secret"], validate=True)
    except binascii.Error:
        # From None: the cause would carry the secret's text into a traceback.
        raise ValueError(f"{path} holds no base64 TSIG secret: write it with `tsig-keygen`") from None
    return found["name"], found["algorithm"], SecretStr(found["secret"])


def access_from(settings: AccessSettings) -> Access:
    """The access that the settings describe. Raises OSError or ValueError for a secret that cannot be read."""
    postgres = dns = ingress = None
    if settings.postgres_password_file:
        postgres = PostgresAccess(
            host=settings.postgres_host,
            port=settings.postgres_port,
            database=settings.postgres_database,
            user=settings.postgres_user,
            password=read_secret(settings.postgres_password_file),
            leases_role=settings.leases_role,
        )
    if settings.dns_key_file:
        key_name, algorithm, secret = read_tsig_key(settings.dns_key_file)
        dns = DnsAccess(
            host=settings.dns_host,
            port=settings.dns_port,
            zone=settings.dns_zone,
            key_name=key_name,
            key_algorithm=algorithm,
            key_secret=secret,
        )
    if settings.caddy_socket:
        ingress = CaddyAdmin(settings.caddy_socket, server=settings.caddy_server)
    kubernetes = None
    if settings.kubernetes_kubeconfig or settings.kubernetes_in_cluster:
        kubernetes = ClusterAccess(settings.kubernetes_kubeconfig, settings.kubernetes_context)
    return Access(
        postgres=postgres,
        dns=dns,
        ingress=ingress,
        runtime=settings.runtime_directory,
        kubernetes=kubernetes,
    )

"""What a new platform in a cluster needs and nobody has yet: its keys, and what puts them into OpenBao and Postgres.

Invariant: a key is in the files of exactly those parts that may know it. What others give out (GitHub's tokens,
Slack's, the OpenID client's secret) is not made here; OUTSIDE says what that is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from deploy.embedded import nats, openbao_policies, postgres
from deploy.embedded.home import write_file
from deploy.embedded.keys import new_hex_key, new_secret, new_user_seed, public_user_key
from services.gateway.domain.tokens import mint

SERVICES: Final = ("gateway", "catalog", "provisioner", "secrets", "cicd", "notifier")
PARTS: Final = (*SERVICES, "deploy", "nats")
"""What has a service account, a role in OpenBao and a secret there, each of the same name."""
OUTSIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "gateway": ("oidc-client.secret",),
    "provisioner": ("github.token",),
    "cicd": ("github.token", "github-app.pem"),
    "notifier": ("slack.token",),
}
"""What a part may have besides, from elsewhere."""
_MOUNT: Final = "kv"
_PATH: Final = "slipway"
_SERVERS: Final = 3
_ROUTE_PORT: Final = 6222
_SCRAM_ROUNDS: Final = 4096


def make(directory: Path, namespace: str) -> list[Path]:
    """Everything, in a new directory that is ours alone. Answers what there is. Raises FileExistsError."""
    directory.mkdir(mode=0o700, parents=True)
    seeds = {user: new_user_seed() for user in (*nats.USERS, nats.SYSTEM_USER)}
    passwords = {schema: new_secret() for schema in postgres.SERVICE_SCHEMAS}
    login = {"role_id": new_secret(), "secret_id": new_secret()}
    files = {
        "values.yaml": yaml.safe_dump({"nats": {"nkeys": {user: public_user_key(seeds[user]) for user in seeds}}}),
        "client.nk": seeds["client"],
        "database.sql": _database(passwords),
        "openbao.sh": _script(namespace),
        "openbao/role-id.json": json.dumps({"role_id": login["role_id"]}),
        "openbao/secret-id.json": json.dumps({"secret_id": login["secret_id"]}),
        f"openbao/{openbao_policies.SECRETS_POLICY}.hcl": (
            openbao_policies.policies()[openbao_policies.SECRETS_POLICY] + "\n"
        ),
    }
    for part, known in _known(seeds, passwords, login).items():
        files[f"openbao/{part}.json"] = json.dumps(known, indent=2) + "\n"
        files[f"openbao/read-{part}.hcl"] = f'path "{_MOUNT}/data/{_PATH}/{part}" {{ capabilities = ["read"] }}\n'
    for name, text in files.items():
        write_file(directory / name, text, mode=0o600)
    return sorted(directory / name for name in files)


def _known(
    seeds: Mapping[str, str], passwords: Mapping[str, str], login: Mapping[str, str]
) -> Mapping[str, dict[str, str]]:
    """What each part may know, by the names of its files."""
    event_key, webhooks_key = new_hex_key(), new_hex_key()
    known: dict[str, dict[str, str]] = {part: {} for part in PARTS}
    for service in SERVICES:
        known[service] = {"nats.nk": seeds[service], "event-id.key": event_key}
    for service in postgres.SERVICE_SCHEMAS:
        known[service]["postgres.password"] = passwords[service]
    for service in ("gateway", "notifier"):
        known[service]["webhooks.key"] = webhooks_key
    known["gateway"] |= {"admin.token": mint()[1].get_secret_value(), "github-webhook.secret": new_secret()}
    known["secrets"] |= {"openbao.role-id": login["role_id"], "openbao.secret-id": login["secret_id"]}
    known["deploy"] = {"nats-deploy.nk": seeds["deploy"], "nats-sys.nk": seeds[nats.SYSTEM_USER]}
    known["nats"] = {"cluster.conf": cluster(new_secret())}
    return known


def cluster(password: str) -> str:
    """What the bus's three servers tell each other, as a part of nats-server's configuration."""
    hosts = [f"slipway-nats-{number}.slipway-nats-cluster:{_ROUTE_PORT}" for number in range(_SERVERS)]
    routes = [f"nats-route://route:{password}@{host}" for host in hosts]
    return f'authorization {{ user: route, password: "{password}", timeout: 5 }}\nroutes: {json.dumps(routes)}\n'


def _script(namespace: str) -> str:
    role = f"auth/approle/role/{openbao_policies.SECRETS_ROLE}"
    lines = [
        "#!/bin/sh",
        "# Puts the keys beside it into OpenBao, as whom BAO_ADDR and BAO_TOKEN name. Run again it replaces them.",
        "set -eu",
        'cd "$(dirname "$0")/openbao"',
    ]
    for part in PARTS:
        lines += [
            f"bao policy write slipway-read-{part} read-{part}.hcl",
            f"bao kv put -mount={_MOUNT} {_PATH}/{part} @{part}.json",
            _role(part, namespace),
        ]
    lines += [
        f"bao policy write {openbao_policies.SECRETS_POLICY} {openbao_policies.SECRETS_POLICY}.hcl",
        f"bao write {role} token_policies={openbao_policies.SECRETS_POLICY} token_ttl=20m token_max_ttl=24h",
        f"bao write {role}/role-id @role-id.json",
        f"bao write {role}/custom-secret-id @secret-id.json",
    ]
    return "\n".join(lines) + "\n"


def _role(part: str, namespace: str) -> str:
    """The command that lets the pods of a part log in."""
    return (
        f"bao write auth/kubernetes/role/slipway-{part} bound_service_account_names=slipway-{part}"
        f" bound_service_account_namespaces={namespace} token_policies=slipway-read-{part} token_ttl=10m"
    )


def _database(passwords: Mapping[str, str]) -> str:
    """SQL for whoever may make roles, to be run once in the database `slipway`. It has verifiers and no password."""
    database = postgres.SERVICES_DATABASE
    lines = [
        f"REVOKE ALL ON DATABASE {database} FROM PUBLIC;",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
    ]
    for schema, password in passwords.items():
        role = f"slipway_{schema}"
        lines += [
            f"CREATE ROLE {role} LOGIN PASSWORD '{scram_verifier(password)}';",
            # A managed server has no superuser, and who makes a schema for another has to be a member.
            f"GRANT {role} TO CURRENT_USER;",
            f"GRANT CONNECT ON DATABASE {database} TO {role};",
            f"CREATE SCHEMA {schema} AUTHORIZATION {role};",
            f"ALTER ROLE {role} IN DATABASE {database} SET search_path = {schema};",
        ]
    return "\n".join(lines) + "\n"


def scram_verifier(password: str) -> str:
    """What Postgres keeps of an ASCII password (RFC 5803), so that no statement has the password itself."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${_SCRAM_ROUNDS}:{encoded[0]}${encoded[1]}:{encoded[2]}"

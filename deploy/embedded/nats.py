"""The message bus: nats-server's configuration, with one user a credential and the topology's permissions.

Invariants: JetStream syncs every message to disk before it acknowledges (`sync_interval: always`); readers are in an
account of their own, which imports what a reader needs and nothing else. A permission alone would not confine them:
the server sends what they ask for to whatever subject they name for the reply, and as itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from contracts import readers as feeds
from contracts.topology import Permissions, User, permissions
from deploy.embedded.keys import Keys, new_user_seed, public_user_key
from deploy.embedded.ports import HOST

ACCOUNT = "SLIPWAY"
READERS_ACCOUNT = "READERS"
SYSTEM_USER = "sys"
USERS: tuple[User, ...] = tuple(name for part in get_args(User) for name in get_args(part))
_MAX_PAYLOAD_BYTES = 1 << 20
_MAX_MEMORY_BYTES = 64 << 20
_ROUTE_USER = "route"


@dataclass(frozen=True)
class Member:
    """One server of a cluster, and where it meets the others."""

    name: str
    route_port: int
    others: tuple[int, ...]
    """The route ports of the other servers, on the same host."""


def seed_file(keys: Keys, user: str) -> Path:
    """The nkey seed of `user`, made now if it does not exist."""
    return keys.ensure(f"nats-{user}.nk", new_user_seed)


def reader_seed_file(keys: Keys, reader: str) -> Path:
    """The nkey seed of a reader, made now if it does not exist."""
    return seed_file(keys, f"reader-{reader}")


def forget_reader(keys: Keys, reader: str) -> None:
    """Throw a reader's seed away, so that whoever has the name next gets another one."""
    keys.path(f"nats-reader-{reader}.nk").unlink(missing_ok=True)


def topology_users() -> dict[str, Permissions]:
    """Every user of the platform with exactly what the topology lets it do."""
    return {user: permissions(user) for user in USERS}


def configuration(
    keys: Keys,
    users: Mapping[str, Permissions],
    *,
    port: int,
    monitor_port: int,
    store: Path,
    readers: Iterable[feeds.Reader] = (),
    host: str = HOST,
    member: Member | None = None,
) -> str:
    """nats-server's configuration (JSON, which its own format contains): of one that stands alone, or of a `member` of
    a cluster, whose file then holds the cluster's password."""
    settings: dict[str, Any] = {
        "server_name": member.name if member else "slipway",
        "listen": f"{host}:{port}",
        "http": f"{host}:{monitor_port}",
        "max_payload": _MAX_PAYLOAD_BYTES,
        "jetstream": {
            "store_dir": str(store),
            "max_memory_store": _MAX_MEMORY_BYTES,
            "sync_interval": "always",
            "strict": True,
        },
        "accounts": {
            ACCOUNT: {
                "jetstream": "enabled",
                "users": [_user(seed_file(keys, name), users[name]) for name in users],
                "exports": [
                    {"service": f"{feeds.NEXT}.*", "response_type": "stream", "accounts": [READERS_ACCOUNT]},
                    {"service": f"{feeds.ACK}.>", "accounts": [READERS_ACCOUNT]},
                ],
            },
            # There from the start, with or without readers: the server takes up new users when it reads its
            # configuration again, but not the imports of a new account.
            READERS_ACCOUNT: {
                "imports": [
                    {"service": {"account": ACCOUNT, "subject": subject}}
                    for subject in (f"{feeds.NEXT}.*", f"{feeds.ACK}.>")
                ],
                "users": [_user(reader_seed_file(keys, one.name), feeds.permissions_of(one.name)) for one in readers],
            },
            "SYS": {"users": [{"nkey": public_user_key(seed_file(keys, SYSTEM_USER).read_text().strip())}]},
        },
        "system_account": "SYS",
    }
    if member:
        settings["cluster"] = _cluster(keys, member, host)
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"


def _cluster(keys: Keys, member: Member, host: str) -> dict[str, Any]:
    password = keys.value("nats-routes.password")
    return {
        "name": "slipway",
        "listen": f"{host}:{member.route_port}",
        "authorization": {"user": _ROUTE_USER, "password": password, "timeout": 5},
        "routes": [f"nats-route://{_ROUTE_USER}:{password}@{host}:{port}" for port in member.others],
    }


def _user(seed: Path, allowed: Permissions) -> dict[str, Any]:
    return {
        "nkey": public_user_key(seed.read_text().strip()),
        "permissions": {
            "publish": _subjects(allowed.publish),
            "subscribe": _subjects(allowed.subscribe),
            "allow_responses": allowed.allow_responses,
        },
    }


def _subjects(allowed: tuple[str, ...]) -> dict[str, list[str]]:
    # An empty list of allowed subjects means "everything" to nats-server.
    return {"allow": list(allowed)} if allowed else {"deny": [">"]}

"""People in OpenBao, and OpenBao as the OpenID provider that vouches for them: what every `up` makes so again.

Invariants
- All of it is adopt-or-create, so a home of an earlier version gets what a new one has; what a person or the admin
  changed of people (a password, a team, somebody who left) stays as it is, because people are made once.
- It is done as the person `admin`, with a token that is ended when it is done: no further credential lies around, and
  whoever reads `keys/` could do as much before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deploy.embedded.errors import PlatformError
from deploy.embedded.home import write_file
from deploy.embedded.keys import Keys, new_password
from deploy.embedded.local_http import HttpError, request_json
from deploy.embedded.openbao_policies import OPERATOR_POLICY, policies

PROVIDER = "slipway"
PROVIDER_PATH = f"/v1/identity/oidc/provider/{PROVIDER}"
"""What follows the base address in the issuer's name; OpenBao gives no choice."""
AUTHORIZE_PATH = f"/ui/vault/identity/oidc/provider/{PROVIDER}/authorize"
"""Where OpenBao says that its own user interface is; our page is there."""
CALLBACK_PATH = "/sign-in/callback"
TEAM_PREFIX = "team:"
ADMINS_GROUP = "slipway-admins"
_CLIENT = "slipway-gateway"
_KEY = "slipway"
_SHORT = "5m"
"""The gateway reads a token once, within seconds."""


@dataclass(frozen=True)
class Person:
    """Somebody who can sign in from the first start on."""

    name: str
    groups: tuple[str, ...]
    does: str
    """In the words of the file that lists them."""


PEOPLE = (
    Person("ann", ("team:payments",), "developer of the team payments"),
    Person("bob", ("team:search",), "developer of the team search"),
    Person("cleo", ("team:platform", ADMINS_GROUP), "admin, of the team platform"),
)


@dataclass(frozen=True)
class Addresses:
    """Where people meet the provider, and where they come back to."""

    sign_in_url: str
    portal_url: str

    @property
    def issuer(self) -> str:
        """The provider's name, as its tokens have it."""
        return self.sign_in_url + PROVIDER_PATH


@dataclass(frozen=True)
class Operator:
    """OpenBao's API with the admin's token."""

    url: str
    token: str

    def write(self, path: str, /, **fields: Any) -> Mapping[str, Any]:
        """Create or update; answers what comes back."""
        return request_json("POST", f"{self.url}/v1/{_quoted(path)}", fields, headers=self._headers) or {}

    def read(self, path: str) -> Mapping[str, Any] | None:
        """What there is; None for nothing."""
        try:
            answer = request_json("GET", f"{self.url}/v1/{_quoted(path)}", headers=self._headers)
        except HttpError as error:
            if error.status == 404:
                return None
            raise
        found: Mapping[str, Any] = answer["data"]
        return found

    @property
    def _headers(self) -> dict[str, str]:
        return {"X-Vault-Token": self.token}


def _quoted(path: str) -> str:
    return quote(path, safe="/:")


@contextmanager
def operator(url: str, user: str, password: str) -> Iterator[Operator]:
    """The admin's session, which ends with the block. Raises PlatformError where the password is not taken."""
    try:
        answer = request_json("POST", f"{url}/v1/auth/userpass/login/{user}", {"password": password})
    except HttpError as error:
        raise PlatformError(
            f"OpenBao does not take the password of its person {user} ({error})",
            remedy="write the one it has now into keys/bao-admin.password; after five wrong tries wait 15 minutes",
        ) from error
    session = Operator(url, answer["auth"]["client_token"])
    try:
        yield session
    finally:
        session.write("auth/token/revoke-self")


def write_policies(bao: Operator) -> None:
    """Every policy as this version has it; the operator's first, because it permits the rest."""
    documents = policies()
    for name in (OPERATOR_POLICY, *(other for other in documents if other != OPERATOR_POLICY)):
        bao.write(f"sys/policies/acl/{name}", policy=documents[name])


def provide_identity(bao: Operator, keys: Keys, addresses: Addresses) -> None:
    """The OpenID provider, the gateway as its client, and the first people."""
    # Five wrong passwords, and a name is locked for a quarter of an hour, whoever tries and whichever way.
    lockout = {
        "lockout_threshold": "5",
        "lockout_duration": "15m",
        "lockout_counter_reset_duration": "15m",
        "lockout_disable": False,
    }
    bao.write("sys/auth/userpass/tune", user_lockout_config=lockout)
    accessor = _accessor(bao)
    _provider(bao, keys, addresses, accessor)
    if bao.read(f"identity/group/name/{ADMINS_GROUP}") is None:
        _people(bao, keys, addresses, accessor)


def _accessor(bao: Operator) -> str:
    mounts = bao.read("sys/auth")
    if mounts is None or "userpass/" not in mounts:
        raise PlatformError(
            "OpenBao has no logins for people (the auth mount userpass)", remedy="enable it: bao auth enable userpass"
        )
    accessor: str = mounts["userpass/"]["accessor"]
    return accessor


def _provider(bao: Operator, keys: Keys, addresses: Addresses, accessor: str) -> None:
    bao.write(
        f"identity/oidc/key/{_KEY}",
        algorithm="RS256",
        rotation_period="24h",
        verification_ttl="24h",
        allowed_client_ids=["*"],
    )
    bao.write(
        f"identity/oidc/client/{_CLIENT}",
        key=_KEY,
        client_type="confidential",
        redirect_uris=[addresses.portal_url + CALLBACK_PATH],
        assignments=["allow_all"],
        id_token_ttl=_SHORT,
        access_token_ttl=_SHORT,
    )
    client = bao.read(f"identity/oidc/client/{_CLIENT}")
    if client is None:
        raise PlatformError("OpenBao has lost the client it just made", remedy="python -m deploy.embedded logs openbao")
    write_file(client_id_file(keys), client["client_id"])
    write_file(client_secret_file(keys), client["client_secret"])
    template = (
        '{"groups": {{identity.entity.groups.names}},'
        f' "preferred_username": {{{{identity.entity.aliases.{accessor}.name}}}}}}'
    )
    bao.write("identity/oidc/scope/groups", template=template, description="login and groups")
    bao.write(
        f"identity/oidc/provider/{PROVIDER}",
        issuer=addresses.sign_in_url,
        allowed_client_ids=[client["client_id"]],
        scopes_supported=["groups"],
    )


def client_id_file(keys: Keys) -> Path:
    """Who the gateway is for the provider."""
    return keys.path("oidc-client.id")


def client_secret_file(keys: Keys) -> Path:
    """How it shows that."""
    return keys.path("oidc-client.secret")


def people_file(keys: Keys) -> Path:
    """The first people and their first passwords."""
    return keys.path("people.txt")


def _people(bao: Operator, keys: Keys, addresses: Addresses, accessor: str) -> None:
    """The group of admins comes last: it says that all this is done."""
    passwords = _passwords(keys, addresses)
    members: dict[str, list[str]] = {}
    for person in PEOPLE:
        if bao.read(f"auth/userpass/users/{person.name}") is None:
            bao.write(f"auth/userpass/users/{person.name}", password=passwords[person.name])
        entity = _entity(bao, person.name, accessor)
        for group in person.groups:
            members.setdefault(group, []).append(entity)
    for group in sorted(members, key=lambda name: name == ADMINS_GROUP):
        known = bao.read(f"identity/group/name/{group}") or {}
        everybody = {*members[group], *(known.get("member_entity_ids") or ())}
        bao.write(f"identity/group/name/{group}", type="internal", member_entity_ids=sorted(everybody))


def _entity(bao: Operator, name: str, accessor: str) -> str:
    """The id of the person behind a login: the one who has it already, or a new one."""
    login = {"alias_name": name, "alias_mount_accessor": accessor}
    found = bao.write("identity/lookup/entity", **login).get("data")
    if not found:
        bao.write(f"identity/entity/name/{name}")
        found = bao.read(f"identity/entity/name/{name}") or {}
        bao.write("identity/entity-alias", name=name, canonical_id=found["id"], mount_accessor=accessor)
    identifier: str = found["id"]
    return identifier


def _passwords(keys: Keys, addresses: Addresses) -> dict[str, str]:
    """By name: what the file of people says, which is written before anybody has the password."""
    path = people_file(keys)
    if not path.exists():
        lines = [
            f"# Who can sign in at {addresses.portal_url}/ with a browser: name, password, what they are.",
            "# Made at the first start; OpenBao keeps no copy that can be read.",
            *(f"{person.name:<6}{new_password():<26}# {person.does}" for person in PEOPLE),
        ]
        write_file(path, "\n".join(lines) + "\n")
    rows = (line.split() for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return {row[0]: row[1] for row in rows}

"""The port `Vault` in terms of OpenBao's paths.

The claim is the custom metadata of the environment's KV path, written on the condition that nobody has written it
since it was read; a group carries its incarnation in its metadata; everything else follows from the environment's name
and is written anew.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import SecretStr

from chassis.failures import PermanentError, TransientError
from contracts.values import Resource
from services.secrets import domain
from services.secrets.adapters.openbao import OpenBao, VersionConflictError
from services.secrets.domain import (
    AccessGroup,
    Claim,
    Connection,
    DatabaseRole,
    InstanceLogin,
    Names,
    Policy,
    Record,
    StoredSecret,
)

KEPT_VERSIONS: Final = 10
_ENTITY_PREFIX: Final = "person:"
"""Entities of this name are ours; those that logins or people have made have other names."""
_MAX_LABEL: Final = 512
REVOKE_TIMEOUT_SECONDS: Final = 60.0
"""Every lease is a transaction in the database, and all of them are waited for."""
CONNECTION_TIMEOUT_SECONDS: Final = 20.0
"""OpenBao connects, which takes it up to five seconds for each address that it finds."""


class OpenBaoVault:
    """The secret store, over one logged-in client."""

    def __init__(
        self,
        openbao: OpenBao,
        *,
        database_connection: str,
        people_mounts: tuple[str, ...],
        instance_tls: Literal["verify-full", "disable"] = "verify-full",
        instance_ca_file: Path | None = None,
    ) -> None:
        """`instance_tls` is how OpenBao speaks to environments' own instances, and `instance_ca_file` where it has the
        certificates that vouch for them; None: among those of its system."""
        self._openbao = openbao
        self._instance_options = {"sslmode": instance_tls, "connect_timeout": "5"}
        if instance_tls == "verify-full" and instance_ca_file is not None:
            self._instance_options["sslrootcert"] = str(instance_ca_file)
        self._database_connection = database_connection
        self._people_mounts = people_mounts

    async def claim_of(self, names: Names) -> Claim | None:
        """Read the KV path's metadata."""
        found = await self._openbao.read(_metadata(names))
        if found is None:
            return None
        current = (found.get("versions") or {}).get(str(found["current_version"]))
        readable = current is not None and not current["destroyed"] and not current["deletion_time"]
        labels = found.get("custom_metadata") or {}
        return Claim(_incarnation(labels), readable, Record.of(labels), int(found.get("current_metadata_version") or 0))

    async def claim(self, names: Names, incarnation: UUID, record: Record) -> None:
        """Write the KV path's metadata where there is none."""
        if not await self._write_claim(names, incarnation, record, after_version=0):
            raise TransientError(f"{names.kv_path} was taken in the meantime")

    async def keep_record(self, names: Names, claim: Claim, record: Record) -> bool:
        """Write the KV path's metadata where it is as it was read."""
        if claim.incarnation is None:
            raise PermanentError(
                "secrets_of_another", f"{names.kv_path} is not this platform's", next_step="Choose another name."
            )
        return await self._write_claim(names, claim.incarnation, record, after_version=claim.version)

    async def _write_claim(self, names: Names, incarnation: UUID, record: Record, *, after_version: int) -> bool:
        label = {"environment": names.environment, "incarnation": str(incarnation), "managed_by": "slipway"}
        body = {
            "custom_metadata": label | record.labels(),
            "cas_required": True,
            "max_versions": KEPT_VERSIONS,
            "metadata_cas": after_version,
        }
        try:
            await self._openbao.write(_metadata(names), body)
        except VersionConflictError:
            return False
        return True

    async def keep_secret(self, names: Names, values: Mapping[str, SecretStr]) -> StoredSecret:
        """Write version 1; where there is a version, name what it holds."""
        if (version := await self._write_after(names, values, 0)) is not None:
            return StoredSecret(version, tuple(sorted(values)))
        if (found := await self._openbao.read(_subkeys(names))) is not None:
            return StoredSecret(found["metadata"]["version"], tuple(sorted(found["subkeys"])))
        # Its current version was deleted by hand: the environment needs a secret, so it gets the next version.
        found = await self._openbao.read(_metadata(names))
        version = await self._write_after(names, values, found["current_version"] if found else 0)
        if version is None:
            raise TransientError(f"{names.kv_path} is being written by somebody else")
        return StoredSecret(version, tuple(sorted(values)))

    async def write_policy(self, policy: Policy) -> None:
        """Write a policy."""
        await self._openbao.write(f"sys/policies/acl/{policy.name}", {"policy": policy.document()})

    async def write_workload_role(self, names: Names) -> None:
        """Write the AppRole role."""
        await self._openbao.write(
            f"auth/approle/role/{names.role}",
            {
                "bind_secret_id": True,
                "token_policies": [names.role],
                "token_ttl": domain.WORKLOAD_TOKEN_SECONDS,
                "token_max_ttl": domain.LEASE_MAX_SECONDS,
                "secret_id_ttl": domain.SECRET_ID_SECONDS,
                "secret_id_num_uses": 1,
            },
        )

    async def write_database_role(self, role: DatabaseRole) -> None:
        """Write the database engine's role."""
        await self._openbao.write(
            f"database/roles/{role.name}",
            {
                "db_name": role.connection or self._database_connection,
                "creation_statements": list(role.creation_statements),
                "revocation_statements": list(role.revocation_statements),
                "default_ttl": domain.LEASE_SECONDS,
                "max_ttl": domain.LEASE_MAX_SECONDS,
            },
        )

    async def mend_connection(self, connection: Connection) -> bool:
        """Write the connection without a login: OpenBao keeps the one it has, and tries it."""
        path = _connection(connection)
        if await self._openbao.read(path) is None:
            return False
        try:
            await self._openbao.write(path, self._settings_of(connection), timeout_seconds=CONNECTION_TIMEOUT_SECONDS)
        except PermanentError as error:
            if error.code != "openbao_refused":
                raise
            return False
        return True

    async def write_connection(self, connection: Connection, login: InstanceLogin) -> None:
        """Write the connection with its login, which OpenBao tries."""
        body = self._settings_of(connection)
        body |= {"username": login.user, "password": login.password.get_secret_value()}
        try:
            await self._openbao.write(_connection(connection), body, timeout_seconds=CONNECTION_TIMEOUT_SECONDS)
        except PermanentError as error:
            if error.code != "openbao_refused":
                raise
            raise _out_of_reach(connection) from error

    async def rotate_login(self, connection: Connection) -> None:
        """OpenBao makes the password, sets it and keeps it."""
        path = f"database/rotate-root/{connection.name}"
        try:
            await self._openbao.write(path, {}, timeout_seconds=CONNECTION_TIMEOUT_SECONDS)
        except PermanentError as error:
            if error.code != "openbao_refused":
                raise
            raise _out_of_reach(connection) from error

    def _settings_of(self, connection: Connection) -> dict[str, Any]:
        where = f"{connection.host}:{connection.port}/{connection.database}?{urlencode(self._instance_options)}"
        return {
            "plugin_name": "postgresql-database-plugin",
            "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@{where}",
            "allowed_roles": [connection.name],
            "password_authentication": "scram-sha-256",
            "verify_connection": True,
            "max_open_connections": 4,
        }

    async def entity_of(self, person: str) -> str | None:
        """Look the person up as a login of each of the mounts where people log in. Where none knows them, make an
        entity of ours with that login at all of them, so that whichever they use first finds it."""
        mounts = await self._openbao.read("sys/auth") or {}
        accessors = [mounts[f"{name}/"]["accessor"] for name in self._people_mounts if f"{name}/" in mounts]
        asked = [{"alias_name": person, "alias_mount_accessor": accessor} for accessor in accessors]
        found = await asyncio.gather(*(self._openbao.write("identity/lookup/entity", one) for one in asked))
        known = next((str(entity["id"]) for entity in found if entity), None)
        return known if known is not None or not accessors else await self._introduce(person, accessors)

    async def _introduce(self, person: str, accessors: list[str]) -> str | None:
        """Make the person known before their first login; None where our policy does not let us."""
        path = f"identity/entity/name/{_ENTITY_PREFIX}{person}"
        try:
            await self._openbao.write(path, {"metadata": {"managed_by": "slipway"}})
            entity = await self._openbao.read(path)
            if entity is None:
                raise TransientError(f"{person} was removed from the secret store in the meantime")
            identifier = str(entity["id"])
            for accessor in accessors:
                alias = {"name": person, "canonical_id": identifier, "mount_accessor": accessor}
                await self._openbao.write("identity/entity-alias", alias)
        except PermanentError as error:
            if error.code != "openbao_denied":
                raise
            return None
        return identifier

    async def team_of(self, team: str) -> str | None:
        """Look the team's group up, be it OpenBao's own or one that its login method brings."""
        found = await self._openbao.write("identity/lookup/group", {"name": f"team:{team}"})
        return str(found["id"]) if found else None

    async def write_group(self, group: AccessGroup, incarnation: UUID) -> None:
        """Write the group, whole."""
        await self._openbao.write(
            f"identity/group/name/{group.name}",
            {
                "type": "internal",
                "policies": list(group.policies),
                "member_entity_ids": list(group.members),
                "member_group_ids": list(group.member_groups),
                "metadata": {
                    "incarnation": str(incarnation),
                    "managed_by": "slipway",
                    "awaits": ", ".join(group.awaited)[:_MAX_LABEL],
                },
            },
        )

    async def revoke_leases(self, names: Names) -> None:
        """Revoke by prefix and wait for each. OpenBao takes the prefix for a whole path, so that `env-a` does not
        end the leases of `env-a-b`; a lease whose role is gone ends by the statements it was made with."""
        try:
            await self._openbao.write(
                f"sys/leases/revoke-prefix/{names.credentials_path}",
                {"sync": True},
                timeout_seconds=REVOKE_TIMEOUT_SECONDS,
            )
        except PermanentError as error:
            if error.code != "openbao_refused":
                raise
            # OpenBao says 400 where the database could not be reached, too.
            raise TransientError(str(error)) from error

    async def remove(self, resource: Resource) -> bool:
        """Delete at the resource's path; a secret with its metadata and every version."""
        path = resource.id
        if resource.kind == "secret":
            mount, _, rest = path.partition("/")
            path = f"{mount}/metadata/{rest}"
        if await self._openbao.read(path) is None:
            return False
        await self._openbao.delete(path)
        return True

    async def _write_after(self, names: Names, values: Mapping[str, SecretStr], version: int) -> int | None:
        """Write the version after `version`; None where there is a later one."""
        data = {name: value.get_secret_value() for name, value in values.items()}
        try:
            written = await self._openbao.write(_data(names), {"options": {"cas": version}, "data": data})
        except VersionConflictError:
            return None
        return int(written["version"])


def _data(names: Names) -> str:
    return f"kv/data/env/{names.environment}/app"


def _metadata(names: Names) -> str:
    return f"kv/metadata/env/{names.environment}/app"


def _subkeys(names: Names) -> str:
    return f"kv/subkeys/env/{names.environment}/app"


def _connection(connection: Connection) -> str:
    return f"database/config/{connection.name}"


def _out_of_reach(connection: Connection) -> TransientError:
    """What was sent holds a password, so OpenBao's own words stay in its log."""
    return TransientError(
        f"OpenBao cannot log in to the database instance of {connection.name} ({connection.host}:{connection.port});"
        " OpenBao's log says why; it must reach it, and know the certificates that vouch for it"
    )


def _incarnation(metadata: Mapping[str, Any] | None) -> UUID | None:
    """The label of ours in some metadata; None where it is somebody else's."""
    try:
        return UUID((metadata or {})["incarnation"])
    except (KeyError, ValueError):
        return None

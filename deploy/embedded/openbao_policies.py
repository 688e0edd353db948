"""What each credential may do in OpenBao: the policies, written at its initialisation and again at every start.

Invariant: the secrets service writes what environments need and reads no value back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

SECRETS_POLICY = "slipway-secrets"
OPERATOR_POLICY = "slipway-operator"
RUNTIME_POLICY = "slipway-runtime"
RUNTIME_ROLE = "slipway-runtime"
SECRETS_ROLE = "slipway-secrets"

MANAGE = ("create", "read", "update", "delete", "list")

_SECRETS: Mapping[str, tuple[str, ...]] = {
    # Values go in and never come back; names, versions and labels may be looked at.
    "kv/data/env/*": ("create", "update"),
    "kv/subkeys/env/*": ("read",),
    "kv/metadata/env/*": MANAGE,
    "kv/metadata/env": ("list",),
    "kv/metadata/env/": ("list",),
    "sys/policies/acl/env-*": MANAGE,
    "sys/policies/acl": ("list",),
    "sys/policies/acl/": ("list",),
    # The older spelling of the same paths, which hvac uses.
    "sys/policy/env-*": MANAGE,
    "sys/policy": ("list", "read"),
    "database/roles/env-*": MANAGE,
    "database/roles": ("list",),
    "database/roles/": ("list",),
    # Connections to instances of environments' own, and never the shared one. Of their logins nothing can be read.
    "database/config/env-*": ("create", "read", "update", "delete"),
    "database/rotate-root/env-*": ("create", "update"),
    "auth/approle/role/env-*": MANAGE,
    "auth/approle/role": ("list",),
    "auth/approle/role/": ("list",),
    # Who may be granted what: groups are ours; people (entities) are looked up, and those who have never logged in are
    # made known under names of ours.
    "identity/group/name/env:*": MANAGE,
    "identity/group/name": ("list",),
    "identity/group/name/": ("list",),
    "identity/entity/name/*": ("read",),
    "identity/entity/name/person:*": ("create", "read", "update"),
    "identity/entity-alias": ("create", "update"),
    "identity/lookup/entity": ("create", "update"),
    # A person's login is looked up by its mount's accessor.
    "sys/auth": ("read",),
    "identity/lookup/group": ("create", "update"),
    # Logins of environments' namespaces, where a cluster is set up: made, and never seen (`_ONLY_WRAPPED`).
    "kubernetes/creds/slipway-developer": ("create", "update"),
    # By prefix and of environments alone. `sudo` is what the server demands for these paths.
    "sys/leases/revoke-prefix/database/creds/env-*": ("create", "update", "sudo"),
    "sys/leases/revoke-force/database/creds/env-*": ("create", "update", "sudo"),
    "sys/leases/lookup/database/creds/env-*": ("list", "sudo"),
}

_OPERATOR: Mapping[str, tuple[str, ...]] = {
    "auth/userpass/users/*": MANAGE,
    "auth/userpass/users": ("list",),
    "identity/entity/*": MANAGE,
    "identity/entity": ("create", "update"),
    "identity/entity-alias/*": MANAGE,
    "identity/entity-alias": ("create", "update"),
    "identity/group/*": MANAGE,
    "identity/lookup/entity": ("create", "update"),
    # OpenBao vouches for people: its keys, clients, scopes and providers.
    "identity/oidc/*": MANAGE,
    "sys/auth": ("read",),
    # How many wrong passwords lock a name. `sudo` is what the server demands.
    "sys/auth/userpass/tune": ("read", "update", "sudo"),
    "sys/mounts": ("read",),
    "sys/policies/acl/*": MANAGE,
    "sys/policy/*": MANAGE,
    "sys/policies/acl": ("list",),
    "sys/leases/lookup/*": ("list", "sudo"),
    "database/config/apps": ("create", "update"),
    "kv/metadata/*": ("list", "read"),
    # The login of the runtime is made by every `up`, so that a home of an earlier version gets it.
    f"auth/approle/role/{RUNTIME_ROLE}": ("create", "read", "update"),
    f"auth/approle/role/{RUNTIME_ROLE}/role-id": ("create", "update"),
    f"auth/approle/role/{RUNTIME_ROLE}/custom-secret-id": ("create", "update"),
    # Services' logins are exchanged by their operator, who may give new ones and end old ones but not look at any.
    f"auth/approle/role/{RUNTIME_ROLE}/secret-id/destroy": ("create", "update"),
    f"auth/approle/role/{SECRETS_ROLE}/custom-secret-id": ("create", "update"),
    f"auth/approle/role/{SECRETS_ROLE}/secret-id/destroy": ("create", "update"),
}

_RUNTIME: Mapping[str, tuple[str, ...]] = {
    # It gets a login for an environment's workload; what that may read its own policy says.
    "auth/approle/role/+/role-id": ("read",),
    "auth/approle/role/+/secret-id": ("create", "update"),
    # The later wildcard wins: whoever runs applications becomes none of the platform's own services.
    "auth/approle/role/slipway-*": ("deny",),
}


_ONLY_WITH: Mapping[str, tuple[str, ...]] = {
    # Whoever is made known gets a name and a login, and no policy.
    "identity/entity/name/person:*": ("name", "metadata"),
}
"""The parameters that a request to a path may have; any, where a path is not named."""
_ONLY_WRAPPED: Mapping[str, int] = {"kubernetes/creds/slipway-developer": 60}
"""What is only answered wrapped, for this many seconds at most: whoever asks gets what opens it once."""


def document(rules: Mapping[str, tuple[str, ...]]) -> str:
    """A policy in HCL: one `path` block for each rule."""
    return "\n".join(
        f'path "{path}" {{ capabilities = {json.dumps(capabilities)}{_parameters(path)} }}'
        for path, capabilities in rules.items()
    )


def _parameters(path: str) -> str:
    if path in _ONLY_WRAPPED:
        return f'\n  min_wrapping_ttl = "1s"\n  max_wrapping_ttl = "{_ONLY_WRAPPED[path]}s"\n'
    if path not in _ONLY_WITH:
        return ""
    return f"\n  allowed_parameters = {{ {', '.join(f'{json.dumps(name)} = []' for name in _ONLY_WITH[path])} }}\n"


def policies() -> dict[str, str]:
    """Policy name to its document."""
    return {
        SECRETS_POLICY: document(_SECRETS),
        OPERATOR_POLICY: document(_OPERATOR),
        RUNTIME_POLICY: document(_RUNTIME),
    }

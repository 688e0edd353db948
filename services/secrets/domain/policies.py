"""Who may do what in an environment's corner of the secret store.

Invariant: whatever stands in a policy is an environment's name, so nothing in an event can say more than its name.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from services.secrets.domain.names import ROLES, AccessRole, Names


@dataclass(frozen=True)
class Policy:
    """A policy's name and its rules: API path to capabilities."""

    name: str
    rules: Mapping[str, tuple[str, ...]]

    def document(self) -> str:
        """The policy in HCL. JSON strings are HCL strings."""
        return "\n".join(
            f"path {json.dumps(path)} {{ capabilities = {json.dumps(list(capabilities))} }}"
            for path, capabilities in self.rules.items()
        )


@dataclass(frozen=True)
class AccessGroup:
    """An identity group, the policies its members have, and who is in it: ids of people, and of teams' groups.
    `awaited` are the names of those who are meant to be and are not known yet."""

    name: str
    policies: tuple[str, ...]
    members: tuple[str, ...] = ()
    member_groups: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()


def workload_policy(names: Names, *, with_database: bool) -> Policy:
    """Read the secret, lease credentials, nothing else."""
    rules = {_data(names): ("read",)}
    if with_database:
        rules[names.credentials_path] = ("read",)
    return Policy(names.role, rules)


def viewer_policy(names: Names) -> Policy:
    """See which secrets there are, by name and version; read no value."""
    rules = {
        _metadata(names): ("read",),
        f"kv/metadata/env/{names.environment}/": ("list",),
        f"kv/subkeys/env/{names.environment}/app": ("read",),
    }
    return Policy(names.policy_of("viewer"), rules)


def developer_policy(names: Names, *, with_database: bool) -> Policy:
    """What a viewer may and what the workload may."""
    seen, used = viewer_policy(names).rules, workload_policy(names, with_database=with_database).rules
    return Policy(names.policy_of("developer"), {**seen, **used})


def admin_policy(names: Names, *, with_database: bool) -> Policy:
    """What a developer may, and write the next version of the secret."""
    rules = dict(developer_policy(names, with_database=with_database).rules)
    rules[_data(names)] = ("create", "read", "update", "patch")
    return Policy(names.policy_of("admin"), rules)


def policy_of(role: AccessRole, names: Names, *, with_database: bool) -> Policy:
    """The policy of everybody with this role."""
    match role:
        case "viewer":
            return viewer_policy(names)
        case "developer":
            return developer_policy(names, with_database=with_database)
        case "admin":
            return admin_policy(names, with_database=with_database)


def policies(names: Names, *, with_database: bool) -> tuple[Policy, ...]:
    """Every policy of an environment."""
    people = (policy_of(role, names, with_database=with_database) for role in ROLES)
    return (workload_policy(names, with_database=with_database), *people)


def _data(names: Names) -> str:
    return f"kv/data/env/{names.environment}/app"


def _metadata(names: Names) -> str:
    return f"kv/metadata/env/{names.environment}/app"

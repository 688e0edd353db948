"""Every name an environment has in the secret store. They follow from the environment's own, so making one again finds
it; and no two environments share one, for a name has neither a colon nor a slash."""

from dataclasses import dataclass
from typing import Final, Literal

AccessRole = Literal["viewer", "developer", "admin"]
ROLES: Final[tuple[AccessRole, ...]] = ("viewer", "developer", "admin")
OWNERS_ROLE: Final[AccessRole] = "developer"
"""What an environment's owner is in it."""


@dataclass(frozen=True)
class Names:
    """The names of one environment."""

    environment: str

    @property
    def kv_path(self) -> str:
        """The application's secret, as `bao kv get` takes it."""
        return f"kv/env/{self.environment}/app"

    @property
    def role(self) -> str:
        """The workload's policy, its AppRole role, the database engine's role and its connection to an instance of the
        environment's own: one name for all four."""
        return f"env-{self.environment}"

    @property
    def schema(self) -> str:
        """The environment's schema, and the role that owns it."""
        return f"env_{self.environment.replace('-', '_')}"

    def policy_of(self, role: AccessRole) -> str:
        """What a person with this role may do. With a colon: `env-shop-admin` is the workload of `shop-admin`."""
        return f"env-{self.environment}:{role}"

    def group_of(self, role: AccessRole) -> str:
        """The grant: whoever is in this identity group has the role in this environment."""
        return f"env:{self.environment}:{role}"

    @property
    def access_group(self) -> str:
        """The grant that the owner has."""
        return self.group_of(OWNERS_ROLE)

    @property
    def credentials_path(self) -> str:
        """Where database credentials are leased."""
        return f"database/creds/{self.role}"

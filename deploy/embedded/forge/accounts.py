"""People and organisations. Both have ids from one sequence that are never used again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.store import Row, Store

Kind = Literal["User", "Organization"]
Role = Literal["none", "read", "write", "admin"]
RANK: Final[dict[str, int]] = {"none": 0, "read": 1, "write": 2, "admin": 3}

# In `acme` developers push; `platform` holds what only the platform may change, so there they read.
FIRST_ORGANISATIONS: Final[dict[str, Role]] = {"acme": "write", "platform": "read"}


class LoginTakenError(ValueError):
    """A login exists as the other kind of account."""


@dataclass(frozen=True)
class Account:
    """A user or an organisation. `base_permission` is what every token holder may do in an organisation's
    repositories."""

    id: int
    login: str
    kind: Kind
    name: str | None
    base_permission: Role
    created_at: str

    @property
    def email(self) -> str:
        """The address that stands in commits: a no-reply one, as GitHub's."""
        return f"{self.id}+{self.login}@users.noreply.localhost"


@dataclass(frozen=True)
class Grant:
    """What a job's token may do: something in one repository, nothing in any other."""

    repository_id: int
    permissions: Mapping[str, str]
    """By GitHub's names for them: `read` or `write`."""
    role: Role = "none"
    """What that means for the request that is being answered."""


@dataclass(frozen=True)
class Principal:
    """Who is calling. An admin may do everything, as a site administrator of GitHub Enterprise; who has a `grant` may
    do that and nothing else."""

    account: Account
    admin: bool
    grant: Grant | None = None


def _account(row: Row) -> Account:
    return Account(row["id"], row["login"], row["kind"], row["name"], row["base_permission"], row["created_at"])


class Accounts:
    """The accounts in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ensure_first_organisations(self) -> None:
        """Make the organisations that every platform has."""
        for login, permission in FIRST_ORGANISATIONS.items():
            self.ensure(login, "Organization", base_permission=permission)

    def ensure(self, login: str, kind: Kind, *, name: str | None = None, base_permission: Role = "none") -> Account:
        """The account called `login`, made now if there is none. Raises LoginTakenError."""
        with self._store.transaction():
            found = self.by_login(login)
            if found is None:
                self._store.insert(
                    "accounts",
                    login=login,
                    kind=kind,
                    name=name,
                    base_permission=base_permission,
                    created_at=timestamp(),
                )
                found = self.by_login(login)
            elif name is not None and name != found.name:
                self._store.update("accounts", found.id, name=name)
                found = self.by_login(login)
        assert found is not None  # noqa: S101 - inserted in this transaction
        if found.kind != kind:
            raise LoginTakenError(f"the login {login!r} is taken by an account of kind {found.kind}")
        return found

    def by_login(self, login: str) -> Account | None:
        """Logins differ by more than case."""
        row = self._store.one("SELECT * FROM accounts WHERE login = ?", [login])
        return _account(row) if row is not None else None

    def by_id(self, account_id: int) -> Account:
        """Raises KeyError."""
        row = self._store.one("SELECT * FROM accounts WHERE id = ?", [account_id])
        if row is None:
            raise KeyError(account_id)
        return _account(row)

    def organisations(self) -> list[Account]:
        """All organisations by name."""
        rows = self._store.all("SELECT * FROM accounts WHERE kind = 'Organization' ORDER BY login")
        return [_account(row) for row in rows]

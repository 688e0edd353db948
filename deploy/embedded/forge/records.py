"""Repositories as the database knows them, and who may do what with them."""

import json
from dataclasses import dataclass
from typing import Any, cast

from deploy.embedded.forge.accounts import RANK, Account, Principal, Role
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.store import Row, Store

_SELECT = """
    SELECT r.*, a.login AS owner_login, a.kind AS owner_kind, a.name AS owner_name,
           a.base_permission AS owner_base_permission, a.created_at AS owner_created_at,
           (SELECT count(*) FROM issues i WHERE i.repository_id = r.id AND i.state = 'open') AS open_issues
    FROM repositories r JOIN accounts a ON a.id = r.owner_id
"""


@dataclass(frozen=True)
class Repository:
    """A repository as it was when it was looked up. `id` never changes and is never used again."""

    id: int
    owner: Account
    name: str
    description: str | None
    homepage: str | None
    private: bool
    archived: bool
    default_branch: str
    topics: tuple[str, ...]
    has_issues: bool
    has_projects: bool
    has_wiki: bool
    delete_branch_on_merge: bool
    created_at: str
    updated_at: str
    pushed_at: str | None
    open_issues: int
    parent_id: int | None = None
    """The repository that it is a fork of."""

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner.login}/{self.name}"


def _repository(row: Row) -> Repository:
    owner = Account(
        row["owner_id"],
        row["owner_login"],
        row["owner_kind"],
        row["owner_name"],
        row["owner_base_permission"],
        row["owner_created_at"],
    )
    return Repository(
        id=row["id"],
        owner=owner,
        name=row["name"],
        description=row["description"],
        homepage=row["homepage"],
        private=bool(row["private"]),
        archived=bool(row["archived"]),
        default_branch=row["default_branch"],
        topics=tuple(json.loads(row["topics"])),
        has_issues=bool(row["has_issues"]),
        has_projects=bool(row["has_projects"]),
        has_wiki=bool(row["has_wiki"]),
        delete_branch_on_merge=bool(row["delete_branch_on_merge"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        pushed_at=row["pushed_at"],
        open_issues=row["open_issues"],
        parent_id=row["parent_id"],
    )


class Repositories:
    """The repositories in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def by_name(self, owner: str, name: str) -> Repository | None:
        """Names differ by more than case."""
        row = self._store.one(f"{_SELECT} WHERE a.login = ? AND r.name = ?", [owner, name])
        return _repository(row) if row is not None else None

    def by_id(self, repository_id: int) -> Repository | None:
        """The repository with this number."""
        row = self._store.one(f"{_SELECT} WHERE r.id = ?", [repository_id])
        return _repository(row) if row is not None else None

    def known(self, repository_id: int) -> Repository:
        """The repository with this number. Raises KeyError."""
        found = self.by_id(repository_id)
        if found is None:
            raise KeyError(repository_id)
        return found

    def of(self, owner: Account | None = None) -> list[Repository]:
        """An owner's repositories, or all, newest first."""
        if owner is None:
            rows = self._store.all(f"{_SELECT} ORDER BY r.id DESC")
        else:
            rows = self._store.all(f"{_SELECT} WHERE r.owner_id = ? ORDER BY r.id DESC", [owner.id])
        return [_repository(row) for row in rows]

    def change(self, repository_id: int, **columns: Any) -> Repository:
        """Change columns; the answer is the repository as it is now."""
        self._store.update("repositories", repository_id, updated_at=timestamp(), **columns)
        return self.known(repository_id)

    def role(self, principal: Principal, repository: Repository) -> Role:
        """What the caller may do: the most that being an admin, the owner, a collaborator or a member gives."""
        if principal.grant is not None:
            return principal.grant.role if repository.id == principal.grant.repository_id else "none"
        if principal.admin or repository.owner.id == principal.account.id:
            return "admin"
        row = self._store.one(
            "SELECT permission FROM collaborators WHERE repository_id = ? AND account_id = ?",
            [repository.id, principal.account.id],
        )
        given = cast("Role", row["permission"]) if row is not None else "none"
        return max(given, repository.owner.base_permission, key=RANK.__getitem__)

    def visible(self, principal: Principal, repositories: list[Repository]) -> list[Repository]:
        """Those that the caller may read."""
        return [each for each in repositories if self.role(principal, each) != "none"]

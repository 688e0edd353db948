"""What issues and pull requests have in common: number, title, text, state, labels, assignees, comments.

GitHub's view as well: a pull request is an issue with a branch, and both count with the same numbers.
"""

import json
from typing import Any

from deploy.embedded.forge import shapes
from deploy.embedded.forge.accounts import Account, Principal
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Access
from deploy.embedded.forge.errors import forbidden, invalid, not_found
from deploy.embedded.forge.store import Row

DEFAULT_LABEL_COLOUR = "ededed"


def find(access: Access, number: int) -> Row:
    """The issue or pull request with this number. Raises ForgeError 404."""
    row = access.forge.store.one(
        "SELECT * FROM issues WHERE repository_id = ? AND number = ?", [access.repository.id, number]
    )
    if row is None:
        raise not_found()
    return row


def open_new(access: Access, *, title: str, body: str | None, is_pull: bool, assignees: list[str]) -> int:
    """A new one with the repository's next number; the answer is its id. Call within a transaction."""
    store, repository = access.forge.store, access.repository
    row = store.row("repositories", repository.id)
    number = int(row["next_number"])
    store.update("repositories", repository.id, next_number=number + 1)
    now = timestamp()
    return store.insert(
        "issues",
        repository_id=repository.id,
        number=number,
        is_pull=int(is_pull),
        title=title,
        body=body,
        author_id=access.caller.id,
        assignees=json.dumps(assignees),
        created_at=now,
        updated_at=now,
    )


def require_author_or_writer(access: Access, author_id: int) -> None:
    """People may change what they wrote; those who may push may change anything. Raises ForgeError 403."""
    if access.caller.id != author_id and access.role not in ("write", "admin"):
        raise forbidden()


def change_state(access: Access, row: Row, state: str, reason: str | None = None) -> str | None:
    """Close or reopen; the answer is the webhook's action, None when nothing changes."""
    if state == row["state"]:
        return None
    closing = state == "closed"
    access.forge.store.update(
        "issues",
        row["id"],
        state=state,
        state_reason=(reason or "completed") if closing else "reopened",
        closed_at=timestamp() if closing else None,
        closed_by_id=access.caller.id if closing else None,
        updated_at=timestamp(),
    )
    return "closed" if closing else "reopened"


def checked_assignees(access: Access, logins: list[str]) -> list[str]:
    """The logins as they are written. Raises ForgeError 422 for one that nobody has."""
    checked = []
    for login in dict.fromkeys(logins):
        account = access.forge.accounts.by_login(login)
        if account is None or account.kind != "User":
            raise invalid("Issue", "assignees")
        checked.append(account.login)
    return checked


# Labels


def label_rows(access: Access, issue_id: int) -> list[Row]:
    """The labels of an issue by name."""
    return access.forge.store.all(
        "SELECT l.* FROM labels l JOIN issue_labels i ON i.label_id = l.id WHERE i.issue_id = ? ORDER BY l.name",
        [issue_id],
    )


def ensure_label(access: Access, name: str) -> int:
    """The id of a label, made in grey when there is none, as GitHub does."""
    row = access.forge.store.one(
        "SELECT id FROM labels WHERE repository_id = ? AND name = ?", [access.repository.id, name]
    )
    if row is not None:
        return int(row["id"])
    if not 0 < len(name.strip()) <= 50:
        raise invalid("Label", "name")
    return access.forge.store.insert(
        "labels", repository_id=access.repository.id, name=name, color=DEFAULT_LABEL_COLOUR
    )


def add_labels(access: Access, issue_id: int, names: list[str], *, replace: bool = False) -> None:
    """Put labels on an issue; with `replace` only these stay."""
    with access.forge.store.transaction():
        if replace:
            access.forge.store.execute("DELETE FROM issue_labels WHERE issue_id = ?", [issue_id])
        for name in names:
            access.forge.store.execute(
                "INSERT OR IGNORE INTO issue_labels (issue_id, label_id) VALUES (?, ?)",
                [issue_id, ensure_label(access, name)],
            )


def label_shape(access: Access, row: Row) -> dict[str, Any]:
    """A label."""
    return {
        "id": row["id"],
        "node_id": shapes.node_id("Label", row["id"]),
        "url": f"{access.url}/labels/{row['name']}",
        "name": row["name"],
        "color": row["color"],
        "default": False,
        "description": row["description"],
    }


# Shapes


def account_shape(access: Access, account_id: int | None) -> dict[str, Any] | None:
    """A user by id, or None."""
    if account_id is None:
        return None
    return shapes.account(access.forge.urls, access.forge.accounts.by_id(account_id))


def association(access: Access, account_id: int) -> str:
    """Whom GitHub counts to a repository (`author_association`): whoever may push, as its owner, as a member of the
    organisation that it belongs to, or invited."""
    repository, author = access.repository, access.forge.accounts.by_id(account_id)
    if repository.owner.id == author.id:
        return "OWNER"
    if access.forge.repositories.role(Principal(author, admin=False), repository) not in ("write", "admin"):
        return "NONE"
    return "MEMBER" if repository.owner.kind == "Organization" else "COLLABORATOR"


def assignees_of(access: Access, row: Row) -> list[dict[str, Any]]:
    """The assignees of an issue."""
    found: list[Account | None] = [access.forge.accounts.by_login(login) for login in json.loads(row["assignees"])]
    return [shapes.account(access.forge.urls, each) for each in found if each is not None]


def common_shape(access: Access, row: Row) -> dict[str, Any]:
    """The fields that issues and pull requests share; every address is left to them."""
    assignees = assignees_of(access, row)
    comments = access.forge.store.count("SELECT count(*) FROM comments WHERE issue_id = ?", [row["id"]])
    return {
        "number": row["number"],
        "title": row["title"],
        "body": row["body"],
        "state": row["state"],
        "locked": False,
        "user": account_shape(access, row["author_id"]),
        "labels": [label_shape(access, each) for each in label_rows(access, row["id"])],
        "assignee": assignees[0] if assignees else None,
        "assignees": assignees,
        "milestone": None,
        "comments": comments,
        "author_association": association(access, row["author_id"]),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "closed_at": row["closed_at"],
    }

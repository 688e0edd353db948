"""Webhooks: who wants to hear of what, and the deliveries that follow.

Invariant: a delivery is a row before it is a request, so none is forgotten when the forge is killed. Hooks go to this
machine only: the forge stands on a laptop, and must not be the way from it into somebody's network.
"""

import ipaddress
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deploy.embedded.forge import history, shapes
from deploy.embedded.forge.accounts import Account
from deploy.embedded.forge.bare import Bare
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.git import Git
from deploy.embedded.forge.objects import Commit
from deploy.embedded.forge.pushes import Push
from deploy.embedded.forge.records import Repository
from deploy.embedded.forge.store import Row, Store
from deploy.embedded.forge.urls import Urls

_MOST_COMMITS = 20
_LOOPBACK_V4 = ipaddress.IPv4Network("127.0.0.0/8")


def is_loopback_url(url: str) -> bool:
    """Whether a URL is http(s) to this machine: 127.0.0.0/8, ::1, `localhost` or a name below it."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or parts.username is not None or port == 0 or not url.isascii():
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address in _LOOPBACK_V4 if address.version == 4 else address == ipaddress.IPv6Address("::1")


@dataclass(frozen=True)
class Hooks:
    """The hooks of all repositories. `wake` is called when there is something to deliver."""

    store: Store
    git: Git
    urls: Urls
    wake: Callable[[], None]

    def subscribed(self, repository: Repository, event: str) -> list[Row]:
        """The active hooks that want `event`."""
        self._follow_organisation(repository)
        rows = self.store.all("SELECT * FROM hooks WHERE repository_id = ? AND active = 1", [repository.id])
        return [row for row in rows if {"*", event} & set(json.loads(row["events"]))]

    def _follow_organisation(self, repository: Repository) -> None:
        """Give each hook of the owner a row of its own here."""
        if repository.owner.kind != "Organization":
            return
        self.store.execute(
            "INSERT OR IGNORE INTO hooks (repository_id, organisation_hook_id, active, events, url, content_type,"
            " secret, created_at, updated_at) SELECT ?, id, active, events, url, content_type, secret, created_at,"
            " updated_at FROM organisation_hooks WHERE owner_id = ?",
            [repository.id, repository.owner.id],
        )

    def say(
        self,
        repository: Repository,
        event: str,
        sender: Account,
        payload: Callable[[], dict[str, Any]],
        *,
        traceparent: str | None = None,
    ) -> None:
        """Deliver an event to whom it concerns; `payload` is only made when there is somebody."""
        hooks = self.subscribed(repository, event)
        if not hooks:
            return
        body = payload() | self._common(repository, sender)
        for hook in hooks:
            self.enqueue(hook["id"], event, body, traceparent=traceparent)

    def _common(self, repository: Repository, sender: Account) -> dict[str, Any]:
        common = {
            "repository": shapes.repository(self.urls, repository, "read"),
            "sender": shapes.account(self.urls, sender),
        }
        if repository.owner.kind == "Organization":
            common["organization"] = shapes.organisation(self.urls, repository.owner)
        return common

    def ping(self, hook_id: int, repository: Repository, sender: Account, shape: dict[str, Any]) -> None:
        """The first delivery of a hook, whatever it subscribes to."""
        body = {"zen": "Keep it logically awesome.", "hook_id": hook_id, "hook": shape}
        self.enqueue(hook_id, "ping", body | self._common(repository, sender))

    def enqueue(self, hook_id: int, event: str, body: dict[str, Any], *, traceparent: str | None = None) -> None:
        """Write a delivery down."""
        self.store.insert(
            "deliveries",
            hook_id=hook_id,
            guid=str(uuid.uuid4()),
            event=event,
            action=body.get("action"),
            payload=json.dumps(body, separators=(",", ":"), ensure_ascii=False),
            traceparent=traceparent,
            due_at=time.time(),
            created_at=timestamp(),
        )
        self.wake()

    def say_push(self, push: Push) -> None:
        """A push listener: the `push` event."""
        if push.ref.startswith(("refs/heads/", "refs/tags/")):
            self.say(
                push.repository,
                "push",
                push.pusher,
                lambda: self._push_payload(push),
                traceparent=push.traceparent,
            )

    def payload_of(self, push: Push) -> dict[str, Any]:
        """The whole body of a push's event."""
        return self._push_payload(push) | self._common(push.repository, push.pusher)

    def _push_payload(self, push: Push) -> dict[str, Any]:
        bare = Bare(self.git, push.repository.id)
        page = self.urls.page(push.repository.full_name)
        found = self._pushed_commits(bare, push)
        head = bare.resolve(push.after) if not push.deleted else None
        head_commit = bare.commit(head) if head is not None else None
        forced = not (push.created or push.deleted) and not history.is_ancestor(bare, push.before, push.after)
        return {
            "ref": push.ref,
            "before": push.before,
            "after": push.after,
            "base_ref": None,
            "created": push.created,
            "deleted": push.deleted,
            "forced": forced,
            "compare": f"{page}/compare/{push.before[:12]}...{push.after[:12]}",
            "commits": [self._commit_payload(bare, push, each) for each in found],
            "head_commit": self._commit_payload(bare, push, head_commit) if head_commit is not None else None,
            "pusher": {"name": push.pusher.login, "email": push.pusher.email},
        }

    def _pushed_commits(self, bare: Bare, push: Push) -> list[Commit]:
        if push.deleted or push.branch is None:
            return []
        others = [ref.sha for ref in bare.refs("refs/heads") if ref.name != push.ref]
        known = others if push.created else [push.before]
        revisions = (push.after, *(f"^{sha}" for sha in known))
        newest_first = history.commits(bare, history.Log(revisions), limit=_MOST_COMMITS)
        return newest_first[::-1]

    def _commit_payload(self, bare: Bare, push: Push, commit: Commit) -> dict[str, Any]:
        parent = commit.parents[0] if commit.parents else None
        touched = history.names_changed(bare, parent, commit.sha)
        return {
            "id": commit.sha,
            "tree_id": commit.tree,
            "distinct": True,
            "message": commit.message,
            "timestamp": commit.committer.date(),
            "url": f"{self.urls.page(push.repository.full_name)}/commit/{commit.sha}",
            "author": {"name": commit.author.name, "email": commit.author.email},
            "committer": {"name": commit.committer.name, "email": commit.committer.email},
            "added": [path for status, path in touched if status == "A"],
            "removed": [path for status, path in touched if status == "D"],
            "modified": [path for status, path in touched if status not in ("A", "D")],
        }

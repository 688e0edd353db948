"""`GITHUB_TOKEN`: what a job may do in its own repository while it runs, and nowhere else.

Invariant: a token is made when its job starts and gone when that ends, so it survives neither the job nor the forge; of
its 256 random bits only a hash is kept, in memory. It speaks for `github-actions[bot]`, in one repository, with the
permissions that the workflow declares (docs.github.com, "Automatic token authentication").
"""

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from deploy.embedded.forge.accounts import Accounts, Grant, Principal, Role

BOT: Final = "github-actions[bot]"
"""Whom a job's token speaks for. What it pushes starts no workflow, so none can start itself."""
Level = Literal["none", "read", "write"]
_PREFIX: Final = "ghs_"
_SCOPES: Final = ("actions", "checks", "contents", "deployments", "issues", "pull-requests", "statuses")
_UNSAID: Final[Mapping[str, Level]] = {"contents": "read"}
"""What a workflow gets that says nothing of permissions: GitHub's restricted default."""
_READING: Final = frozenset({"GET", "HEAD"})
_REST: Final = re.compile(r"(?:/api/v3)?/(?:repos/[^/]+/[^/]+|repositories/[0-9]{1,18})(?P<rest>/.*)?")
_GIT: Final = re.compile(r"/[^/]+/[^/]+/(?:info/refs|git-upload-pack|git-receive-pack)")
_ANYWHERE: Final = re.compile(r"(?:/api/v3)?/(?:rate_limit|meta)")
_METADATA: Final = "metadata"
_OF_COMMITS: Final = {"check-runs": "checks", "status": "statuses", "statuses": "statuses"}
_SCOPE_OF: Final = {
    "actions": ("actions",),
    "branches": ("contents",),
    "check-runs": ("checks",),
    "commits": ("contents",),
    "compare": ("contents",),
    "contents": ("contents",),
    "deployments": ("deployments",),
    "environments": ("actions",),
    "git": ("contents",),
    "issues": ("issues", "pull-requests"),
    "labels": ("issues", "pull-requests"),
    "merges": ("contents",),
    "pulls": ("pull-requests",),
    "statuses": ("statuses",),
}
"""By what stands in an address after the repository: any of these permissions will do. A pull request is an issue too:
which of them a number means is not looked up."""


def permissions(declared: Any, *, foreign: bool) -> Mapping[str, Level]:
    """What `permissions:` of a job, or of its workflow, grants. What is not named is not granted, and a `foreign` head
    (somebody else's commits) is never let write."""
    granted: dict[str, Level] = {}
    if declared is None:
        granted = dict(_UNSAID)
    elif declared in ("read-all", "write-all"):
        level: Level = "read" if declared == "read-all" else "write"
        granted = dict.fromkeys(_SCOPES, level)
    elif isinstance(declared, dict):
        for scope in _SCOPES:
            if declared.get(scope) in ("read", "write"):
                granted[scope] = declared[scope]
    return {scope: "read" if foreign else level for scope, level in granted.items()}


class JobTokens:
    """The tokens of the jobs that are under way."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._lock = threading.Lock()
        self._known: dict[int, tuple[bytes, Principal]] = {}

    def mint(self, job_id: int, repository_id: int, granted: Mapping[str, Level]) -> str:
        """A token that is good until `dismiss`."""
        token = _PREFIX + secrets.token_urlsafe(32)
        bot = Principal(self._accounts.ensure(BOT, "User", name="GitHub Actions"), False, Grant(repository_id, granted))
        with self._lock:
            self._known[job_id] = (_digest(token), bot)
        return token

    def dismiss(self, job_id: int) -> None:
        """The job has ended."""
        with self._lock:
            self._known.pop(job_id, None)

    def principal(self, token: str) -> Principal | None:
        """Whom a token speaks for."""
        digest, found = _digest(token), None
        with self._lock:
            known = tuple(self._known.values())
        for each, principal in known:
            if hmac.compare_digest(each, digest):
                found = principal
        return found


def narrowed(principal: Principal, grant: Grant, method: str, path: str, query: str) -> Principal | None:
    """The principal with what its grant allows for this very request; None where it does not allow it."""
    role = _role(grant, method, path, query)
    return replace(principal, grant=replace(grant, role=role)) if role != "none" else None


def _role(grant: Grant, method: str, path: str, query: str) -> Role:
    if _ANYWHERE.fullmatch(path):
        return "read"
    if _GIT.fullmatch(path):
        wanted: Role = "write" if "git-receive-pack" in f"{path} {query}" else "read"
        return _held(grant, ("contents",), wanted)
    found = _REST.fullmatch(path)
    if found is None:
        return "none"
    first, *others = (found["rest"] or "/").strip("/").split("/")
    scopes = _SCOPE_OF.get(first, (_METADATA,))
    if first == "commits" and others and others[-1] in _OF_COMMITS:
        scopes = (_OF_COMMITS[others[-1]],)
    if first == "pulls" and others[-1:] == ["merge"]:
        scopes = ("contents",)
    if first in {"actions", "environments"} and {"variables", "secrets"} & set(others):
        scopes = ()
    return _held(grant, scopes, "read" if method in _READING else "write")


def _held(grant: Grant, scopes: tuple[str, ...], wanted: Role) -> Role:
    """The role that is wanted where one of these permissions gives it. Everybody who sees a repository may read what it
    is called."""
    levels = {"read" if scope == _METADATA else grant.permissions.get(scope, "none") for scope in scopes}
    return wanted if "write" in levels or (wanted == "read" and "read" in levels) else "none"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()

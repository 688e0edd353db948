"""What `permissions:` grants to a job's token, and what that is worth for a request."""

from typing import Any

import pytest

from deploy.embedded.forge.accounts import Account, Grant, Principal
from deploy.embedded.forge.workflows.job_tokens import narrowed, permissions

BOT = Account(1, "github-actions[bot]", "User", None, "none", "")


@pytest.mark.parametrize(
    ("declared", "foreign", "granted"),
    [
        (None, False, {"contents": "read"}),
        ({}, False, {}),
        ({"contents": "write", "id-token": "write", "issues": "none"}, False, {"contents": "write"}),
        ({"contents": "write"}, True, {"contents": "read"}),
        ({"contents": True, "packages": "write", 7: "write"}, False, {}),
        (["contents"], False, {}),
    ],
)
def test_only_what_is_named_is_granted(declared: Any, foreign: bool, granted: dict[str, str]) -> None:
    assert permissions(declared, foreign=foreign) == granted


def test_all_is_all_that_there_is() -> None:
    assert set(permissions("read-all", foreign=False).values()) == {"read"}
    assert set(permissions("write-all", foreign=False).values()) == {"write"}
    assert set(permissions("write-all", foreign=True).values()) == {"read"}


@pytest.mark.parametrize(
    ("granted", "method", "path", "role"),
    [
        ({}, "GET", "/api/v3/repos/acme/app", "read"),
        ({}, "PATCH", "/api/v3/repos/acme/app", None),
        ({}, "DELETE", "/repos/acme/app/", None),
        ({}, "GET", "/rate_limit", "read"),
        ({}, "GET", "/repos/acme/app/contents/a", None),
        ({"contents": "read"}, "GET", "/repositories/12/contents/a", "read"),
        ({"contents": "read"}, "PUT", "/repos/acme/app/contents/a", None),
        ({"contents": "write"}, "PUT", "/repos/acme/app/contents/a", "write"),
        ({"contents": "write"}, "GET", "/repos/acme/app/hooks", "read"),
        ({"contents": "write"}, "POST", "/repos/acme/app/hooks", None),
        ({"contents": "write"}, "POST", "/repos/acme/app/issues", None),
        ({"contents": "write"}, "GET", "/repos/acme/app/commits/main/check-runs", None),
        ({"checks": "read"}, "GET", "/repos/acme/app/commits/main/check-runs", "read"),
        ({"pull-requests": "write"}, "POST", "/repos/acme/app/issues/1/comments", "write"),
        ({"pull-requests": "write"}, "PUT", "/repos/acme/app/pulls/1/merge", None),
        ({"actions": "write"}, "POST", "/repos/acme/app/actions/workflows/ci.yml/dispatches", "write"),
        ({"actions": "write"}, "GET", "/repos/acme/app/actions/variables", None),
        ({"actions": "write"}, "GET", "/repos/acme/app/environments/x/variables", None),
        ({"contents": "write"}, "POST", "/orgs/acme/repos", None),
        ({"contents": "write"}, "GET", "/user", None),
        ({"contents": "write"}, "GET", "/acme/app", None),
        ({"contents": "read"}, "POST", "/acme/app.git/git-upload-pack", "read"),
        ({"contents": "read"}, "POST", "/acme/app.git/git-receive-pack", None),
        ({"contents": "write"}, "POST", "/acme/app/git-receive-pack", "write"),
    ],
)
def test_a_request_gets_the_role_that_its_permission_gives(
    granted: dict[str, str], method: str, path: str, role: str | None
) -> None:
    grant = Grant(12, granted)
    found = narrowed(Principal(BOT, False, grant), grant, method, path, "")
    assert (found.grant.role if found and found.grant else None) == role


def test_pushing_is_known_by_its_query_too() -> None:
    grant = Grant(12, {"contents": "read"})
    bot = Principal(BOT, False, grant)
    assert narrowed(bot, grant, "GET", "/acme/app.git/info/refs", "service=git-upload-pack") is not None
    assert narrowed(bot, grant, "GET", "/acme/app.git/info/refs", "service=git-receive-pack") is None

"""Accounts, repositories and commits as GitHub's JSON. Field names and types are GitHub's; a field that would be made
up is left out."""

import base64
from typing import Any

from deploy.embedded.forge.accounts import RANK, Account, Role
from deploy.embedded.forge.objects import Commit, Person
from deploy.embedded.forge.records import Repository
from deploy.embedded.forge.urls import Urls


def node_id(kind: str, number: int | str) -> str:
    """GitHub's global id: opaque, stable."""
    return base64.b64encode(f"0{len(kind)}:{kind}{number}".encode()).decode()


def account(urls: Urls, found: Account) -> dict[str, Any]:
    """A simple user, as it stands within other objects."""
    user = f"{urls.api}/users/{found.login}"
    return {
        "login": found.login,
        "id": found.id,
        "node_id": node_id(found.kind, found.id),
        "avatar_url": "",
        "gravatar_id": "",
        "url": user,
        "html_url": f"{urls.public}/{found.login}",
        "repos_url": f"{user}/repos",
        "type": found.kind,
        "site_admin": False,
    }


def user(urls: Urls, found: Account, *, admin: bool) -> dict[str, Any]:
    """A user by itself."""
    return account(urls, found) | {
        "site_admin": admin,
        "name": found.name,
        "email": found.email,
        "created_at": found.created_at,
        "updated_at": found.created_at,
    }


def organisation(urls: Urls, found: Account) -> dict[str, Any]:
    """An organisation by itself."""
    url = f"{urls.api}/orgs/{found.login}"
    return {
        "login": found.login,
        "id": found.id,
        "node_id": node_id("Organization", found.id),
        "url": url,
        "repos_url": f"{url}/repos",
        "avatar_url": "",
        "description": "",
        "name": found.name or found.login,
        "html_url": f"{urls.public}/{found.login}",
        "created_at": found.created_at,
        "updated_at": found.created_at,
        "type": "Organization",
        "default_repository_permission": found.base_permission,
        "members_can_create_repositories": found.base_permission in ("write", "admin"),
    }


def repository(urls: Urls, found: Repository, role: Role) -> dict[str, Any]:
    """A repository, with what the caller may do in it."""
    url, page, clone = (
        urls.repository(found.full_name),
        urls.page(found.full_name),
        urls.clone(found.full_name),
    )
    owner = account(urls, found.owner)
    rank = RANK[role]
    shape: dict[str, Any] = {
        "id": found.id,
        "node_id": node_id("Repository", found.id),
        "name": found.name,
        "full_name": found.full_name,
        "private": found.private,
        "visibility": "private" if found.private else "internal",
        "owner": owner,
        "html_url": page,
        "description": found.description,
        "fork": found.parent_id is not None,
        "url": url,
        "archive_url": f"{url}/{{archive_format}}{{/ref}}",
        "branches_url": f"{url}/branches{{/branch}}",
        "collaborators_url": f"{url}/collaborators{{/collaborator}}",
        "comments_url": f"{url}/comments{{/number}}",
        "commits_url": f"{url}/commits{{/sha}}",
        "compare_url": f"{url}/compare/{{base}}...{{head}}",
        "contents_url": f"{url}/contents/{{+path}}",
        "deployments_url": f"{url}/deployments",
        "git_commits_url": f"{url}/git/commits{{/sha}}",
        "git_refs_url": f"{url}/git/refs{{/sha}}",
        "hooks_url": f"{url}/hooks",
        "issue_comment_url": f"{url}/issues/comments{{/number}}",
        "issues_url": f"{url}/issues{{/number}}",
        "labels_url": f"{url}/labels{{/name}}",
        "pulls_url": f"{url}/pulls{{/number}}",
        "statuses_url": f"{url}/statuses/{{sha}}",
        "trees_url": f"{url}/git/trees{{/sha}}",
        "clone_url": clone,
        "git_url": clone,
        "homepage": found.homepage,
        "archived": found.archived,
        "disabled": False,
        "default_branch": found.default_branch,
        "topics": list(found.topics),
        "has_issues": found.has_issues,
        "has_projects": found.has_projects,
        "has_wiki": found.has_wiki,
        "has_pages": False,
        "has_downloads": False,
        "has_discussions": False,
        "open_issues": found.open_issues,
        "open_issues_count": found.open_issues,
        "forks": 0,
        "forks_count": 0,
        "is_template": False,
        "allow_merge_commit": True,
        "allow_squash_merge": True,
        "allow_rebase_merge": False,
        "allow_auto_merge": False,
        "allow_forking": False,
        "delete_branch_on_merge": found.delete_branch_on_merge,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "pushed_at": found.pushed_at or found.created_at,
        "permissions": {
            "admin": rank >= RANK["admin"],
            "maintain": rank >= RANK["admin"],
            "push": rank >= RANK["write"],
            "triage": rank >= RANK["write"],
            "pull": rank >= RANK["read"],
        },
    }
    if found.owner.kind == "Organization":
        shape["organization"] = owner
    return shape


def person(found: Person) -> dict[str, str]:
    """An author or committer."""
    return {"name": found.name, "email": found.email, "date": found.date()}


def git_commit(urls: Urls, repository: Repository, found: Commit) -> dict[str, Any]:
    """A commit as the Git data calls show it."""
    url, page = urls.repository(repository.full_name), urls.page(repository.full_name)
    return {
        "sha": found.sha,
        "node_id": node_id("Commit", f"{repository.id}:{found.sha}"),
        "url": f"{url}/git/commits/{found.sha}",
        "html_url": f"{page}/commit/{found.sha}",
        "author": person(found.author),
        "committer": person(found.committer),
        "message": found.message,
        "tree": {"sha": found.tree, "url": f"{url}/git/trees/{found.tree}"},
        "parents": [
            {"sha": each, "url": f"{url}/git/commits/{each}", "html_url": f"{page}/commit/{each}"}
            for each in found.parents
        ],
        "verification": {"verified": False, "reason": "unsigned", "signature": None, "payload": None},
    }


def commit(urls: Urls, repository: Repository, found: Commit) -> dict[str, Any]:
    """A commit as the repository's calls show it."""
    url, page = urls.repository(repository.full_name), urls.page(repository.full_name)
    return {
        "sha": found.sha,
        "node_id": node_id("Commit", f"{repository.id}:{found.sha}"),
        "url": f"{url}/commits/{found.sha}",
        "html_url": f"{page}/commit/{found.sha}",
        "comments_url": f"{url}/commits/{found.sha}/comments",
        "commit": {
            "url": f"{url}/git/commits/{found.sha}",
            "author": person(found.author),
            "committer": person(found.committer),
            "message": found.message,
            "tree": {"sha": found.tree, "url": f"{url}/git/trees/{found.tree}"},
            "comment_count": 0,
            "verification": {"verified": False, "reason": "unsigned", "signature": None, "payload": None},
        },
        # Addresses in commits prove nothing, so no account is tied to them.
        "author": None,
        "committer": None,
        "parents": [
            {"sha": each, "url": f"{url}/commits/{each}", "html_url": f"{page}/commit/{each}"} for each in found.parents
        ],
    }

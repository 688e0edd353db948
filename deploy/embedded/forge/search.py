"""REST: a little of GitHub's search: words in titles and names, and the qualifiers that narrow them."""

import shlex
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from deploy.embedded.forge import shapes, threads
from deploy.embedded.forge.context import Access, Call, Caller
from deploy.embedded.forge.errors import unprocessable
from deploy.embedded.forge.issues import issue_shape
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.records import Repository
from deploy.embedded.forge.store import Row

router = APIRouter(prefix="/search")
_LONGEST_QUERY = 1000


def _query(request: Request) -> tuple[dict[str, str], list[str]]:
    """The qualifiers and the other words of `q`."""
    text = request.query_params.get("q", "")
    if not text or len(text) > _LONGEST_QUERY:
        raise unprocessable(f"q must have 1 to {_LONGEST_QUERY} characters")
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    pairs = [word.split(":", 1) for word in words if ":" in word]
    return {key.lower(): value for key, value in pairs}, [word.lower() for word in words if ":" not in word]


def _repositories(call: Call, qualifiers: dict[str, str]) -> list[Repository]:
    every = call.forge.repositories.visible(call.principal, call.forge.repositories.of())
    name = qualifiers.get("repo", "").lower()
    owner = (qualifiers.get("org") or qualifiers.get("user") or "").lower()
    return [
        each
        for each in every
        if (not name or each.full_name.lower() == name) and (not owner or each.owner.login.lower() == owner)
    ]


@router.get("/repositories")
def search_repositories(request: Request, call: Caller) -> JSONResponse:
    """Repositories by words in their name or description, `org:`, `topic:` and `archived:`."""
    qualifiers, words = _query(request)

    def matches(each: Repository) -> bool:
        text = f"{each.name} {each.description or ''}".lower()
        archived = qualifiers.get("archived")
        return (
            all(word in text for word in words)
            and ("topic" not in qualifiers or qualifiers["topic"] in each.topics)
            and (archived is None or (archived == "true") == each.archived)
        )

    found = [each for each in _repositories(call, qualifiers) if matches(each)]
    role = call.forge.repositories.role

    def shape(each: Repository) -> dict[str, Any]:
        return shapes.repository(call.forge.urls, each, role(call.principal, each))

    return paged(request, found, shape, key="items")


@router.get("/issues")
def search_issues(request: Request, call: Caller) -> JSONResponse:
    """Issues and pull requests by words in their title, `repo:`, `state:`, `is:`, `author:` and `label:`."""
    qualifiers, words = _query(request)
    found: list[tuple[Access, Row]] = []
    for repository in _repositories(call, qualifiers):
        role = call.forge.repositories.role(call.principal, repository)
        access = Access(call.forge, call.principal, repository, role)
        rows = call.forge.store.all(
            "SELECT i.*, a.login FROM issues i JOIN accounts a ON a.id = i.author_id WHERE i.repository_id = ?"
            " ORDER BY i.number DESC",
            [repository.id],
        )
        found += [(access, row) for row in rows if _matches(access, row, qualifiers, words)]
    return paged(request, found, lambda pair: issue_shape(*pair), key="items")


def _matches(access: Access, row: Row, qualifiers: dict[str, str], words: list[str]) -> bool:
    kind = qualifiers.get("is") or qualifiers.get("type")
    state = qualifiers.get("state") or (kind if kind in ("open", "closed") else None)
    label = qualifiers.get("label")
    labels = [each["name"].lower() for each in threads.label_rows(access, row["id"])] if label is not None else []
    return (
        all(word in row["title"].lower() for word in words)
        and (state is None or row["state"] == state)
        and (kind not in ("pr", "issue") or (kind == "pr") == bool(row["is_pull"]))
        and ("author" not in qualifiers or row["login"].lower() == qualifiers["author"].lower())
        and (label is None or label.lower() in labels)
    )

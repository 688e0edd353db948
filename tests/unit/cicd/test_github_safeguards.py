"""Reviewers, protected branches and runs that are asked for: what GitHub is sent, and its answers as it documents them
(docs.github.com, REST API version 2022-11-28)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from chassis.failures import PermanentError
from services.cicd.settings import CicdSettings
from tests.unit.cicd.answers import Answers

WORKFLOW = ".github/workflows/slipway-shop.yml"
ENVIRONMENT = {"id": 161, "name": "shop", "protection_rules": [], "deployment_branch_policy": None}
PROTECTION = {
    "url": "https://api.github.com/repos/acme/shop/branches/main/protection",
    "enforce_admins": {"url": "…/enforce_admins", "enabled": True},
    "required_pull_request_reviews": {"required_approving_review_count": 2, "dismiss_stale_reviews": True},
    "allow_force_pushes": {"enabled": False},
    "allow_deletions": {"enabled": False},
}


async def test_reviewers_are_told_by_their_numbers(github: Answers) -> None:
    github.will_be("GET", 200, {"id": 7, "slug": "leads"})
    github.will_be("GET", 200, {"id": 9, "login": "ada"})
    github.will_be("PUT", 200, ENVIRONMENT)
    await github.forge().put_environment("acme/shop", "shop", reviewers=("team/leads", "user/ada"))
    assert [path for _, path, _ in github.asked] == [
        "/orgs/acme/teams/leads",
        "/users/ada",
        "/repos/acme/shop/environments/shop",
    ]
    assert github.sent[-1]["reviewers"] == [{"type": "Team", "id": 7}, {"type": "User", "id": 9}]


async def test_a_reviewer_who_is_not_there_is_named_and_nothing_is_written(github: Answers) -> None:
    github.will_be("GET", 404, {"message": "Not Found"})
    with pytest.raises(PermanentError, match="no team leads") as refused:
        await github.forge().put_environment("acme/shop", "shop", reviewers=("team/leads",))
    assert (refused.value.code, [method for method, _, _ in github.asked]) == ("reviewer_missing", ["GET"])


async def test_a_plan_without_reviewers_is_an_answer(github: Answers) -> None:
    words = "Failed to create the environment protection rule. Please ensure the billing plan supports it."
    github.will_be("GET", 200, {"id": 9, "login": "ada"})
    github.will_be("PUT", 422, {"message": words})
    with pytest.raises(PermanentError, match="billing plan"):
        await github.forge().put_environment("acme/shop", "shop", reviewers=("user/ada",))


@pytest.mark.parametrize(("approvals", "reviews"), [(0, None), (2, 2)])
async def test_a_protected_branch_is_neither_rewritten_nor_removed(
    github: Answers, approvals: int, reviews: int | None
) -> None:
    github.will_be("PUT", 200, PROTECTION)
    await github.forge().protect_branch("acme/shop", "release/1", approvals=approvals)
    assert github.asked[0][:2] == ("PUT", "/repos/acme/shop/branches/release/1/protection")
    sent: dict[str, Any] = github.sent[0]
    asked = sent["required_pull_request_reviews"]
    assert (asked and asked["required_approving_review_count"]) == reviews
    assert (sent["allow_force_pushes"], sent["allow_deletions"], sent["enforce_admins"]) == (False, False, True)
    # GitHub refuses a body in which one of these is missing.
    assert {"required_status_checks", "restrictions"} <= sent.keys()


async def test_a_workflow_is_run_on_a_branch(github: Answers) -> None:
    github.will_be("POST", 204)
    await github.forge().run_workflow("acme/shop", WORKFLOW, branch="main")
    assert github.asked[0][:2] == ("POST", "/repos/acme/shop/actions/workflows/slipway-shop.yml/dispatches")
    assert github.sent == [{"ref": "main"}]


@pytest.mark.parametrize(
    ("created", "counts"), [("2026-11-01T11:59:59Z", False), ("2026-11-01T12:00:00Z", True), (None, False)]
)
async def test_a_run_counts_from_the_second_that_it_is_looked_for(
    github: Answers, created: str | None, counts: bool
) -> None:
    runs = [{"id": 1, "created_at": created}] if created else []
    github.will_be("GET", 200, {"total_count": len(runs), "workflow_runs": runs})
    since = datetime(2026, 11, 1, 12, 0, 0, 900_000, tzinfo=UTC)
    assert await github.forge().has_run("acme/shop", WORKFLOW, commit="c" * 40, since=since) is counts
    assert "event=workflow_dispatch" in github.asked[0][1]


async def test_a_workflow_that_github_does_not_know_has_no_run(github: Answers) -> None:
    github.will_be("GET", 404, {"message": "Not Found"})
    assert not await github.forge().has_run("acme/shop", WORKFLOW, commit="c" * 40, since=datetime.now(UTC))


def test_reviewers_are_named_in_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLIPWAY_CICD_FORGE_TOKEN_FILE", str(tmp_path / "token"))
    assert CicdSettings().production_reviewers == ()
    monkeypatch.setenv("SLIPWAY_CICD_PRODUCTION_REVIEWERS", "team/leads, user/ada")
    assert CicdSettings().production_reviewers == ("team/leads", "user/ada")
    for wrong in ("ada", "team/", "team/../x", "user/a,b", "group/x", "user/-a"):
        monkeypatch.setenv("SLIPWAY_CICD_PRODUCTION_REVIEWERS", wrong)
        with pytest.raises(ValidationError):
            CicdSettings()

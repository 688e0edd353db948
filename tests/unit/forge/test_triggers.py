"""When a workflow runs: GitHub's filters."""

from typing import Any

import pytest

from deploy.embedded.forge.workflows.triggers import Happening, is_started_by, matches

MAIN = Happening("push", branch="main", changed_paths=("src/app.js", "README.md"))


@pytest.mark.parametrize(
    ("patterns", "value", "expected"),
    [
        (["main"], "main", True),
        (["main"], "maintenance", False),
        (["releases/*"], "releases/1", True),
        (["releases/*"], "releases/1/hotfix", False),
        (["releases/**"], "releases/1/hotfix", True),
        (["**"], "any/thing", True),
        (["*"], "any/thing", False),
        (["v[12].[0-9]+"], "v2.10", True),
        (["v[12].[0-9]+"], "v3.1", False),
        (["*.jsx?"], "page.js", True),
        (["**/docs/*.md"], "docs/a.md", True),
        (["**/docs/*.md"], "site/docs/a.md", True),
        (["releases/**", "!releases/**-alpha"], "releases/10-alpha", False),
        (["!releases/**-alpha", "releases/**"], "releases/10-alpha", True),
        (["a.b"], "axb", False),
        (["a(b|c)"], "ab", False),
        (["\\*"], "*", True),
        (["[z-a]"], "x", False),
        ([], "main", False),
    ],
)
def test_patterns_mean_what_githubs_mean(patterns: list[str], value: str, expected: bool) -> None:
    assert matches(patterns, value) is expected


@pytest.mark.parametrize(
    ("events", "happening", "expected"),
    [
        ({"push": {}}, MAIN, True),
        ({"pull_request": {}}, MAIN, False),
        ({"push": {"branches": ["main"]}}, MAIN, True),
        ({"push": {"branches": "main"}}, MAIN, True),
        ({"push": {"branches": ["dev"]}}, MAIN, False),
        ({"push": {"branches-ignore": ["main"]}}, MAIN, False),
        ({"push": {"branches-ignore": ["dev"]}}, MAIN, True),
        ({"push": {"tags": ["v*"]}}, MAIN, False),
        ({"push": {"tags": ["v*"]}}, Happening("push", tag="v1"), True),
        ({"push": {"branches": ["**"]}}, Happening("push", tag="v1"), False),
        ({"push": {}}, Happening("push", tag="v1"), True),
        ({"push": {"paths": ["src/**"]}}, MAIN, True),
        ({"push": {"paths": ["docs/**"]}}, MAIN, False),
        ({"push": {"paths": ["docs/**"]}}, Happening("push", branch="main"), True),
        ({"push": {"paths-ignore": ["**.md"]}}, MAIN, True),
        ({"push": {"paths-ignore": ["**"]}}, MAIN, False),
        ({"pull_request": {}}, Happening("pull_request", branch="main", action="opened"), True),
        ({"pull_request": {}}, Happening("pull_request", branch="main", action="closed"), False),
        ({"pull_request": {"types": ["closed"]}}, Happening("pull_request", branch="main", action="closed"), True),
        ({"pull_request": {"branches": ["dev"]}}, Happening("pull_request", branch="main", action="opened"), False),
        ({"workflow_dispatch": {}}, Happening("workflow_dispatch"), True),
        ({"schedule": {}}, Happening("workflow_dispatch"), False),
    ],
)
def test_a_workflow_runs_on_what_it_names_and_on_nothing_else(
    events: dict[str, dict[str, Any]], happening: Happening, expected: bool
) -> None:
    assert is_started_by(events, happening) is expected

"""The forge as PyGithub sees it: the calls that Slipway makes of GitHub, made of the stand-in."""

import base64
import concurrent.futures
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from github import Github, GithubException, InputGitAuthor, InputGitTreeElement
from github.Repository import Repository

from tests.integration.forge_process import ForgeProcess, forge_process, refused

_NUMBERS = count(1)
_SKELETON = [(f"src/module_{index}.js", f"// file {index}\n" * 40) for index in range(15)]


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForgeProcess]:
    with forge_process(tmp_path_factory.mktemp("forge")) as running:
        yield running


@pytest.fixture
def gh(forge: ForgeProcess) -> Github:
    return forge.client()


def fresh_name() -> str:
    return f"app-{next(_NUMBERS)}"


@pytest.fixture
def repo(gh: Github) -> Repository:
    return gh.get_organization("acme").create_repo(fresh_name(), description="An API", auto_init=True)


def commit_skeleton(repo: Repository) -> str:
    """What the pipeline service does with a golden path's files: one tree, one commit, one move of the branch."""
    ref = repo.get_git_ref("heads/main")
    parent = repo.get_git_commit(ref.object.sha)
    elements = [InputGitTreeElement(path, "100644", "blob", content=text) for path, text in _SKELETON]
    tree = repo.create_git_tree(elements, base_tree=repo.get_git_tree(parent.tree.sha))
    commit = repo.create_git_commit("Add the skeleton", tree, [parent])
    ref.edit(commit.sha)
    return commit.sha


# Accounts and repositories


def test_the_caller_and_the_two_first_organisations_are_known(gh: Github) -> None:
    assert gh.get_user().login == "slipway"
    assert [gh.get_organization(name).login for name in ("acme", "platform")] == ["acme", "platform"]
    assert refused(lambda: gh.get_organization("nobody")).status == 404


def test_an_admin_makes_further_organisations_and_nobody_else_does(forge: ForgeProcess) -> None:
    def ask(login: str) -> int:
        return forge.http.post(
            f"{forge.api}/admin/organizations", json={"login": "shipping"}, headers=forge.headers(login)
        ).status_code

    assert [ask("dev"), ask("slipway"), ask("slipway")] == [403, 201, 422]
    assert forge.client("dev").get_organization("shipping").login == "shipping"


def test_a_new_repository_has_what_was_asked_for(repo: Repository, forge: ForgeProcess) -> None:
    assert repo.full_name == f"acme/{repo.name}"
    assert (repo.description, repo.private, repo.archived, repo.default_branch) == ("An API", True, False, "main")
    assert repo.clone_url == f"{forge.url}/acme/{repo.name}.git"
    assert repo.get_contents("README.md").decoded_content.decode().startswith(f"# {repo.name}")  # type: ignore[union-attr]


def test_creating_a_repository_twice_is_refused_in_githubs_words(gh: Github, repo: Repository) -> None:
    error = refused(lambda: gh.get_organization("acme").create_repo(repo.name.upper()))
    assert error.status == 422
    assert error.data["errors"] == [
        {
            "resource": "Repository",
            "code": "custom",
            "field": "name",
            "message": "name already exists on this account",
        }
    ]


def test_an_id_is_never_used_again(gh: Github, repo: Repository) -> None:
    name, first = repo.name, repo.id
    repo.delete()
    assert refused(lambda: gh.get_repo(f"acme/{name}")).status == 404
    second = gh.get_organization("acme").create_repo(name)
    assert second.id > first


def test_an_id_finds_the_repository_whatever_it_is_called(gh: Github, repo: Repository) -> None:
    repo.edit(name=f"{repo.name}-renamed")
    assert gh.get_repo(repo.id).name.endswith("-renamed")
    assert refused(lambda: gh.get_repo(10**9)).status == 404


def test_settings_and_topics_are_changed(gh: Github, repo: Repository) -> None:
    repo.edit(description="Other", has_issues=False)
    repo.replace_topics(["slipway", "nodejs-api"])
    again = gh.get_repo(repo.full_name)
    assert (again.description, again.has_issues) == ("Other", False)
    assert again.get_topics() == ["slipway", "nodejs-api"]
    assert refused(lambda: repo.create_issue("no")).status == 410


def test_an_archived_repository_refuses_writes_until_it_is_unarchived(gh: Github, repo: Repository) -> None:
    repo.edit(archived=True)
    writes: list[Callable[[], object]] = [
        lambda: repo.create_file("a", "m", "c"),
        lambda: repo.create_issue("t"),
        lambda: repo.create_variable("A", "b"),
        lambda: repo.create_git_ref("refs/heads/x", repo.get_branch("main").commit.sha),
        lambda: repo.edit(description="x"),
    ]
    assert [refused(write).status for write in writes] == [403] * len(writes)
    assert gh.get_repo(repo.full_name).archived
    repo.edit(archived=False)
    assert repo.create_file("a", "m", "c")


def test_roles_decide_who_may_do_what(forge: ForgeProcess, gh: Github, repo: Repository) -> None:
    dev = forge.client("dev")
    assert repo.get_collaborator_permission("dev") == "write"
    assert refused(lambda: dev.get_repo(repo.full_name).delete()).status == 403
    repo.add_to_collaborators("dev", "admin")
    assert repo.get_collaborator_permission("dev") == "admin"
    private = gh.get_organization("platform").create_repo(fresh_name(), auto_init=True)
    seen = dev.get_repo(private.full_name)
    assert refused(lambda: seen.create_file("a", "m", "c")).status == 403
    assert refused(lambda: dev.get_organization("platform").create_repo("mine")).status == 403


def test_lists_come_in_pages(gh: Github, forge: ForgeProcess, repo: Repository) -> None:
    for index in range(7):
        repo.create_label(f"label-{index}", "ededed")
    small = forge.client(per_page=3)
    labels = small.get_repo(repo.full_name).get_labels()
    assert labels.totalCount == 7
    assert [label.name for label in labels] == [f"label-{index}" for index in range(7)]


def test_rate_limits_and_request_ids_are_told(forge: ForgeProcess) -> None:
    headers = {"Authorization": f"token {forge.tokens['other']}"}
    first, second = (forge.http.get(f"{forge.api}/user", headers=headers) for _ in range(2))
    assert int(first.headers["x-ratelimit-remaining"]) > int(second.headers["x-ratelimit-remaining"])
    assert first.headers["x-github-request-id"] != second.headers["x-github-request-id"]
    assert forge.client().get_rate_limit().rate.limit == 1_000_000


# Git data


def test_a_skeleton_becomes_one_commit_on_the_branch(repo: Repository) -> None:
    sha = commit_skeleton(repo)
    assert repo.get_branch("main").commit.sha == sha
    paths = {element.path for element in repo.get_git_tree(sha, recursive=True).tree}
    assert {"README.md", *(path for path, _ in _SKELETON)} <= paths
    assert [commit.commit.message for commit in repo.get_commits()] == ["Add the skeleton", "Initial commit"]


def test_eight_at_once_are_all_made(forge: ForgeProcess) -> None:
    def make(name: str) -> tuple[str, int]:
        made = forge.client().get_organization("acme").create_repo(name, auto_init=True)
        return commit_skeleton(made), made.id

    names = [fresh_name() for _ in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, names))
    assert len({number for _, number in made}) == 8
    gh = forge.client()
    assert [gh.get_repo(f"acme/{name}").get_branch("main").commit.sha for name in names] == [sha for sha, _ in made]


def test_of_eight_who_create_the_same_name_one_succeeds(forge: ForgeProcess) -> None:
    name = fresh_name()

    def make(_: int) -> int:
        try:
            forge.client().get_organization("acme").create_repo(name, auto_init=True)
        except GithubException as error:
            return error.status
        return 201

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(make, range(8))) == [201, *[422] * 7]


def test_an_empty_repository_refuses_git_data_as_github_does(gh: Github) -> None:
    empty = gh.get_organization("acme").create_repo(fresh_name())
    error = refused(lambda: empty.create_git_blob("x", "utf-8"))
    assert (error.status, error.data["message"]) == (409, "Git Repository is empty.")
    empty.create_file("a.txt", "First", "content")
    assert empty.get_branch("main").commit.commit.message == "First"


def test_refs_are_created_once_moved_forward_and_deleted(repo: Repository) -> None:
    old = repo.get_branch("main").commit.sha
    new = commit_skeleton(repo)
    ref = repo.create_git_ref("refs/heads/feature/x", old)
    error = refused(lambda: repo.create_git_ref("refs/heads/feature/x", old))
    assert (error.status, error.data["message"]) == (422, "Reference already exists")
    ref.edit(new)
    assert refused(lambda: ref.edit(old)).data["message"] == "Update is not a fast forward"
    ref.edit(old, force=True)
    assert repo.get_branch("feature/x").commit.sha == old
    assert [each.ref for each in repo.get_git_matching_refs("heads/feature")] == ["refs/heads/feature/x"]
    ref.delete()
    assert refused(lambda: repo.get_git_ref("heads/feature/x")).status == 404
    assert refused(lambda: repo.get_git_ref("heads/main").delete()).status == 422


def test_a_tree_keeps_removes_and_replaces_what_it_is_told_to(repo: Repository) -> None:
    base = commit_skeleton(repo)
    blob = repo.create_git_blob(base64.b64encode(b"\x00binary").decode(), "base64")
    tree = repo.create_git_tree(
        [
            InputGitTreeElement("src/module_0.js", "100644", "blob", sha=None),
            InputGitTreeElement("bin/tool", "100755", "blob", content="#!/bin/sh\n"),
            InputGitTreeElement("logo.png", "100644", "blob", sha=blob.sha),
        ],
        base_tree=repo.get_git_tree(base),
    )
    listed = {element.path: element.mode for element in repo.get_git_tree(tree.sha, recursive=True).tree}
    assert "src/module_0.js" not in listed
    assert (listed["bin/tool"], listed["logo.png"], listed["src/module_1.js"]) == ("100755", "100644", "100644")


def test_authors_and_dates_are_kept(repo: Repository) -> None:
    author = InputGitAuthor("Ada <x>\n", "ada@example.test", "2026-01-02T03:04:05+02:00")
    tree = repo.get_git_tree("main")
    made = repo.create_git_commit("m", tree, [], author=author)
    assert (made.author.name, made.author.date.isoformat()) == ("Ada x", "2026-01-02T01:04:05+00:00")


# Contents


def test_a_file_is_created_replaced_and_deleted(repo: Repository) -> None:
    created = repo.create_file("docs/guide.md", "Add", "one")
    assert refused(lambda: repo.create_file("docs/guide.md", "Again", "two")).status == 422
    stale = created["content"].sha
    repo.update_file("docs/guide.md", "Change", "two", stale)
    assert refused(lambda: repo.update_file("docs/guide.md", "Change", "three", stale)).status == 409
    current = repo.get_contents("docs/guide.md")
    assert not isinstance(current, list)
    assert current.decoded_content == b"two"
    assert [each.path for each in repo.get_contents("docs")] == ["docs/guide.md"]  # type: ignore[union-attr]
    repo.delete_file("docs/guide.md", "Remove", current.sha)
    assert refused(lambda: repo.get_contents("docs/guide.md")).status == 404
    assert refused(lambda: repo.get_contents("docs")).status == 404


def test_of_many_who_change_a_branch_at_once_none_is_lost(forge: ForgeProcess, repo: Repository) -> None:
    def add(index: int) -> int:
        mine = forge.client().get_repo(repo.full_name)
        for attempt in range(50):
            try:
                mine.create_file(f"file-{index}", "Add", "x")
            except GithubException as error:
                if error.status != 409:
                    raise
            else:
                return attempt
        raise AssertionError("never got through")

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(6)))
    found = {each.path for each in repo.get_contents("")}  # type: ignore[union-attr]
    assert {f"file-{index}" for index in range(6)} <= found


def test_commits_are_listed_by_path_and_compared(repo: Repository) -> None:
    repo.create_file("a", "About a", "1")
    base = repo.create_file("b", "About b", "1")["commit"].sha
    repo.create_git_ref("refs/heads/topic", base)
    repo.create_file("c", "About c", "line\n", branch="topic")
    assert [commit.commit.message for commit in repo.get_commits(path="a")] == ["About a"]
    compared = repo.compare("main", "topic")
    assert (compared.status, compared.ahead_by, compared.behind_by) == ("ahead", 1, 0)
    files = list(compared.files)
    assert [(each.filename, each.status, each.additions, each.patch) for each in files] == [
        ("c", "added", 1, "@@ -0,0 +1 @@\n+line")
    ]


# Pull requests


def open_pull(repo: Repository, branch: str = "feature") -> int:
    repo.create_git_ref(f"refs/heads/{branch}", repo.get_branch("main").commit.sha)
    repo.create_file(f"{branch}.txt", f"Add {branch}", "x\n", branch=branch)
    return repo.create_pull("main", branch, title=f"Add {branch}", body="Please").number


def test_a_pull_request_is_opened_once_and_merged_once(repo: Repository) -> None:
    pull = repo.get_pull(open_pull(repo))
    assert (pull.state, pull.mergeable, pull.commits, pull.changed_files) == ("open", True, 1, 1)
    again = refused(lambda: repo.create_pull("main", "feature", title="Again"))
    assert "already exists" in again.data["errors"][0]["message"]
    assert [each.filename for each in pull.get_files()] == ["feature.txt"]
    assert [each.number for each in repo.get_pulls(head=f"{repo.owner.login}:feature")] == [pull.number]
    status = pull.merge()
    merged = repo.get_pull(pull.number)
    assert (merged.merged, merged.state, merged.merge_commit_sha) == (True, "closed", status.sha)
    assert len(repo.get_commit(status.sha).parents) == 2
    assert refused(pull.merge).status == 405
    assert refused(lambda: pull.edit(state="open")).status == 422


def test_a_squash_leaves_one_commit(repo: Repository) -> None:
    number = open_pull(repo)
    status = repo.get_pull(number).merge(merge_method="squash")
    assert len(repo.get_commit(status.sha).parents) == 1
    assert repo.get_pull(number).merged


def test_a_pull_request_that_conflicts_is_not_merged(repo: Repository) -> None:
    number = open_pull(repo)
    repo.create_file("feature.txt", "Another", "y\n")
    pull = repo.get_pull(number)
    assert pull.mergeable is False
    assert refused(pull.merge).status == 405
    assert not repo.get_pull(number).merged


def test_a_pull_request_follows_its_branch(repo: Repository) -> None:
    number = open_pull(repo)
    new = repo.create_file("more.txt", "More", "x", branch="feature")["commit"].sha
    assert repo.get_pull(number).head.sha == new
    stale = refused(lambda: repo.get_pull(number).merge(sha="0" * 40))
    assert stale.status == 409
    repo.get_git_ref("heads/feature").delete()
    assert repo.get_pull(number).state == "closed"
    assert [commit.sha for commit in repo.get_pull(number).get_commits()][-1] == new


def test_pull_requests_without_a_difference_or_a_branch_are_refused(repo: Repository) -> None:
    repo.create_git_ref("refs/heads/same", repo.get_branch("main").commit.sha)
    assert refused(lambda: repo.create_pull("main", "same", title="x")).status == 422
    assert refused(lambda: repo.create_pull("main", "missing", title="x")).status == 422


# Issues


def test_an_issue_with_labels_comments_and_assignees(forge: ForgeProcess, gh: Github, repo: Repository) -> None:
    issue = repo.create_issue("It breaks", body="How: …", labels=["bug", "slipway"], assignees=["dev"])
    issue.create_comment("Seen")
    issue.add_to_labels("urgent")
    issue.remove_from_labels("slipway")
    issue.edit(title="It broke", state="closed", state_reason="not_planned")
    again = repo.get_issue(issue.number)
    assert (again.title, again.state, again.state_reason) == ("It broke", "closed", "not_planned")
    assert sorted(label.name for label in again.labels) == ["bug", "urgent"]
    assert [each.login for each in again.assignees] == ["dev"]
    assert [each.body for each in again.get_comments()] == ["Seen"]
    assert repo.get_issues(state="open").totalCount == 0
    assert [each.number for each in repo.get_issues(state="all", labels=["bug"], assignee="dev")] == [issue.number]
    assert [each.title for each in gh.search_issues(f"repo:{repo.full_name} broke")] == ["It broke"]
    other = forge.client("other").get_repo(repo.full_name).create_issue("From another")
    assert other.number == issue.number + 1


def test_issues_and_pull_requests_share_their_numbers(repo: Repository) -> None:
    first = repo.create_issue("One").number
    second = open_pull(repo)
    assert second == first + 1
    assert repo.get_issue(second).pull_request is not None
    repo.get_pull(second).create_issue_comment("Hello")
    assert repo.get_pull(second).comments == 1


# Actions and deployments


def test_variables_of_repositories_and_environments(repo: Repository) -> None:
    repo.create_variable("region", "eu")
    assert refused(lambda: repo.create_variable("REGION", "us")).status == 409
    assert refused(lambda: repo.create_variable("GITHUB_X", "us")).status == 422
    assert repo.get_variable("REGION").edit("us")
    assert [(each.name, each.value) for each in repo.get_variables()] == [("REGION", "us")]
    environment = repo.create_environment("preview: demo", wait_timer=0)
    environment.create_variable("REGION", "here")
    listed = next(iter(repo.get_environments()))
    assert [(each.name, each.value) for each in listed.get_variables()] == [("REGION", "here")]
    assert repo.create_environment("preview: demo").id == environment.id
    assert repo.get_variable("REGION").value == "us"
    repo.delete_environment("preview: demo")
    repo.delete_variable("REGION")
    assert (repo.get_environments().totalCount, repo.get_variables().totalCount) == (0, 0)


def test_a_newer_success_makes_an_older_deployment_inactive(repo: Repository) -> None:
    first = repo.create_deployment("main", environment="production", payload={"run": 1})
    first.create_status("success", environment_url="http://app.slipway.localhost:8015")
    second = repo.create_deployment("main", environment="production")
    second.create_status("in_progress")
    second.create_status("success")
    assert [each.state for each in first.get_statuses()] == ["inactive", "success"]
    assert [each.id for each in repo.get_deployments(environment="production")] == [second.id, first.id]
    assert repo.get_deployment(first.id).sha == repo.get_branch("main").commit.sha


def test_the_status_of_a_commit_is_the_newest_of_each_context(repo: Repository) -> None:
    commit = repo.get_commit(repo.get_branch("main").commit.sha)
    commit.create_status("failure", context="ci")
    commit.create_status("success", context="lint")
    assert commit.get_combined_status().state == "failure"
    commit.create_status("success", context="ci")
    assert commit.get_combined_status().state == "success"
    assert len(list(commit.get_statuses())) == 3

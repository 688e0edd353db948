"""Whose a repository is, and what may be done with it."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.failures import PermanentError
from contracts.golden_path import GoldenPath
from services.cicd.domain import (
    COMMITTER_EMAIL,
    INITIAL_COMMIT_MESSAGE,
    MADE_FOR_VARIABLE,
    URL_VARIABLE,
    Commit,
    File,
    Mark,
    Plan,
    Repository,
    Safeguards,
    Seen,
    check_offer,
    decide,
    follows_nothing_new,
    is_initial,
    only_ours,
    owner_of,
    put_back_message,
    reasons_to_keep,
    users_of,
    workflow_path,
)
from tests.unit.cicd.events import FIRST_LIFE, NOON, SECOND_LIFE, spec
from tests.unit.golden_paths.samples import manifest
from tests.unit.hostile import inputs

MARK = Mark("demo-api", FIRST_LIFE, "payments")
REPOSITORY = Repository("acme/demo-api", 7, "https://f/acme/demo-api", "https://f/acme/demo-api.git", "main", "", False)
PLAN = Plan(
    repository="acme/demo-api",
    branch="main",
    mark=MARK,
    run=FIRST_LIFE,
    golden_path="nodejs-api",
    golden_path_version="1.0.0",
    title="Node.js API",
    platform_url="https://slipway.example",
    environment_url="https://demo-api.example",
    safeguards=Safeguards(),
    path=None,
    asked_at=NOON,
)
WORKFLOW = File(workflow_path("demo-api"), b"on: push\n")
ADA = "ada@example.com"
INITIAL = Commit("a" * 40, INITIAL_COMMIT_MESSAGE, (), "noreply@github.com")
OURS = Commit("b" * 40, PLAN.first_commit_message(WORKFLOW), ("a" * 40,), COMMITTER_EMAIL)
UPDATE = Commit("e" * 40, PLAN.update_commit_message(WORKFLOW), ("b" * 40,), COMMITTER_EMAIL)
THEIRS = Commit("c" * 40, "Work", ("b" * 40,), ADA)

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)


@given(NAMES, st.uuids(), NAMES)
def test_a_mark_reads_back_from_a_variable_and_from_a_claim(environment: str, incarnation: UUID, team: str) -> None:
    mark = Mark(environment, incarnation, team)
    assert Mark.parse(str(mark)) == mark
    assert Mark.parse_claim(mark.claim) == mark
    assert len(mark.claim) <= 350, "GitHub takes no longer description"


@pytest.mark.parametrize("text", [*inputs("texts"), *inputs("names"), None, "a/b/c", f"a/{'-' * 36}/b"])
def test_what_is_no_mark_is_nobodys(text: str | None) -> None:
    assert Mark.parse(text) is None
    assert Mark.parse_claim(text) is None


@given(st.sets(NAMES, min_size=2, max_size=5))
def test_no_two_environments_share_a_variable(names: set[str]) -> None:
    assert len({Mark(name, FIRST_LIFE, "t").used_by_variable for name in names}) == len(names)


def test_a_commit_of_another_life_or_environment_is_not_ours() -> None:
    assert OURS.made_for(MARK)
    assert not OURS.made_for(replace(MARK, incarnation=SECOND_LIFE))
    assert not OURS.made_for(replace(MARK, environment="demo"))
    assert not THEIRS.made_for(MARK)
    assert not replace(OURS, message=f"Revert it\n\nThis quotes:\n{MARK.trailers}\nand says more\n").made_for(MARK)


def test_a_commit_of_ours_that_somebody_amended_is_theirs() -> None:
    assert not replace(OURS, committer_email=ADA).made_for(MARK)


def test_a_commit_tells_of_its_run_and_of_the_workflow_it_brought() -> None:
    assert OURS.made_by(MARK, FIRST_LIFE)
    assert not OURS.made_by(MARK, SECOND_LIFE)
    assert not OURS.puts_back(MARK, FIRST_LIFE)
    assert OURS.workflow_digest == WORKFLOW.digest
    assert THEIRS.workflow_digest is None


def test_a_commit_that_puts_back_is_none_of_the_runs_own() -> None:
    for commit, vouches in ((OURS, True), (THEIRS, False)):
        before = Seen("a" * 40, WORKFLOW, commit)
        back = replace(OURS, message=put_back_message(before, MARK, SECOND_LIFE))
        assert back.puts_back(MARK, SECOND_LIFE)
        assert not back.made_by(MARK, SECOND_LIFE)
        assert (back.workflow_digest == WORKFLOW.digest) == vouches


def test_a_file_is_untouched_only_while_it_is_ours_to_the_byte() -> None:
    assert Seen("b" * 40, WORKFLOW, OURS).untouched(MARK)
    assert not Seen("b" * 40, replace(WORKFLOW, content=b"on: push \n"), OURS).untouched(MARK)
    assert not Seen("b" * 40, WORKFLOW, replace(OURS, committer_email=ADA)).untouched(MARK)
    assert not Seen("b" * 40, None, OURS).untouched(MARK)
    assert not Seen("b" * 40, WORKFLOW, None).untouched(MARK)


@given(NAMES, NAMES, st.uuids())
def test_the_branches_on_which_we_offer_something_are_known_and_nobody_elses(one: str, other: str, run: UUID) -> None:
    mark, foreign = Mark(one, FIRST_LIFE, "t"), Mark(other, FIRST_LIFE, "t")
    for branch in (mark.branch, mark.update_branch(run), mark.stop_branch(run)):
        assert mark.offers_on(branch)
        assert foreign.offers_on(branch) == (one == other) or "--" in other
    assert not mark.offers_on(f"{mark.branch}-2")
    assert not mark.offers_on("main")


def test_an_environment_that_changed_hands_is_still_the_same_one() -> None:
    assert replace(MARK, team="search") == MARK
    assert replace(MARK, incarnation=SECOND_LIFE) != MARK


def test_only_the_forges_own_first_commit_is_initial() -> None:
    assert is_initial(INITIAL)
    assert not is_initial(replace(INITIAL, parents=("c" * 40,)))
    assert not is_initial(replace(INITIAL, message="Initial commit of my life's work"))


def test_a_repository_is_ours_by_its_variable_or_while_it_is_made_by_its_description() -> None:
    assert owner_of(REPOSITORY, {MADE_FOR_VARIABLE: str(MARK)}) == MARK
    assert owner_of(replace(REPOSITORY, description=MARK.claim), {}) == MARK
    assert owner_of(replace(REPOSITORY, description="Demo"), {MADE_FOR_VARIABLE: "nonsense"}) is None


def test_our_own_repository_is_continued_and_anybodys_is_offered_a_workflow() -> None:
    assert decide(REPOSITORY, {MADE_FOR_VARIABLE: str(MARK)}, PLAN) == "continue"
    assert decide(REPOSITORY, {}, PLAN) == "attach"
    assert decide(REPOSITORY, {URL_VARIABLE: PLAN.platform_url}, PLAN) == "attach"


def test_a_repository_of_another_environment_of_the_same_team_is_offered_a_workflow() -> None:
    other = Mark("demo", SECOND_LIFE, "payments")
    assert decide(REPOSITORY, {MADE_FOR_VARIABLE: str(other)}, PLAN) == "attach"


@pytest.mark.parametrize(
    ("repository", "variables", "code"),
    [
        (REPOSITORY, {MADE_FOR_VARIABLE: f"demo/{SECOND_LIFE}/search"}, "repository_taken"),
        (replace(REPOSITORY, description=Mark("demo", SECOND_LIFE, "search").claim), {}, "repository_taken"),
        (replace(REPOSITORY, archived=True), {}, "repository_archived"),
        (REPOSITORY, {URL_VARIABLE: "https://elsewhere.example"}, "repository_deploys_elsewhere"),
        (REPOSITORY, {MARK.used_by_variable: f"demo-api/{SECOND_LIFE}/search"}, "repository_in_use"),
        (replace(REPOSITORY, archived=True), {MADE_FOR_VARIABLE: str(MARK)}, "repository_archived"),
    ],
)
def test_what_must_be_left_alone_is_refused_with_a_next_step(
    repository: Repository, variables: dict[str, str], code: str
) -> None:
    with pytest.raises(PermanentError, match="acme/demo-api") as refused:
        decide(repository, variables, PLAN)
    assert refused.value.code == code
    assert refused.value.next_step


def test_what_an_earlier_life_of_the_same_team_left_is_taken_over() -> None:
    earlier = str(replace(MARK, incarnation=SECOND_LIFE))
    assert decide(REPOSITORY, {MADE_FOR_VARIABLE: earlier, MARK.used_by_variable: earlier}, PLAN) == "continue"
    assert decide(REPOSITORY, {MARK.used_by_variable: earlier}, PLAN) == "attach"
    moved = {MADE_FOR_VARIABLE: earlier, URL_VARIABLE: "https://the.same.platform.moved"}
    assert decide(REPOSITORY, moved, PLAN) == "continue"


def test_an_archived_leftover_is_refused_with_a_way_out() -> None:
    with pytest.raises(PermanentError) as refused:
        decide(replace(REPOSITORY, archived=True), {}, PLAN)
    for way in ("Unarchive it", "acme/demo-api-2", "deleting it"):
        assert way in refused.value.next_step


@pytest.mark.parametrize(
    "history", [[OURS, INITIAL], [UPDATE, OURS, INITIAL], [replace(OURS, parents=())], [UPDATE] * 60 + [OURS, INITIAL]]
)
def test_a_branch_with_nothing_but_our_commits_on_the_forges_own_is_only_ours(history: list[Commit]) -> None:
    assert only_ours(MARK, history, being_made=False)


@pytest.mark.parametrize(
    "history", [[THEIRS, OURS, INITIAL], [UPDATE, THEIRS, OURS, INITIAL], [INITIAL], [UPDATE, OURS], []]
)
def test_a_branch_with_anything_else_or_more_than_was_read_is_not(history: list[Commit]) -> None:
    assert not only_ours(MARK, history, being_made=False)


def test_the_forges_first_commit_alone_is_ours_only_while_the_repository_is_being_made() -> None:
    assert only_ours(MARK, [INITIAL], being_made=True)
    assert not only_ours(MARK, [THEIRS], being_made=True)


def test_what_holds_only_our_work_may_go() -> None:
    for histories in ([[OURS, INITIAL]], [[UPDATE, OURS, INITIAL]], []):
        assert _reasons(histories) == []
    assert _reasons([[INITIAL], [OURS, INITIAL]], being_made=True) == []


def _reasons(histories: list[list[Commit]], **changes: Any) -> list[str]:
    told: dict[str, Any] = {"being_made": False, "tags": False, "conversations": False, "variables": {}}
    return reasons_to_keep(MARK, histories=histories, **(told | changes))


def test_what_holds_more_is_kept_for_every_reason_there_is() -> None:
    other = Mark("demo", SECOND_LIFE, "payments")
    reasons = _reasons(
        [[OURS, INITIAL], [THEIRS, OURS, INITIAL]],
        tags=True,
        conversations=True,
        variables={other.used_by_variable: str(other), MARK.used_by_variable: str(MARK)},
    )
    assert reasons == ["commits that Slipway did not make", "tags", "issues or pull requests", "the pipeline of demo"]


def test_a_variable_that_only_looks_like_ours_names_no_user() -> None:
    assert users_of({"SLIPWAY_ENV_X": "mine", "OTHER": str(MARK)}) == {}


def test_the_texts_people_read_name_the_environment_and_say_what_to_do() -> None:
    assert PLAN.pull_request_title == "Deploy demo-api with Slipway"
    for word in ("demo-api", "main", ".github/workflows/slipway-demo-api.yml", "Merge this", "Close it"):
        assert word in PLAN.pull_request_body
    assert "environment: demo-api" in PLAN.note.content.decode()
    assert "1.0.0" not in PLAN.note.content.decode(), "it would be out of date after the first update"
    assert PLAN.note in PLAN.files((), WORKFLOW)
    for base, words in (("main", "then deployed"), ("old", "Pushes to `old`, which deployed until now")):
        assert words in PLAN.update_body(base)


def test_a_workflow_stays_where_nothing_changed_that_it_depends_on() -> None:
    before = spec()
    assert follows_nothing_new(spec(parameters={"instances": 3}), before)
    assert follows_nothing_new(spec(repository="Acme/Demo-API"), before)
    for changes in ({"golden_path_version": "1.1.0"}, {"branch": "develop"}, {"golden_path": "worker"}):
        assert not follows_nothing_new(spec(**changes), before)


def test_a_pipeline_does_not_move_to_another_repository() -> None:
    with pytest.raises(PermanentError, match="acme/other") as refused:
        follows_nothing_new(spec(repository="acme/other"), spec())
    assert refused.value.code == "repository_fixed"


def test_a_golden_path_of_another_version_is_not_what_was_asked_for() -> None:
    published = GoldenPath.model_validate(manifest(name="nodejs-api", version="1.1.0"))
    check_offer(published, spec(golden_path_version="1.1.0"))
    with pytest.raises(PermanentError, match=r"1\.0\.0 is not published"):
        check_offer(published, spec(golden_path_version="1.0.0"))

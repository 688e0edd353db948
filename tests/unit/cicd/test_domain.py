"""Whose a repository is, and what may be done with it."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.failures import PermanentError
from services.cicd.domain import (
    INITIAL_COMMIT_MESSAGE,
    MADE_FOR_VARIABLE,
    URL_VARIABLE,
    Commit,
    File,
    Mark,
    Plan,
    Repository,
    decide,
    is_initial,
    owner_of,
    reasons_to_keep,
    users_of,
    workflow_path,
)
from tests.unit.cicd.events import FIRST_LIFE, NOON, SECOND_LIFE
from tests.unit.hostile import inputs

MARK = Mark("demo-api", FIRST_LIFE, "payments")
REPOSITORY = Repository("acme/demo-api", 7, "https://f/acme/demo-api", "https://f/acme/demo-api.git", "main", "", False)
PLAN = Plan(
    repository="acme/demo-api",
    branch="main",
    mark=MARK,
    golden_path="nodejs-api 1.0.0",
    title="Node.js API",
    platform_url="https://slipway.example",
    environment_url="https://demo-api.example",
    skeleton=(File("README.md", b"# Demo\n"),),
    workflow=File(workflow_path("demo-api"), b"on: push\n"),
    asked_at=NOON,
)
INITIAL = Commit("a" * 40, INITIAL_COMMIT_MESSAGE, ())
OURS = Commit("b" * 40, PLAN.first_commit_message, ("a" * 40,))
THEIRS = Commit("c" * 40, "Work", ("b" * 40,))

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
    quoting = Commit("d" * 40, f"Revert it\n\nThis quotes:\n{MARK.trailers}\nand says more\n", ())
    assert not quoting.made_for(MARK)


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
        (REPOSITORY, {MARK.used_by_variable: f"demo-api/{SECOND_LIFE}/payments"}, "repository_in_use"),
    ],
)
def test_what_must_be_left_alone_is_refused_with_a_next_step(
    repository: Repository, variables: dict[str, str], code: str
) -> None:
    with pytest.raises(PermanentError, match="acme/demo-api") as refused:
        decide(repository, variables, PLAN)
    assert refused.value.code == code
    assert refused.value.next_step


def test_what_holds_only_our_work_may_go() -> None:
    for histories in ([[OURS, INITIAL]], [[INITIAL]], [[INITIAL], [OURS, INITIAL]], []):
        assert reasons_to_keep(MARK, histories=histories, conversations=False, variables={}) == []


def test_what_holds_more_is_kept_for_every_reason_there_is() -> None:
    other = Mark("demo", SECOND_LIFE, "payments")
    reasons = reasons_to_keep(
        MARK,
        histories=[[OURS, INITIAL], [THEIRS, OURS, INITIAL]],
        conversations=True,
        variables={other.used_by_variable: str(other), MARK.used_by_variable: str(MARK)},
    )
    assert reasons == ["commits that Slipway did not make", "issues or pull requests", "the pipeline of demo"]


def test_a_variable_that_only_looks_like_ours_names_no_user() -> None:
    assert users_of({"SLIPWAY_ENV_X": "mine", "OTHER": str(MARK)}) == {}


def test_the_texts_people_read_name_the_environment_and_say_what_to_do() -> None:
    assert PLAN.pull_request_title == "Deploy demo-api with Slipway"
    for word in ("demo-api", "main", ".github/workflows/slipway-demo-api.yml", "Merge this", "Close it"):
        assert word in PLAN.pull_request_body
    assert "environment: demo-api" in PLAN.note.content.decode()
    assert PLAN.note in PLAN.files

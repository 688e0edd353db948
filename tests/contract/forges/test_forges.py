"""What every forge does alike: `services.cicd.ports.Forge`, call by call."""

import pytest

from chassis.failures import PermanentError
from services.cicd.domain import Commit, File, is_initial
from services.cicd.ports import Forge
from tests.contract.forges.conftest import Place
from tests.unit.cicd.events import NOON


async def commit(forge: Forge, repository: str, *files: File, parent: str | None, **more: tuple[str, ...]) -> Commit:
    return await forge.commit(
        repository, files=files, parent=parent, keep_other_files=True, message="Work", at=NOON, **more
    )


async def head(forge: Forge, repository: str, branch: str = "main") -> str:
    return (await forge.branches(repository))[branch]


# -- what all of them have ---------------------------------------------------------------------------------------------


async def test_a_repository_is_made_once_and_found_with_one_commit_in_it(place: Place) -> None:
    repository = await place.repository()
    found = await place.forge.find(repository)
    assert found is not None
    assert (found.name, found.description, found.archived) == (repository, "A test of Slipway", False)
    (first,) = await place.forge.history(repository, await head(place.forge, repository), limit=5)
    assert is_initial(first)
    with pytest.raises(PermanentError):
        await place.forge.create(repository, description="", homepage="")


async def test_what_is_not_there_is_none_and_is_removed_without_ado(place: Place) -> None:
    nowhere = f"{place.organisation}/slipway-live-nowhere"
    assert await place.forge.find(nowhere) is None
    await place.forge.delete(nowhere)
    repository = await place.repository()
    assert await place.forge.read(repository, "no/such/file", at="main") is None
    await place.forge.delete_branch(repository, "no-such-branch")
    await place.forge.delete(repository)
    assert await place.forge.find(repository) is None


async def test_the_same_commit_comes_out_however_often_it_is_stored(place: Place) -> None:
    repository = await place.repository()
    first = await head(place.forge, repository)
    one = await commit(place.forge, repository, File("a/b.txt", b"b\n"), parent=first)
    assert (await commit(place.forge, repository, File("a/b.txt", b"b\n"), parent=first)).sha == one.sha
    assert one.parents == (first,)


async def test_a_branch_begins_once_and_moves_only_forward(place: Place) -> None:
    repository = await place.repository()
    first = await head(place.forge, repository)
    one = await commit(place.forge, repository, File("one", b"1"), parent=first)
    other = await commit(place.forge, repository, File("other", b"2"), parent=first)
    await place.forge.create_branch(repository, "slipway/x", one.sha)
    with pytest.raises(PermanentError):
        await place.forge.create_branch(repository, "slipway/x", one.sha)
    assert await place.forge.branches(repository, prefix="slipway/") == {"slipway/x": one.sha}
    await place.forge.forward_branch(repository, "main", one.sha)
    with pytest.raises(PermanentError):
        await place.forge.forward_branch(repository, "main", other.sha)
    assert await head(place.forge, repository) == one.sha
    await place.forge.delete_branch(repository, "slipway/x")
    assert await place.forge.branches(repository, prefix="slipway/") == {}


async def test_a_commit_keeps_what_it_does_not_speak_of_and_leaves_out_what_it_is_told_to(place: Place) -> None:
    repository = await place.repository()
    files = (File("a/kept", b"kept\n"), File("a/gone", b"gone\n"), File("run", b"\xff\x00", executable=True))
    one = await commit(place.forge, repository, *files, parent=await head(place.forge, repository))
    two = await commit(place.forge, repository, File("new", b"new\n"), parent=one.sha, without=("a/gone",))
    await place.forge.forward_branch(repository, "main", two.sha)
    read = [await place.forge.read(repository, path, at="main") for path in ("a/kept", "a/gone", "run", "new")]
    assert read == [b"kept\n", None, b"\xff\x00", b"new\n"]
    assert await place.forge.read(repository, "a/gone", at=one.sha) == b"gone\n"
    assert [await place.forge.has_directory(repository, path, at="main") for path in ("a", "run", "b")] == [
        True, False, False
    ]  # fmt: skip


async def test_a_pull_request_is_opened_closed_and_opened_again(place: Place) -> None:
    repository = await place.repository()
    made = await commit(place.forge, repository, File("a", b"a"), parent=await head(place.forge, repository))
    await place.forge.create_branch(repository, "offer", made.sha)
    assert not await place.forge.has_conversations(repository)
    pull = await place.forge.open_pull_request(repository, head="offer", base="main", title="Offer", body="Why")
    assert (pull.base, pull.head_commit, pull.open, pull.merged) == ("main", made.sha, True, False)
    await place.forge.close_pull_request(repository, pull.number)
    assert [found.open for found in await place.forge.pull_requests(repository, head="offer")] == [False]
    await place.forge.reopen_pull_request(repository, pull.number)
    assert await place.forge.pull_requests(repository, head="offer") == [pull]
    assert await place.forge.pull_requests(repository, head="another") == []
    assert await place.forge.has_conversations(repository)


async def test_topics_are_replaced(place: Place) -> None:
    repository = await place.repository()
    await place.forge.set_topics(repository, ["slipway", "demo"])
    assert set(await place.forge.topics(repository)) == {"slipway", "demo"}


# -- what the emulator does not have -----------------------------------------------------------------------------------


async def test_a_files_history_names_the_commits_that_touched_it(whole: Place) -> None:
    repository = await whole.repository()
    one = await commit(whole.forge, repository, File("a", b"1"), parent=await head(whole.forge, repository))
    two = await commit(whole.forge, repository, File("b", b"2"), parent=one.sha)
    await whole.forge.forward_branch(repository, "main", two.sha)
    found = await whole.forge.history(repository, two.sha, limit=5, path="a")
    assert [each.sha for each in found] == [one.sha]
    assert [each.sha for each in await whole.forge.history(repository, two.sha, limit=2)] == [two.sha, one.sha]


async def test_a_second_pull_request_of_the_same_branches_is_refused(whole: Place) -> None:
    repository = await whole.repository()
    made = await commit(whole.forge, repository, File("a", b"a"), parent=await head(whole.forge, repository))
    await whole.forge.create_branch(repository, "offer", made.sha)
    await whole.forge.open_pull_request(repository, head="offer", base="main", title="Offer", body="Why")
    with pytest.raises(PermanentError):
        await whole.forge.open_pull_request(repository, head="offer", base="main", title="Offer", body="Why")


async def test_a_variable_is_made_changed_and_removed_twice(whole: Place) -> None:
    repository = await whole.repository()
    for value in ("one", "two"):
        await whole.forge.set_variable(repository, "SLIPWAY_X", value)
    assert await whole.forge.variables(repository) == {"SLIPWAY_X": "two"}
    for _ in range(2):
        await whole.forge.delete_variable(repository, "SLIPWAY_X")
    assert await whole.forge.variables(repository) == {}


async def test_a_deployment_environment_is_made_and_removed_twice(whole: Place) -> None:
    repository = await whole.repository()
    for _ in range(2):
        await whole.forge.put_environment(repository, "shop")
        assert await whole.forge.has_environment(repository, "shop")
    for _ in range(2):
        await whole.forge.delete_environment(repository, "shop")
        assert not await whole.forge.has_environment(repository, "shop")


async def test_the_default_branch_and_the_description_are_changed(whole: Place) -> None:
    repository = await whole.repository()
    await whole.forge.create_branch(repository, "develop", await head(whole.forge, repository))
    await whole.forge.describe(repository, description="Changed", default_branch="develop")
    found = await whole.forge.find(repository)
    assert found is not None
    assert (found.description, found.default_branch) == ("Changed", "develop")


async def test_an_archived_repository_is_read_and_not_written(whole: Place) -> None:
    repository = await whole.repository()
    await whole.forge.archive(repository)
    found = await whole.forge.find(repository)
    assert found is not None
    assert found.archived
    assert await whole.forge.read(repository, "README.md", at="main") is not None
    with pytest.raises(PermanentError):
        await whole.forge.set_variable(repository, "SLIPWAY_X", "x")


async def test_a_workflow_that_is_nowhere_has_no_run_and_cannot_be_run(whole: Place) -> None:
    repository = await whole.repository()
    path = ".github/workflows/none.yml"
    assert not await whole.forge.has_run(repository, path, commit=await head(whole.forge, repository), since=NOON)
    with pytest.raises(PermanentError):
        await whole.forge.run_workflow(repository, path, branch="main")

"""Names hold back what a shell, a path, a subject or a reader could misread."""

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.names import BranchName, EnvironmentName, RepositoryName, RepositoryPath

ENVIRONMENT = TypeAdapter(EnvironmentName)
BRANCH = TypeAdapter(BranchName)
REPOSITORY = TypeAdapter(RepositoryName)
PATH = TypeAdapter(RepositoryPath)


@pytest.mark.parametrize("name", ["a", "demo-api", "a1", "x" * 40])
def test_a_dns_label_is_a_name(name: str) -> None:
    assert ENVIRONMENT.validate_python(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "abc\n", "Demo", "1a", "-a", "a-", "a_b", "a.b", "a b", "*", ">", "../../etc", "a\0b", "\u0430dmin",
        "abc\u202e", "x" * 41, "x" * 64, "xn--a", "a--b", "kube-system", "admin", "${file('/etc/passwd')}",
        "-var=x=y", "$(touch pwn)", "{{7*7}}",
    ],
)  # fmt: skip
def test_anything_else_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        ENVIRONMENT.validate_python(name)


@pytest.mark.parametrize("branch", ["main", "feature/login-1.2", "release_2026", "dependabot/npm/x-1.0.0"])
def test_an_ordinary_branch_is_accepted(branch: str) -> None:
    assert BRANCH.validate_python(branch) == branch


@pytest.mark.parametrize(
    "branch",
    [
        'zzz";echo${IFS}"hello";#',
        "--upload-pack=touch x",
        "a..b",
        "a//b",
        "/a",
        "a/",
        "a.lock",
        "a/.b",
        "a b",
        "a\n",
        "@{u}",
    ],
)
def test_a_branch_that_a_shell_could_misread_is_refused(branch: str) -> None:
    with pytest.raises(ValidationError):
        BRANCH.validate_python(branch)


@pytest.mark.parametrize(
    "repository",
    [
        "demo", "acme/", "/demo", "acme/demo/x", "git@github.com:org/../../x", "https://github.com@evil.test/x",
        "ext::sh -c id", "acme/..", "acme/x.git", "-a/b", "acme/demo\n",
    ],
)  # fmt: skip
def test_a_repository_is_owner_and_name_and_nothing_else(repository: str) -> None:
    with pytest.raises(ValidationError):
        REPOSITORY.validate_python(repository)
    assert REPOSITORY.validate_python("acme/demo-api") == "acme/demo-api"


@pytest.mark.parametrize("path", ["a", "services/orders", "packages/@acme/web.v2", ".config/app_1", "x" * 200])
def test_a_directory_below_the_root_is_a_path(path: str) -> None:
    assert PATH.validate_python(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "/",
        "/a", "a/", "a//b", "a/../b", "../a", "a/..", "./a", "a/./b", ".git", "a/.Git/hooks", "a\\b",
        "a b", "a\n", "a*", "a/**", "!a", "a?", "a[b]", "a+", "-a", "a/-b", "${{ github.token }}", "$(id)", "a;b", "~",
        "\u0430/b", "a\0b", "x" * 201,
    ],
)  # fmt: skip
def test_a_path_that_leaves_the_repository_or_could_be_misread_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        PATH.validate_python(path)

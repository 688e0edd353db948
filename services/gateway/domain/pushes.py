"""What a forge says of a push to the environments repository (GitHub's webhook `push`). Pure.

Invariant: it is only a hint about which environments to look at. What is wanted of them is read from the repository.
"""

import re
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from contracts.golden_path import GoldenPath
from contracts.names import EnvironmentName, PersonName
from contracts.queries import EnvironmentView
from contracts.values import EnvironmentSpec
from services.gateway.domain.changes import ChangeEnvironment, changed
from services.gateway.domain.refusals import BrokenRule, InvalidError

MOST_ENVIRONMENTS: Final = 50
"""One push that touches more is a mistake or an attack: each would begin a run."""
SOMEBODY: Final = "forge"
"""Who asked, where the forge's name for them is none of ours."""
_PATH: Final = re.compile(r"environments/([^/]+)/.+", re.DOTALL)
_NAME: Final[TypeAdapter[str]] = TypeAdapter(EnvironmentName)
_PERSON: Final[TypeAdapter[str]] = TypeAdapter(PersonName)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Repository(_Part):
    full_name: str = Field(max_length=200)


class _Account(_Part):
    login: str = Field(max_length=200)


class _Commit(_Part):
    added: list[str] = Field(default=[], max_length=3000)
    modified: list[str] = Field(default=[], max_length=3000)
    removed: list[str] = Field(default=[], max_length=3000)


class Push(_Part):
    """A push, as far as we look at it."""

    ref: str = Field(max_length=300)
    deleted: bool = False
    repository: _Repository
    sender: _Account
    commits: list[_Commit] = Field(default=[], max_length=2048)

    @property
    def person(self) -> str:
        """Who pushed: whoever the forge let in, not who a commit says wrote it."""
        try:
            return _PERSON.validate_python(self.sender.login)
        except ValidationError:
            return SOMEBODY

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments whose directories it touches, by name."""
        paths = [path for commit in self.commits for path in (*commit.added, *commit.modified, *commit.removed)]
        names = {found[1] for path in paths if (found := _PATH.fullmatch(path)) is not None}
        return tuple(sorted(name for name in names if _is_a_name(name)))


def committed_change(view: EnvironmentView, committed: EnvironmentSpec, path: GoldenPath | None) -> EnvironmentSpec:
    """The desired state that somebody committed for an environment, checked as if they had asked for it. Raises
    `InvalidError`."""
    before = view.spec
    fixed = ("name", "kind", "golden_path", "owner", "repository", "path", "pull_request")
    wrong = [
        BrokenRule(field, "cannot be changed while the environment lives")
        for field in fixed
        if getattr(before, field) != getattr(committed, field)
    ]
    if wrong:
        raise InvalidError(wrong)
    names = before.parameters.keys() | committed.parameters.keys()
    parameters: dict[str, JsonValue] = {
        name: committed.parameters.get(name)
        for name in sorted(names)
        if before.parameters.get(name) != committed.parameters.get(name)
    }
    wanted = ChangeEnvironment(
        branch=committed.branch,
        golden_path_version=committed.golden_path_version,
        parameters=parameters,
        depends_on=list(committed.depends_on or ()),
    )
    return changed(view, wanted, path)


def read_push(payload: Any) -> Push:
    """The push in a delivery. Raises `InvalidError`."""
    try:
        return Push.model_validate(payload)
    except ValidationError as error:
        raise InvalidError([BrokenRule("body", "must be a push as GitHub tells of it")]) from error


def _is_a_name(text: str) -> bool:
    try:
        _NAME.validate_python(text)
    except ValidationError:
        return False
    return True

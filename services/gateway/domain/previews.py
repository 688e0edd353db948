"""Previews of pull requests: what they are called, and what they are like. Pure."""

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from contracts.queries import EnvironmentView
from services.gateway.domain.obstacles import exists
from services.gateway.domain.refusals import BrokenRule, InvalidError, RefusalError

_LONGEST: Final = 40
"""`contracts.names.EnvironmentName`."""
_MARK_LENGTH: Final = 8
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9]+")


class RefusedError(Exception):
    """There will be no such preview, and why, for whoever reads the pull request."""


def names(repository: str, number: int) -> tuple[str, str]:
    """What the preview of a pull request is called: `<repository>-pr-<number>`, and what it is called where that name
    is somebody else's. Both are valid names, and the second is no other repository's."""
    plain = _NOT_IN_A_NAME.sub("-", repository.partition("/")[2].lower()).strip("-")
    plain = plain if plain[:1].isalpha() else f"r-{plain}".strip("-")
    end = f"-pr-{number}"
    mark = hashlib.sha256(repository.lower().encode()).hexdigest()[:_MARK_LENGTH]
    marked = f"{plain[: _LONGEST - len(end) - _MARK_LENGTH - 1].rstrip('-')}-{mark}{end}"
    return (f"{plain}{end}" if len(plain) + len(end) <= _LONGEST else marked), marked


def is_of(view: EnvironmentView, repository: str, number: int) -> bool:
    """Whether an environment is, or was, the preview of this pull request."""
    pull = view.spec.pull_request
    return pull is not None and pull.number == number and view.spec.repository.lower() == repository.lower()


def model_of(found: Sequence[EnvironmentView], base: str) -> EnvironmentView:
    """The environment of a repository that a preview takes after: the one of the branch that the pull request is to be
    merged into, if there is one. Raises `RefusedError` where there is none, or where they differ."""
    living = [view for view in found if view.spec.pull_request is None and exists(view)]
    if not living:
        raise RefusedError(
            "No environment uses this repository yet, so there is nothing to take after. Create one first:"
            " `slipway create`."
        )
    near = [view for view in living if view.spec.branch == base] or living
    kinds = {(view.spec.golden_path, view.spec.owner.team, view.spec.path) for view in near}
    if len(kinds) > 1:
        seen = ", ".join(sorted(view.name for view in near)[:5])
        raise RefusedError(
            f"The environments of this repository ({seen}) differ in their golden path, team or directory, so it is"
            " not clear what a preview should be like. Create it by name: `slipway create`."
        )
    return min(near, key=lambda view: (view.created_at, view.name))


def words(error: RefusalError) -> str:
    """A refusal for whoever reads the pull request."""
    if isinstance(error, InvalidError):
        return "; ".join(f"{_field(broken)} {broken.rule}" for broken in error.errors)
    return error.detail


def _field(broken: BrokenRule) -> str:
    return f"`{broken.field}`"

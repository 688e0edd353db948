"""REST: branches that nobody may rewrite or remove (GitHub's branch protection, as far as this forge keeps it).

Invariant: what is protected is so on every road: a push asks the `update` hook of `git`, a change by REST asks here.
The names are in a file beside the repository's own, so both read the same.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends
from starlette.responses import Response

from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.context import Access, Administered
from deploy.embedded.forge.errors import ForgeError, unprocessable
from deploy.embedded.forge.git import PROTECTED_FILE

router = APIRouter(prefix="/repos/{owner}/{repo}/branches/{branch:path}/protection")
_HEADS: Final = "refs/heads/"


class Protection(Body):
    """`PUT …/protection`. This forge has no reviews and no required checks, so it promises none."""

    required_status_checks: None
    required_pull_request_reviews: None
    restrictions: None
    enforce_admins: bool | None
    allow_force_pushes: Literal[False] | None = None
    allow_deletions: Literal[False] = False


def is_protected(access: Access, ref: str) -> bool:
    """Whether a ref is a branch that is protected."""
    return ref in _read(_file(access))


def refuse_if_protected(access: Access, ref: str, deed: str) -> None:
    """Raises ForgeError 422 for a branch that is protected from this `deed`."""
    if is_protected(access, ref):
        raise unprocessable(f"Protected branch {ref.removeprefix(_HEADS)}: it cannot be {deed}")


@router.get("")
def get_protection(branch: str, access: Administered) -> dict[str, Any]:
    """What a branch is protected from."""
    if not is_protected(access, _HEADS + branch):
        raise ForgeError(404, "Branch not protected")
    url = f"{access.url}/branches/{branch}/protection"
    return {
        "url": url,
        "enforce_admins": {"url": f"{url}/enforce_admins", "enabled": True},
        "allow_force_pushes": {"enabled": False},
        "allow_deletions": {"enabled": False},
    }


@router.put("")
def protect(
    branch: str, _: Annotated[Protection, Depends(json_body(Protection))], access: Administered
) -> dict[str, Any]:
    """Protect a branch from being rewritten or removed, by whomever."""
    if access.bare.branch(branch) is None:
        raise ForgeError(404, "Branch not found")
    _write(_file(access), _read(_file(access)) | {_HEADS + branch})
    return get_protection(branch, access)


@router.delete("", status_code=204)
def unprotect(branch: str, access: Administered) -> Response:
    """Protect it no longer."""
    get_protection(branch, access)
    _write(_file(access), _read(_file(access)) - {_HEADS + branch})
    return Response(status_code=204)


def _file(access: Access) -> Path:
    return access.forge.git.directory(access.repository.id) / PROTECTED_FILE


def _read(file: Path) -> frozenset[str]:
    try:
        return frozenset(file.read_text(encoding="utf-8").splitlines())
    except FileNotFoundError:
        return frozenset()


def _write(file: Path, refs: frozenset[str]) -> None:
    new = file.with_suffix(".new")
    new.write_text("".join(f"{ref}\n" for ref in sorted(refs)), encoding="utf-8")
    new.rename(file)

"""What a REST handler has at hand: the forge's parts, the caller, and the repository with what the caller may do.

Every route on a repository takes one of the dependencies at the foot of this file, so none is without a rule.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from deploy.embedded.forge import numbers
from deploy.embedded.forge.accounts import RANK, Account, Accounts, Principal, Role
from deploy.embedded.forge.bare import Bare
from deploy.embedded.forge.errors import archived, forbidden, not_found
from deploy.embedded.forge.git import Git
from deploy.embedded.forge.hooks import Hooks
from deploy.embedded.forge.pushes import Pushes
from deploy.embedded.forge.records import Repositories, Repository
from deploy.embedded.forge.settings import ForgeSettings
from deploy.embedded.forge.store import Store
from deploy.embedded.forge.urls import Urls

# Every module with routes imports this one, and a route must find the convertor when it is made.
numbers.register()


@dataclass(frozen=True)
class Forge:
    """The parts, put together in `app`."""

    settings: ForgeSettings
    store: Store
    git: Git
    urls: Urls
    accounts: Accounts
    repositories: Repositories
    pushes: Pushes
    hooks: Hooks
    pull_listeners: "list[PullListener]" = field(default_factory=list)
    """Called with what was done to a pull request and its number, once it is done."""

    def bare(self, repository: Repository) -> Bare:
        """The Git side of a repository."""
        return Bare(self.git, repository.id)


@dataclass(frozen=True)
class Call:
    """A request by somebody."""

    forge: Forge
    principal: Principal

    @property
    def caller(self) -> Account:
        """Who asks."""
        return self.principal.account


@dataclass(frozen=True)
class Access(Call):
    """A request on a repository that the caller may see."""

    repository: Repository
    role: Role

    @property
    def bare(self) -> Bare:
        """Its Git side."""
        return Bare(self.forge.git, self.repository.id)

    @property
    def url(self) -> str:
        """Its address in the REST protocol."""
        return self.forge.urls.repository(self.repository.full_name)

    @property
    def page(self) -> str:
        """Its address in a browser."""
        return self.forge.urls.page(self.repository.full_name)

    def require(self, role: Role) -> None:
        """Raises ForgeError 403 when the caller may do less than `role`."""
        if RANK[self.role] < RANK[role]:
            raise forbidden()


PullListener = Callable[[Access, str, int], None]


def get_call(request: Request) -> Call:
    """The request, once the guard has let it through."""
    return Call(request.app.state.forge, request.state.principal)


def _access(role: Role, *, writes: bool) -> Callable[[str, str, Request], Access]:
    def resolve(owner: str, repo: str, request: Request) -> Access:
        call = get_call(request)
        repository = call.forge.repositories.by_name(owner, repo)
        if repository is None:
            raise not_found()
        held = call.forge.repositories.role(call.principal, repository)
        if held == "none":
            raise not_found()
        access = Access(call.forge, call.principal, repository, held)
        access.require(role)
        if writes and repository.archived:
            raise archived()
        return access

    return resolve


Caller = Annotated[Call, Depends(get_call)]
Readable = Annotated[Access, Depends(_access("read", writes=False))]
Commentable = Annotated[Access, Depends(_access("read", writes=True))]
Writable = Annotated[Access, Depends(_access("write", writes=True))]
Administered = Annotated[Access, Depends(_access("admin", writes=True))]
AdministeredEvenArchived = Annotated[Access, Depends(_access("admin", writes=False))]

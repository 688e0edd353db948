"""Authors and committers as callers give them."""

from datetime import UTC, datetime

from pydantic import Field

from deploy.embedded.forge import clock
from deploy.embedded.forge.accounts import Account
from deploy.embedded.forge.bodies import Body
from deploy.embedded.forge.errors import invalid
from deploy.embedded.forge.objects import Person


class Signature(Body):
    """`author` or `committer` of a request."""

    name: str = Field(min_length=1, max_length=255)
    email: str = Field(max_length=255)
    date: str | None = None


def now_by(account: Account) -> Person:
    """An account, at this instant."""
    return Person(account.name or account.login, account.email, datetime.now(UTC))


def people(author: Signature | None, committer: Signature | None, caller: Account) -> tuple[Person, Person]:
    """Author and committer; who is not given is the other one, or the caller. Raises ForgeError 422 for a date."""
    fallback = now_by(caller)
    written = _person(author, fallback)
    return written, _person(committer, written if author is not None else fallback)


def _person(given: Signature | None, fallback: Person) -> Person:
    if given is None:
        return fallback
    try:
        at = clock.parse(given.date) if given.date is not None else fallback.at
        # Git counts from 1970 and GitHub's dates end with the year 9999.
        at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid("Commit", "date") from None
    return Person(given.name, given.email, max(at, datetime.fromtimestamp(0, UTC)))

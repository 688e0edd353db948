"""Questions that look after the catalog itself."""

from pydantic import Field

from contracts.envelope import Value
from contracts.names import EnvironmentName
from contracts.queries import Query


class Rebuilt(Value):
    """What became of a page of names."""

    names: int
    """How many names were looked at."""
    events: int
    """How many events of theirs were folded anew."""
    differing: tuple[EnvironmentName, ...]
    """Those whose stored views are not what the log says, in order."""
    next_after: str | None
    """The last name of this page; None where it was the last page."""


class Rebuild(Query[Rebuilt]):
    """Fold the views of a page of names anew from the copy of the log, compare them with those that are stored, and
    with `replace` put the new ones in place of those that differ. Everybody else goes on meanwhile."""

    name = "rebuild"
    after: str = Field(default="", max_length=40)
    """The last name of the page before."""
    limit: int = Field(default=200, ge=1, le=1000)
    replace: bool = False

"""What an update of an environment may cost, and what its failure goes back to.

Invariant: an environment that existed before a run exists after its road back, and no data is lost that nobody asked to
lose.
"""

from contracts.events import EnvironmentRequested, EnvironmentUpdateRequested
from contracts.plans import DATA_KINDS
from contracts.values import EnvironmentSpec

__all__ = ["DATA_KINDS", "asks_for_less_data", "summary_of", "what_was_before"]


def what_was_before(event: EnvironmentRequested | EnvironmentUpdateRequested) -> EnvironmentSpec | None:
    """What the road back of this run restores; None for a new environment.

    An update that does not tell what was before it goes back to itself: without that its failure would take away an
    environment that exists.
    """
    if isinstance(event, EnvironmentUpdateRequested):
        return event.data.previous or event.data.spec
    return event.data.previous


def asks_for_less_data(event: EnvironmentRequested | EnvironmentUpdateRequested) -> bool:
    """Whether data may be lost in this run: somebody agreed to a plan that says so, or chose other parameters or
    another golden path. A new version of the same one, a repair or a new branch is no such choice."""
    if not isinstance(event, EnvironmentUpdateRequested) or event.data.accepts_loss:
        return True
    before, wanted = what_was_before(event) or event.data.spec, event.data.spec
    return (before.golden_path, before.parameters) != (wanted.golden_path, wanted.parameters)


def summary_of(event: EnvironmentRequested | EnvironmentUpdateRequested) -> str:
    """The first line of the commit."""
    spec = event.data.spec
    source = f"{spec.golden_path} {spec.golden_path_version}"
    if isinstance(event, EnvironmentRequested):
        return f"Create {spec.name} from {source}"
    before = event.data.previous
    moved = before is not None and before.golden_path_version != spec.golden_path_version
    return f"Update {spec.name} to {source}" if moved else f"Update {spec.name}"

"""What the events of one run say about its steps: a fold that a live stream and a stepper share.

A step that failed stays failed while what was done before it is undone.
"""

from dataclasses import dataclass, field
from typing import Final

from contracts.envelope import Event
from contracts.events import (
    EnvironmentDeleted,
    EnvironmentDeletionRequested,
    EnvironmentFailed,
    EnvironmentReady,
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    InfraDestroyed,
    InfraFailed,
    InfraReady,
    PipelineCreated,
    PipelineFailed,
    PipelineRemoved,
    SecretsFailed,
    SecretsRevoked,
    SecretsStored,
)
from contracts.queries import StepState
from contracts.values import Step

VERDICTS: Final = (EnvironmentReady, EnvironmentFailed, EnvironmentDeleted)

_BEGINS: Final[dict[type[Event], tuple[tuple[Step, StepState], ...]]] = {
    EnvironmentRequested: (("infrastructure", "running"),),
    EnvironmentUpdateRequested: (("infrastructure", "running"),),
    EnvironmentDeletionRequested: (("pipeline", "undoing"),),
    InfraReady: (("infrastructure", "succeeded"), ("secrets", "running")),
    SecretsStored: (("secrets", "succeeded"), ("pipeline", "running")),
    PipelineCreated: (("pipeline", "succeeded"),),
    InfraFailed: (("infrastructure", "failed"),),
    SecretsFailed: (("secrets", "failed"),),
    PipelineFailed: (("pipeline", "failed"),),
    PipelineRemoved: (("pipeline", "undone"), ("secrets", "undoing")),
    SecretsRevoked: (("secrets", "undone"), ("infrastructure", "undoing")),
    InfraDestroyed: (("infrastructure", "undone"),),
}


@dataclass
class Steps:
    """The states of a run's steps, as far as its events were told."""

    states: dict[Step, StepState] = field(default_factory=dict)

    def tell(self, event: Event) -> list[tuple[Step, StepState]]:
        """Take in the run's next event; returns what it changed."""
        changed: list[tuple[Step, StepState]] = []
        for step, state in _BEGINS.get(type(event), ()):
            if self.states.get(step) == "failed" and state in {"undoing", "undone"}:
                continue
            self.states[step] = state
            changed.append((step, state))
        return changed

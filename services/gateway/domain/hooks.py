"""What somebody may say about a webhook. Whether its URL may be called is the notifier's to judge, who calls it."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.names import EnvironmentName, GoldenPathName, TeamName
from contracts.webhooks import OUTWARD_KINDS, Description, OutwardKind, WebhookUrl
from services.gateway.domain.admission import Ask

HookKinds = Annotated[list[OutwardKind], Field(max_length=len(OUTWARD_KINDS))]
"""Kinds of event; none means every one."""


class CreateHook(Ask):
    """A wish to be told what becomes of a team's environments."""

    url: WebhookUrl
    """Where it is told: https."""
    kinds: HookKinds = Field(default_factory=list)
    environment: EnvironmentName | None = None
    """Only of this environment."""
    golden_path: GoldenPathName | None = None
    """Only of environments of this golden path."""
    description: Description = ""
    team: TeamName | None = None
    """Whose environments; by default those of the token's only team."""


class ChangeHook(Ask):
    """What is to be different; what is not named stays as it is."""

    url: WebhookUrl | None = None
    kinds: HookKinds | None = None
    environment: EnvironmentName | Literal[""] | None = None
    """Empty: of every environment."""
    golden_path: GoldenPathName | Literal[""] | None = None
    """Empty: of every golden path."""
    description: Description | None = None
    state: Literal["active", "paused"] | None = None
    """Made active, it begins with a clean slate, also where the platform had disabled it."""

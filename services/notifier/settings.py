"""The knobs of the notifier."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class NotifierSettings(BaseSettings):
    """Read from `SLIPWAY_NOTIFIER_*` variables of the environment."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_NOTIFIER_", frozen=True, extra="ignore")

    slack_url: str = Field(default="https://slack.com/api/", pattern=r"^https?://")
    """Base of Slack's Web API; the embedded inbox serves it at `http://127.0.0.1:<port>/api/`."""
    slack_token_file: Path
    """The bot's token (`xoxb-…`)."""
    slack_timeout_seconds: int = Field(default=10, ge=1)
    """How long one call may take."""
    slack_calls_at_once: int = Field(default=4, ge=1)
    default_channel: str = Field(default="deployments", pattern=r"^#?[\w-]{1,80}$")
    """The channel of teams that have none of their own, by name or by Slack's id (`C…`)."""
    team_channels: dict[str, str] = Field(default_factory=dict)
    """Channels by team, as JSON: `{"payments": "payments-deploys"}`."""
    platform_url: str = Field(default="", pattern=r"^(https?://.+)?$")
    """Where the portal is, for links to runs; empty leaves them out."""
    readers_file: Path | None = None
    """The list of programs that read teams' feeds, as `slipway admin readers` writes it; without it nobody does."""
    stale_after_hours: float = Field(default=72, gt=0)
    """Events older than this are not announced."""
    webhooks_key_file: Path | None = None
    """Holds the platform's key for the secrets of webhooks (32 bytes, hex), the same as the gateway's; without one
    there are none."""
    webhooks_allow: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks that webhooks may reach besides the public internet, also without TLS, as JSON: `["10.1.0.0/16"]`."""
    webhooks_timeout_seconds: float = Field(default=10, gt=0, le=20)
    """How long one delivery may take in all."""

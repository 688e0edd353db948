"""This service's knobs. `SLIPWAY_GATEWAY_…` variables of the environment."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.application import Ingress


class GatewaySettings(BaseSettings):
    """Where the API is served, where links lead, and the limits of what one asker may do."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_GATEWAY_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    admin_token_file: Path
    """Holds the platform's own admin token; made at the first start, with mode 0600."""
    golden_paths: Path = Path(__file__).resolve().parents[2] / "golden_paths"
    """The directory of golden paths."""
    organisation: str = Field(default="acme", pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?$")
    """Where repositories are made whose owner nobody names."""
    public_url: str = ""
    """Where people reach this service; by default its own host and port."""
    traces_url: str = ""
    """Where traces are shown: a trace is at `<traces_url>/trace/<id>`. Empty: nowhere."""
    forge_url: str = ""
    """Where repositories are shown."""
    inbox_url: str = ""
    """Where notifications are shown."""
    preview_days: int = Field(default=7, ge=1, le=365)
    """How long a preview lives whose golden path does not say."""
    preview_most_days: int = Field(default=30, ge=1, le=365)
    """How long it lives at most, from its creation, unless somebody keeps it."""
    ingresses: tuple[Ingress, ...] = ("internal",)
    """Who can reach what runs here: `internal`, `public`."""
    caches: tuple[str, ...] = ()
    """Which caches there are: `redis`."""
    policy_file: Path | None = None
    """What each team may have (YAML, `domain/policy.py`); without one only previews of a repository are limited."""
    quota_interval_seconds: float = Field(default=60.0, gt=0)
    """How often the places that environments take are held against the catalog."""
    webhook_secret_file: Path | None = None
    """Holds the secret with which the forge signs its webhooks; without one none is heard."""
    environments_repository: str = "platform/environments"
    """Pushes to which repository count."""
    environments_branch: str = "main"
    """And to which branch."""
    platform_login: str = "slipway-provisioner"
    """The platform's own user on the forge."""
    requests_per_second: float = Field(default=50, gt=0)
    """What one principal may ask, on average."""
    requests_at_once: int = Field(default=200, ge=1)
    """What one principal may ask in one burst."""
    streams_per_principal: int = Field(default=20, ge=1)
    """How many runs one principal may follow at the same time."""
    heartbeat_seconds: float = Field(default=15, gt=0)
    """How often a silent stream shows that it is alive."""
    care_interval_seconds: float = Field(default=1.0, gt=0)
    """How often accepted requests are looked after."""
    republish_after_seconds: float = Field(default=10.0, gt=0)
    """How old an accepted request is before its event counts as lost."""

    @field_validator("public_url", "traces_url", "forge_url", "inbox_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if url and not url.startswith(("https://", "http://")):
            raise ValueError("begins with https:// or http://")
        return url.rstrip("/")

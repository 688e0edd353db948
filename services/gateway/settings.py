"""This service's knobs. `SLIPWAY_GATEWAY_…` variables of the environment."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.application import Ingress
from services.gateway.domain.people import Role


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
    webhooks_key_file: Path | None = None
    """Holds the platform's key for the secrets of webhooks (32 bytes, hex), the same as the notifier's; without one
    none can be made."""
    github_webhook_secret_file: Path | None = None
    """Holds the secret with which GitHub signs what it tells at `/api/v1/github/events`; without one nothing is
    heard."""
    github_logins: dict[str, str] = {}
    """Who people are here whose login on GitHub is another one (JSON)."""
    environments_repository: str = "platform/environments"
    """Pushes to which repository count."""
    environments_branch: str = "main"
    """And to which branch."""
    platform_login: str = "slipway-provisioner"
    """The platform's own user on the forge."""
    workflow_issuer: str = Field(
        default="https://token.actions.githubusercontent.com", pattern=r"^(?:https?://\S*[^\s/])?$"
    )
    """Who issues the tokens by which workflows deploy, exactly as it calls itself; empty: none does."""
    runtime_url: str = Field(default="", pattern=r"^(?:https?://\S*[^\s/])?$")
    """Where applications run; empty: elsewhere, and other tools deploy them."""
    runtime_token_file: Path | None = None
    """Holds what is shown to the runtime."""
    runtime_webhook_secret_file: Path | None = None
    """Holds the secret with which the runtime signs what it tells; without one none is heard."""
    openbao_url: str = Field(default="http://127.0.0.1:8013", pattern=r"^https?://\S*[^\s/]$")
    """Where logins of namespaces are opened, on a platform with a cluster; asked for nothing else."""
    openbao_ca_file: Path | None = None
    """Certificates to trust where OpenBao is served over TLS by a private authority."""
    requests_per_second: float = Field(default=50, gt=0)
    """What one principal may ask, on average."""
    requests_at_once: int = Field(default=200, ge=1)
    """What one principal may ask in one burst."""
    issuer: str = Field(default="", pattern=r"^(?:https?://\S*[^\s/])?$")
    """The OpenID provider that vouches for people, exactly as it calls itself; empty: nobody signs in with a
    browser."""
    issuer_label: str = "your company's account"
    """What it is called on the page."""
    identity_namespace: str = ""
    """What its identities are kept under; by default `issuer`. For a provider whose address changes."""
    client_id: str = ""
    """Who we are for it; its redirect URI is `<public_url>/sign-in/callback`."""
    client_id_file: Path | None = None
    """Holds the client id where that is made later than this; read at each sign-in."""
    client_secret_file: Path | None = None
    """Holds the client's secret, read at each sign-in; without one we are a public client."""
    scopes: str = "openid profile groups"
    """What is asked of the provider."""
    login_claim: str = "preferred_username"
    """The claim that says what people are called; a wish for their name here, never their identity."""
    groups_claim: str = "groups"
    """The claim that lists their groups."""
    team_group_prefix: str = ""
    """A group whose name begins so is a team."""
    group_roles: dict[str, Role] = {"slipway-admins": "admin", "slipway-viewers": "viewer"}
    """Which groups give which role (JSON); the greatest counts."""
    default_role: Role = "developer"
    """The role of whoever is in none of them."""
    machine_token_days: int = Field(default=30, ge=1, le=366)
    """How long a token of `slipway login` opens."""
    session_hours: float = Field(default=24, gt=0, le=720)
    """How long a person stays signed in at most."""
    session_idle_hours: float = Field(default=8, gt=0, le=720)
    """After how long without a request they are signed out."""
    streams_per_principal: int = Field(default=20, ge=1)
    """How many runs one principal may follow at the same time."""
    heartbeat_seconds: float = Field(default=15, gt=0)
    """How often a silent stream shows that it is alive."""
    care_interval_seconds: float = Field(default=1.0, gt=0)
    """How often accepted requests are looked after."""
    rollout_interval_seconds: float = Field(default=1.0, gt=0)
    """How often rollouts are looked after that wait for something."""
    rollout_lease_seconds: float = Field(default=15.0, gt=0)
    """How long the replica that drives a rollout may say nothing before another one does."""
    republish_after_seconds: float = Field(default=10.0, gt=0)
    """How old an accepted request is before its event counts as lost."""

    @field_validator("public_url", "traces_url", "forge_url", "inbox_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if url and not url.startswith(("https://", "http://")):
            raise ValueError("begins with https:// or http://")
        return url.rstrip("/")

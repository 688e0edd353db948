"""What the runtime is told by its environment (prefix `SLIPWAY_RUNTIME_`)."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.embedded.web.guard import LOOPBACK_HOSTS


class RuntimeSettings(BaseSettings):
    """Where slots are, whom to ask for secrets, and how patient to be."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_RUNTIME_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8021, ge=1, le=65535)
    hosts: tuple[str, ...] = LOOPBACK_HOSTS
    data: Path
    """Holds one directory for each environment, which the provisioner makes and takes away."""
    pointers: Path
    """Where the ingress finds what is live; a private directory whose path has no character that means anything."""
    token_file: Path
    """Whoever shows this token may deploy."""
    caddy_socket: Path
    openbao_url: str = ""
    """Empty: applications get no secrets."""
    role_id_file: Path | None = None
    secret_id_file: Path | None = None
    """The runtime's own AppRole."""
    database_host: str = "127.0.0.1"
    database_port: int = Field(default=8012, ge=1, le=65535)
    database_name: str = "apps"
    url_template: str = "http://{name}.slipway.localhost:8015"
    """Where an environment answers."""
    gateway_url: str = ""
    """Who is told how applications do; empty: nobody."""
    webhook_secret_file: Path | None = None
    """With this what is told is signed."""
    healthy_within_seconds: float = Field(default=60.0, gt=0)
    """How long a new release may take until it is ready."""
    watch_seconds: float = Field(default=2.0, ge=0)
    """How long after the switch a crash still undoes it."""
    mind_seconds: float = Field(default=60.0, ge=0)
    """How long after a deployment a release that keeps ending is still gone back from."""
    drain_seconds: float = Field(default=1.0, ge=0)
    """How long after the switch the old release is left alone."""
    grace_seconds: float = Field(default=12.0, gt=0)
    """How long a process may take to end before it is killed."""
    probe_interval_seconds: float = Field(default=2.0, gt=0)
    look_interval_seconds: float = Field(default=0.25, gt=0)
    """How often slots are looked for."""
    mend_interval_seconds: float = Field(default=5.0, gt=0)
    """How often routes are looked for that were made anew and lead nowhere yet."""
    restart_seconds: float = Field(default=0.5, gt=0)
    """The pause before the first restart after a crash; each one is twice the one before, up to a minute."""
    kept_releases: int = Field(default=3, ge=1, le=20)
    log_bytes: int = Field(default=5_000_000, ge=10_000)
    """How large one log file of an environment may become; there are three."""

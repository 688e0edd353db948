"""The knobs of the secrets service."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SecretsSettings(BaseSettings):
    """Read from `SLIPWAY_SECRETS_*` variables of the environment."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_SECRETS_", frozen=True, extra="ignore")

    openbao_url: str = "http://127.0.0.1:8013"
    role_id_file: Path
    """The service's AppRole: the role id."""
    secret_id_file: Path
    """The service's AppRole: the secret id."""
    openbao_ca_file: Path | None = None
    """Certificates to trust where OpenBao is served over TLS by a private authority."""
    database_connection: str = "apps"
    """The database engine's connection under which environments have their schemas."""
    people_mounts: tuple[str, ...] = ("userpass", "oidc")
    """Auth mounts by whose names people are known: an owner is looked up as a login there."""
    parallel_calls: int = Field(default=16, ge=1)
    """How many requests to OpenBao are under way at once."""

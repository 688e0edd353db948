"""The knobs that every process has. What only one service needs is in that service's own settings.

Secrets are given as paths of files, never as values: an environment is readable by every child process.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ChassisSettings(BaseSettings):
    """Read from `SLIPWAY_*` variables of the environment."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_", frozen=True, extra="ignore")

    nats_url: str = "nats://127.0.0.1:8010"
    nats_nkey_file: Path
    """Seed of this service's NATS user (an nkey)."""
    event_key_file: Path
    """The platform's key from which event ids are derived (32 bytes, hex)."""
    otlp_endpoint: str = ""
    """Base URL of an OTLP/HTTP receiver; empty turns tracing off."""
    health_port: int = 0
    """Where /livez, /readyz and /metrics are served; 0 picks a free port."""
    health_host: str = "127.0.0.1"
    """The address they are served on. Only where others must come to ask, as in a container, another one."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    workers: int = Field(default=8, ge=1)
    """How many events are handled at once."""
    fetch_batch: int = Field(default=1, ge=1)
    """How many events one fetch asks for. More than one pays where handling takes a few milliseconds."""
    ack_wait_seconds: float = Field(default=15, gt=1)
    """How long the server waits for a sign of life before it delivers again; as the durable was made."""
    shutdown_grace_seconds: float = 20
    """How long work in flight may go on after SIGTERM before it is handed back."""


class DatabaseSettings(BaseSettings):
    """Where a service that keeps state of its own keeps it."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_DATABASE_", frozen=True, extra="ignore")

    url: str
    """`postgresql://role@host:port/database`, without a password."""
    password_file: Path
    pool_size: int = Field(default=4, ge=1)


def read_secret(path: Path) -> SecretStr:
    """The secret in a file, without the newline at its end. Raises OSError where it cannot be read."""
    return SecretStr(path.read_text(encoding="utf-8").strip())

"""What the trace store is told by its environment (prefix `SLIPWAY_TRACES_`)."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.embedded.web.guard import LOOPBACK_HOSTS


class TraceSettings(BaseSettings):
    """`data` is the directory of the database; a trace is kept `retention_days` after its last span came in."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_TRACES_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8020, ge=1, le=65535)
    data: Path
    hosts: tuple[str, ...] = LOOPBACK_HOSTS
    retention_days: float = Field(default=7, gt=0)

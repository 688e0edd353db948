"""What the page is told by its environment (prefix `SLIPWAY_PEOPLE_`)."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.embedded.web.guard import LOOPBACK_HOSTS


class PeopleSettings(BaseSettings):
    """`portal_url` is where people come back to; `passwords_file` is named on the page, and never read."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_PEOPLE_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8022, ge=1, le=65535)
    openbao_url: str
    portal_url: str
    passwords_file: Path
    hosts: tuple[str, ...] = LOOPBACK_HOSTS

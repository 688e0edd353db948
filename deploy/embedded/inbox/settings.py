"""What the inbox is told by its environment (prefix `SLIPWAY_INBOX_`)."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.embedded.web.guard import LOOPBACK_HOSTS


class InboxSettings(BaseSettings):
    """`token_file` holds the bot's token; `channels` are made at the start, the first takes the webhook's posts."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_INBOX_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8019, ge=1, le=65535)
    data: Path
    token_file: Path
    hosts: tuple[str, ...] = LOOPBACK_HOSTS
    channels: tuple[str, ...] = Field(default=("deployments", "general"), min_length=1)
    posts_per_minute: int = Field(default=0, ge=0, description="per channel, answered `ratelimited`; 0 means any")

"""What the DNS server is told by its environment (prefix `SLIPWAY_DNS_`)."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DnsSettings(BaseSettings):
    """`tsig_file` holds a BIND `key` clause or `name:algorithm:base64`; `data` is the zone's directory."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_DNS_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8017, ge=1, le=65535)
    zone: str = Field(default="slipway.localhost", min_length=1, max_length=253)
    tsig_file: Path
    data: Path

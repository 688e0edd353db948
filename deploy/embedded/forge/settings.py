"""What the forge is told by its environment (prefix `SLIPWAY_FORGE_`), and the limits it keeps."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("must be http(s)://host[:port] without a path, such as http://127.0.0.1:8018")
    return value.rstrip("/")


class ForgeSettings(BaseSettings):
    """`url` is what clients use: it stands in every address the forge prints, so it must match what they connect
    to. `tokens_file` is JSON: `{"<login>": {"token_sha256": "<64 hex digits>", "admin": true}}`."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_FORGE_", frozen=True, extra="ignore", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8018, ge=1, le=65535)
    url: Annotated[str, AfterValidator(_public_url)] = "http://127.0.0.1:8018"
    hosts: tuple[str, ...] = ()
    """Further names by which clients may call it; names below `localhost` it always answers to."""
    data: Path
    tokens_file: Path
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", validation_alias="SLIPWAY_LOG_LEVEL"
    )
    otlp_endpoint: str = Field(default="", validation_alias="SLIPWAY_OTLP_ENDPOINT")
    """Base URL of an OTLP/HTTP receiver; empty turns tracing off. Common to every process, as the level is."""

    json_limit_bytes: int = Field(default=48 * 1024 * 1024, ge=1024)
    """Largest body of a REST call."""
    pack_limit_bytes: int = Field(default=512 * 1024 * 1024, ge=1024)
    """Largest body of a push or fetch."""
    git_timeout_seconds: float = Field(default=600, gt=0)
    """How long one push or fetch may take."""
    git_processes: int = Field(default=16, ge=1)
    """How many pushes and fetches run at once; more wait."""
    requests_per_hour: int = Field(default=1_000_000, ge=1)
    """REST calls per login and hour, as told by the X-RateLimit headers."""
    delivery_attempts: int = Field(default=10, ge=1)
    """How often a webhook delivery is tried before it is given up."""
    delivery_retry_seconds: float = Field(default=1, gt=0)
    """Pause before the second try; it doubles with each one, up to five minutes."""

    actions_enabled: bool = True
    """Whether pushes and pull requests run workflows."""
    actions_concurrent_jobs: int = Field(default=2, ge=1, le=64)
    """How many jobs run at once, all repositories together."""
    actions_job_timeout_seconds: float = Field(default=1800, gt=0)
    """The longest a job may take, whatever its `timeout-minutes` says."""
    actions_path: str = ""
    """PATH of jobs; empty means the forge's own without the directories of its Python environment."""
    actions_hidden: str = ""
    """Directories that jobs must not see beside the forge's own data, separated as in PATH."""
    actions_fence: bool = True
    """Whether jobs run behind a fence of namespaces where the kernel allows it (see workflows/fence.py)."""

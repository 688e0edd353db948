"""This service's knobs. `SLIPWAY_CICD_…` variables of the environment."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class CicdSettings(BaseSettings):
    """Where the forge is, and how to treat it."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_CICD_", frozen=True, extra="ignore")

    forge_url: str = "https://api.github.com"
    """Base URL of GitHub's REST API, or of what answers like it (GitHub Enterprise: `https://<host>/api/v3`)."""
    forge_token_file: Path
    """A token that may create and delete repositories in the organisations used, and write to those attached."""
    forge_seconds_between_requests: float = Field(default=0.25, ge=0, le=60)
    """GitHub asks integrators to pause; a forge of one's own needs none."""
    forge_seconds_between_writes: float = Field(default=1.0, ge=0, le=60)
    forge_concurrency: int = Field(default=4, ge=1, le=64)
    """How many requests to the forge are under way at once."""
    repositories_private: bool = True
    """Whether new repositories are private."""
    golden_paths: Path = Path(__file__).resolve().parents[2] / "golden_paths"
    """The directory of golden paths."""
    platform_url: str = "http://127.0.0.1:8000"
    """Where workflows find the platform's API; becomes the repository variable SLIPWAY_URL."""

    @field_validator("forge_url", "platform_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if not url.startswith(("https://", "http://")):
            raise ValueError("begins with https:// or http://")
        return url.rstrip("/")

"""This service's knobs. `SLIPWAY_CICD_…` variables of the environment."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class CicdSettings(BaseSettings):
    """Where the forge is, and how to treat it."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_CICD_", frozen=True, extra="ignore")

    forge_url: str = "https://api.github.com"
    """Base URL of GitHub's REST API, or of what answers like it (GitHub Enterprise: `https://<host>/api/v3`)."""
    forge_token_file: Path | None = None
    """A token that may create and delete repositories in the organisations used, and write to those attached. Either
    this or a GitHub App."""
    github_app_id: int | None = Field(default=None, gt=0)
    """A GitHub App to sign in as; the three settings of it go together."""
    github_app_installation_id: int | None = Field(default=None, gt=0)
    """The App's installation in the organisation."""
    github_app_private_key_file: Path | None = None
    """The App's private key, in PEM."""
    forge_seconds_between_requests: float = Field(default=0.25, ge=0, le=60)
    """GitHub asks integrators to pause; a forge of one's own needs none."""
    forge_seconds_between_writes: float = Field(default=1.0, ge=0, le=60)
    forge_concurrency: int = Field(default=4, ge=1, le=64)
    """How many requests to the forge are under way at once."""
    repositories_private: bool = True
    """Whether new repositories are private."""
    repositories_with_work: Literal["keep", "archive"] = "keep"
    """What becomes of a repository that the platform made and people have worked in, once its environment is deleted.
    It is never deleted."""
    production_reviewers: Annotated[tuple[str, ...], NoDecode] = Field(default=(), max_length=6)
    """Who may agree to a production deployment, separated by commas: `team/<slug>`, `user/<login>`. GitHub asks one of
    them before the job runs; it has that for public repositories, and for private ones by plan."""
    production_approvals: int | None = Field(default=None, ge=0, le=6)
    """How many people have to agree to a change of the branch that a production environment deploys from, in a
    repository that the platform makes; 0 only keeps it from being rewritten or removed. Without it the branch is as the
    organisation's own rules have it."""
    golden_paths: Path = Path(__file__).resolve().parents[2] / "golden_paths"
    """The directory of golden paths."""
    platform_url: str = "http://127.0.0.1:8000"
    """Where workflows find the platform's API; becomes the repository variable SLIPWAY_URL."""

    tickets_repository: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}$")
    """Where feedback becomes tickets, `owner/name`; without it nobody opens any."""
    tickets_look_seconds: float = Field(default=60, ge=1, le=3600)
    """How often the tickets are looked at for what has become of them."""

    @field_validator("production_reviewers", mode="before")
    @classmethod
    def _separated(cls, given: object) -> object:
        return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given

    @field_validator("production_reviewers")
    @classmethod
    def _are_reviewers(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for reviewer in given:
            if not re.fullmatch(r"(?:team|user)/[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?", reviewer):
                raise ValueError("a reviewer is written team/<slug> or user/<login>")
        return given

    @field_validator("forge_url", "platform_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if not url.startswith(("https://", "http://")):
            raise ValueError("begins with https:// or http://")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _signs_in_one_way(self) -> Self:
        app = (self.github_app_id, self.github_app_installation_id, self.github_app_private_key_file)
        if any(app) and not all(app):
            raise ValueError(
                "a GitHub App needs all of SLIPWAY_CICD_GITHUB_APP_ID, SLIPWAY_CICD_GITHUB_APP_INSTALLATION_ID and"
                " SLIPWAY_CICD_GITHUB_APP_PRIVATE_KEY_FILE"
            )
        if any(app) == (self.forge_token_file is not None):
            raise ValueError("set either SLIPWAY_CICD_FORGE_TOKEN_FILE or the three SLIPWAY_CICD_GITHUB_APP_… settings")
        return self

"""The knobs of the catalog."""

import os

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class CatalogSettings(BaseSettings):
    """Read from `SLIPWAY_CATALOG_*` variables of the environment."""

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_CATALOG_", frozen=True, extra="ignore")

    fetch_batch: int = Field(default=500, ge=1, le=5000)
    """How many messages one fold takes at most."""
    stall_after_seconds: float = Field(default=300, gt=0)
    """A run without progress for so long is said to have stalled."""
    sweep_seconds: float = Field(default=5, gt=0)
    """How often the catalog looks for stalled runs, for decisions nobody has heard, for messages to lay aside."""
    max_lag_seconds: float = Field(default=60, gt=0)
    """The process is not ready while the oldest message that is not folded is older than this."""
    warn_before_seconds: tuple[float, ...] = (172_800, 7_200, 1_800)
    """How long before its end an environment's owner is told."""
    renews_for_seconds: float = Field(default=604_800, gt=0)
    """How long a preview lives from a deployment on, at the least; 30 days from its creation at most."""
    drift_check_seconds: float = Field(default=3600, gt=0)
    """How often an environment is held against its desired state."""
    timer_sweep_seconds: float = Field(default=900, gt=0)
    """How often every timer is set again, so that a lost stream of timers heals by itself."""
    remembered_environments: int = Field(default=2000, ge=0)
    """Views kept in memory, so that folding need not read them back."""
    rebuild_workers: int = Field(default_factory=lambda: min(2, os.cpu_count() or 1), ge=1, le=64)
    """Processes that fold views anew while somebody rebuilds them; with 1 the catalog does that itself."""

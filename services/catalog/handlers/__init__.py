"""The catalog's deeds: folding the log (`folding`), and what the clock brings about (`timekeeping`)."""

from services.catalog.handlers.folding import Handlers
from services.catalog.handlers.timekeeping import Timekeeper

__all__ = ["Handlers", "Timekeeper"]

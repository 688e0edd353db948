"""The catalog's deeds: folding the log (`folding`), what the clock brings about (`timekeeping`), and telling the past
(`remembering`), how the platform does and who did what (`reviewing`); and facts from outside (`signals`)."""

from services.catalog.handlers.folding import Handlers
from services.catalog.handlers.remembering import Remembering
from services.catalog.handlers.reviewing import Reviewing
from services.catalog.handlers.signals import Hearing
from services.catalog.handlers.timekeeping import Timekeeper

__all__ = ["Handlers", "Hearing", "Remembering", "Reviewing", "Timekeeper"]

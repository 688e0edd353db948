"""What people think of the platform, as they may say it."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from services.gateway.domain.admission import Ask

Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)]


class GiveFeedback(Ask):
    """A word to the platform team."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=2000)]
    page: str = Field(default="", max_length=300)
    """The page that it is about; a path of the portal."""

    @field_validator("page")
    @classmethod
    def _is_ours(cls, page: str) -> str:
        if page and (not page.startswith("/") or page.startswith("//") or not page.isprintable()):
            raise ValueError("must be a path of the portal")
        return page


class AnswerSurvey(Ask):
    """How satisfied somebody is, from 1 (not at all) to 5 (very)."""

    score: int = Field(ge=1, le=5)
    text: Words = ""


def quarter(moment: datetime) -> str:
    """The quarter of a year in which everybody is asked once: `2026-Q4`."""
    return f"{moment.year}-Q{(moment.month + 2) // 3}"

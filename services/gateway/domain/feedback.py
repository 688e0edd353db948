"""What people think of the platform, as they may say it."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints, field_validator

from services.gateway.domain.admission import Ask

Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)]


class GiveFeedback(Ask):
    """A word to the platform team."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=2000)]
    page: str = Field(default="", max_length=300)
    """The page that it is about; a path of the portal."""
    run_id: UUID | None = None
    """The run that it is about."""

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


def quarter_begins(moment: datetime) -> datetime:
    """The first moment of a moment's quarter, in UTC."""
    moment = moment.astimezone(UTC)
    first = 3 * ((moment.month - 1) // 3) + 1
    return moment.replace(month=first, day=1, hour=0, minute=0, second=0, microsecond=0)


def next_quarter_begins(moment: datetime) -> datetime:
    """The first moment of the quarter after a moment's, in UTC: when everybody is asked again."""
    begins = quarter_begins(moment)
    return (
        begins.replace(year=begins.year + 1, month=1) if begins.month == 10 else begins.replace(month=begins.month + 3)
    )

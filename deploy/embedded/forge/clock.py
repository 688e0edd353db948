"""The time as GitHub writes it: ISO 8601 in UTC, whole seconds, `Z`."""

from datetime import UTC, datetime


def timestamp(at: datetime | None = None) -> str:
    """`at`, or now, as `2026-11-23T09:15:00Z`."""
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(text: str) -> datetime:
    """An instant from ISO 8601; one without an offset is taken as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

"""Webhooks, and what they are told."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from contracts.envelope import Event
from contracts.webhooks import Webhook
from services.notifier.domain.news import News, Ownership
from tests import samples
from tests.unit.notifier import events

MADE_AT = samples.AT - timedelta(hours=1)


def hook(**changes: Any) -> Webhook:
    """An active webhook of the team payments, an hour older than the samples' events."""
    values: dict[str, Any] = {
        "id": uuid4(),
        "team": "payments",
        "url": "https://hooks.test/x",
        "created_by": "ada",
        "created_at": MADE_AT,
        "updated_at": MADE_AT,
        **changes,
    }
    return Webhook(**values)


def news(event: Event | None = None, *, team: str = "payments", golden_path: str = "nodejs-api") -> News:
    """An event (by default that an environment is ready) of an environment of this team."""
    said = event or events.ready()
    return News(said, said.subject, Ownership(team, golden_path))

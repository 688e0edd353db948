"""What a team is told: pure rules from an event to an announcement, in words, without a thought for Slack.

Invariant: text that a person or another service wrote stays apart from ours (`Told`), so that whoever renders an
announcement knows what to escape; and every list has an end.
"""

from services.notifier.domain.announcements import (
    ITEMS_SHOWN,
    Announcement,
    Command,
    Fact,
    Items,
    Link,
    Piece,
    Told,
    Tone,
)
from services.notifier.domain.life import webhook_disabled
from services.notifier.domain.telling import Announced, Channels, announce, is_over, is_stale
from services.notifier.domain.words import duration, moment, remaining

__all__ = [
    "ITEMS_SHOWN",
    "Announced",
    "Announcement",
    "Channels",
    "Command",
    "Fact",
    "Items",
    "Link",
    "Piece",
    "Told",
    "Tone",
    "announce",
    "duration",
    "is_over",
    "is_stale",
    "moment",
    "remaining",
    "webhook_disabled",
]

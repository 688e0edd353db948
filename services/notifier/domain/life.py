"""What happens to an environment besides its runs: its time runs out, or it is no more what its commit says."""

from datetime import datetime

from contracts.events import DriftDetected, EnvironmentExpired, EnvironmentExpiring
from contracts.values import EnvironmentSpec
from contracts.webhooks import Webhook
from services.notifier.domain.announcements import Announcement, Command, Fact, Link, Piece, Told
from services.notifier.domain.receivers import parse
from services.notifier.domain.words import (
    environment_link,
    facts,
    moment_near,
    remaining,
    resources,
)


def expiring(event: EnvironmentExpiring, platform_url: str, now: datetime) -> Announcement:
    """A warning, with what can be done about it."""
    name, end = event.subject, event.data.expires_at or now
    keep: tuple[Piece, ...] = (
        "Extend: ",
        Command(f"slipway extend {name} --ttl 7d"),
        " · Keep: ",
        Command(f'slipway keep {name} --reason "…"'),
    )
    return Announcement(
        tone="warning",
        title=f"{name} expires in {remaining(end - now)} ({moment_near(end, now)})",
        paragraphs=(keep, ("After that it is deleted, with its data.",)),
        facts=_facts(event.data.spec),
        links=environment_link("Extend or keep", event, platform_url),
    )


def expired(event: EnvironmentExpired, platform_url: str, now: datetime) -> Announcement:
    """Its time is up."""
    end = event.data.expires_at
    since = f"Its time was up at {moment_near(end, now)}. " if end else "Its time was up. "
    return Announcement(
        tone="gone",
        title=f"{event.subject} has expired",
        paragraphs=((f"{since}It is being deleted now; work in its repository stays.",),),
        facts=_facts(event.data.spec),
        links=environment_link("See the environment", event, platform_url),
    )


def _facts(spec: EnvironmentSpec) -> tuple[Fact, ...]:
    # The title says when, and after an extension the desired state would say it differently.
    return facts(spec.model_copy(update={"expires_at": None}))


def drifted(event: DriftDetected, platform_url: str) -> Announcement:
    """What exists differs from what the commit says, or does so no longer."""
    data = event.data
    if not data.differing:
        return Announcement(
            tone="good",
            title=f"{event.subject} is as it should be again",
            paragraphs=(("What exists is what its commit says.",),),
            links=environment_link("See the environment", event, platform_url),
        )
    return Announcement(
        tone="warning",
        title=f"{event.subject} has drifted",
        paragraphs=(
            ("What exists is not what its commit says: somebody or something changed it from outside.",),
            (_what_follows(data.spec),),
        ),
        facts=facts(data.spec),
        items=resources("Different or missing", data.differing),
        links=environment_link("See the differences", event, platform_url),
    )


def _what_follows(spec: EnvironmentSpec) -> str:
    # As the catalog decides it: production may have been changed by hand in an emergency.
    if spec.kind == "production":
        return "Production is not repaired by itself: look at the differences, then update it or change it back."
    return "It is being repaired by itself; you will hear how that ends."


def webhook_disabled(hook: Webhook, platform_url: str) -> Announcement:
    """Nothing more is sent to a webhook. Its URL may hold a token, so only its host is told."""
    again: tuple[Piece, ...] = (
        "When its receiver works again: ",
        Command(f"slipway webhooks test {hook.id}"),
        " and ",
        Command(f"slipway webhooks resume {hook.id}"),
    )
    named = (Fact("What for", (Told(hook.description),)),) if hook.description else ()
    return Announcement(
        tone="bad",
        title="A webhook is disabled",
        paragraphs=((Told(hook.state_reason),), ("Nothing more is sent to it.",), again),
        facts=(Fact("Receiver", (Told(parse(hook.url).authority),)), *named, Fact("Team", (hook.team,))),
        links=(Link("See the webhook", f"{platform_url}/webhooks/{hook.id}"),) if platform_url else (),
    )

"""What the platform team and everybody around it has done: feedback with its tickets, webhooks, messages, rollouts."""

from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from contracts.feedback import TicketView
from contracts.signals import Reply
from contracts.values import Resource
from contracts.webhooks import SentNotification, Webhook
from services.gateway.domain.feedback import GiveFeedback
from services.gateway.domain.rollouts import Member, Rehearsal, Rollout
from tests.browser.stack import Stack
from tests.unit.gateway.rig import principal

LONG: Final = "a-name-that-has-exactly-40-characters-42"
HOOK: Final = UUID(int=70)
ROLLOUT: Final = UUID(int=71)
REHEARSED: Final = UUID(int=72)


async def say(stack: Stack) -> None:
    """Feedback: waiting, answered at length, done, not planned."""
    said = []
    for text in (
        "The log of a run is hard to read on a phone.\n\nEspecially the long lines.",
        f"Names like {LONG} do not fit",
        "A golden path for Python workers, please",
        "It is all rather good",
    ):
        ask = GiveFeedback(text=text, page="/runs" if "log" in text else "")
        said.append(await stack.rig.gateway.listening.feedback(principal(), ask, str(uuid4())))
    now = stack.clock.now()
    reply = Reply(author="grace", text="Lines wrap now.\n\nLook again, and tell us: <b>is it</b> better?", at=now)
    for number, (one, state, outcome, of) in enumerate(
        zip(
            said[:3],
            ("open", "closed", "closed"),
            (None, "completed", "not_planned"),
            (reply, None, reply),
            strict=True,
        )
    ):
        stack.rig.voices.tickets[one.id] = TicketView.model_validate(
            {
                "ticket": f"platform/feedback#{number + 1}",
                "title": " ".join(one.data.text.split())[:80],
                "url": f"https://forge.test/platform/feedback/issues/{number + 1}",
                "opened_at": now,
                "state": state,
                "outcome": outcome,
                "replies": 3 if of else 0,
                "reply": of,
            }
        )


def notify(stack: Stack) -> None:
    """Webhooks in each state, deliveries that arrived and that did not, messages in Slack."""
    now, notifier = stack.clock.now(), stack.rig.notifier
    for number, state in enumerate(("active", "paused", "disabled", "active")):
        url = f"https://hooks.example.com/slipway/{LONG}?token=xyz" if number else "https://ci.example.com/"
        notifier.hooks[UUID(int=HOOK.int - number)] = Webhook(
            id=UUID(int=HOOK.int - number),
            team="payments",
            url=url,
            kinds=("environment_ready", "environment_failed") if number < 2 else (),
            environment=LONG if number == 1 else None,
            description="" if number else "Redraws the wall in the hall",
            state=state,
            state_reason="It answered 410 Gone." if state == "disabled" else "",
            created_by="ada",
            created_at=now,
            updated_at=now,
            failing_since=now - timedelta(hours=5) if number == 3 else None,
            delivered_at=now if number == 0 else None,
        )
    for answers, kind, environment in (
        (200, "environment_ready", "demo-api"),
        (200, "environment_ready", LONG),
        (500, "environment_failed", "broken-api"),
    ):  # fmt: skip
        notifier.answers = answers
        notifier.deliver(HOOK, kind, environment)
    notifier.answers = 200
    states = ("sent", "failed", "waiting", "skipped", "sending", "sent")
    for number, state in enumerate(states):
        notifier.told.append(
            SentNotification(
                id=str(number),
                way="webhook" if number % 2 else "slack",
                target="hooks.example.com" if number % 2 else "deployments",
                webhook_id=HOOK if number % 2 else None,
                event_id=UUID(int=number),
                kind=("environment_ready", "environment_failed", "environment_expiring")[number % 3],
                environment=("demo-api", LONG, "broken-api")[number % 3],
                team="payments",
                state=state,
                attempts=1 + 2 * (number % 2),
                at=now - timedelta(minutes=11 * (len(states) - number)),
            )
        )


def roll_out(stack: Stack) -> None:
    """A rollout with an environment in each state, and one that waits for somebody to look at its rehearsal."""
    now = stack.clock.now()
    found = Rehearsal("changed", "0" * 64, {"create": 1, "update": 2, "replace": 0, "destroy": 0})
    lost = Resource(kind="database", id="apps/env_demo_api")
    members = [
        Member("demo-api", UUID(int=1), "payments", "preview", "1.0.0", "upgraded", found, 0, run_id=UUID(int=1)),
        Member("busy-api", UUID(int=2), "payments", "preview", "1.0.0", "begun", found, 1, run_id=UUID(int=2)),
        Member("ledger", UUID(int=3), "payments", "staging", "0.9.0", "pending", replace(found, outcome="unchanged")),
        Member(LONG, UUID(int=4), "payments", "production", "1.0.0", "failed", found, 1, reason="OpenBao is sealed."),
        Member(
            "other-api", UUID(int=5), "search", "preview", "1.0.0", "held",
            Rehearsal("loses_data", "0" * 64, {"replace": 1}, (lost,)),
            reason="database apps/env_demo_api would lose its data. Take such ones along with include_replacing.",
        ),
        Member("gone-api", UUID(int=6), "search", "preview", "1.0.0", "skipped", found, 2, reason="It is gone."),
    ]  # fmt: skip
    waiting = tuple(replace(member, state="pending", run_id=None, reason="") for member in members[:4])
    stack.rig.rollout_store.rows |= {
        ROLLOUT: Rollout(
            ROLLOUT, b"", "nodejs-api", "1.1.0", "pat", now - timedelta(minutes=9), status="stopped", phase="batches",
            reason=f"{LONG}: OpenBao is sealed.", members=tuple(members),
        ),
        REHEARSED: Rollout(
            REHEARSED, b"", "worker", "2.0.0", "pat", now - timedelta(minutes=1), kinds=("preview", "staging"),
            status="paused", phase="canaries", members=(*waiting, members[4]),
            reason="The rehearsal is over. Look at it, and resume or cancel.",
        ),
    }  # fmt: skip

"""When a webhook is told of something, what follows from an attempt, and how it is signed."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from chassis.clock import FixedClock
from chassis.signing import SigningKey
from contracts.events import BY_KIND
from contracts.signals import SIGNAL_TYPES
from contracts.webhooks import OUTWARD_KINDS, ChangeWebhook, CreateWebhook, RotateSecret, TestWebhook, Webhook
from services.notifier.adapters.memory import MemoryLedger, MemoryMessenger
from services.notifier.adapters.memory_webhooks import MemoryReceivers, MemoryWebhooks
from services.notifier.adapters.receivers import _retry_after, _shown, _signed
from services.notifier.domain import Channels
from services.notifier.domain.webhooks import (
    MOST_OF_A_TEAM,
    RETRY_DELAYS_SECONDS,
    Consequence,
    Reply,
    consequence,
    generations,
    is_wanted,
)
from services.notifier.handlers import Handlers
from services.notifier.handlers.delivering import Delivering, Sending
from services.notifier.handlers.subscribing import Directory, Subscribing
from services.notifier.ports import Call
from tests import samples
from tests.unit.notifier import events
from tests.unit.notifier.hooks import hook, news
from tests.waiting import until

KEY = SigningKey(b"w" * 32)


def after(reply: Reply | str, *, of: Webhook | None = None, tries: int = 0, chance: float = 0.0) -> Consequence:
    return consequence(
        of or hook(),
        tries,
        reply,
        began_at=samples.AT,
        ended_at=samples.AT + timedelta(seconds=1),
        chance=lambda: chance,
    )


def waits(one: Consequence) -> float:
    assert one.next_attempt_at is not None
    return (one.next_attempt_at - samples.AT).total_seconds() - 1


# -- whom to tell ------------------------------------------------------------------------------------------------------


def test_every_outward_kind_is_an_event_or_a_fact() -> None:
    assert set(OUTWARD_KINDS) <= BY_KIND.keys() | {signal.kind for signal in SIGNAL_TYPES}


@pytest.mark.parametrize(
    ("of", "wanted"),
    [
        (hook(), True),
        (hook(kinds=("environment_ready",)), True),
        (hook(kinds=("environment_failed",)), False),
        (hook(environment="demo-api"), True),
        (hook(environment="other"), False),
        (hook(golden_path="nodejs-api"), True),
        (hook(golden_path="worker"), False),
        (hook(team="search"), False),
        (hook(state="paused"), False),
        (hook(state="disabled"), False),
        (hook(created_at=samples.AT + timedelta(minutes=1)), False),
    ],
)
def test_a_webhook_is_told_of_what_its_team_asked_for_and_of_nothing_before_it(of: Webhook, wanted: bool) -> None:
    assert is_wanted(of, news()) is wanted


# -- what follows from an attempt --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_an_arrival(status: int) -> None:
    assert after(Reply(status)).state == "delivered"


@pytest.mark.parametrize("reply", [Reply(500), Reply(404), Reply(302), Reply(199), "It cannot be connected to."])
def test_anything_else_is_tried_ten_times_over_three_days(reply: Reply | str) -> None:
    delays = [waits(after(reply, tries=tries)) for tries in range(len(RETRY_DELAYS_SECONDS))]

    assert delays == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert after(reply, tries=len(RETRY_DELAYS_SECONDS)).state == "failed"


def test_what_failed_together_does_not_come_back_together() -> None:
    assert waits(after(Reply(500), tries=1, chance=0.0)) == 300
    assert waits(after(Reply(500), tries=1, chance=1.0)) == pytest.approx(330)


@pytest.mark.parametrize(("status", "asked", "delay"), [(429, 60, 60), (503, 1, 5), (503, 1e9, 86_400), (500, 60, 5)])
def test_a_busy_receiver_gets_the_time_that_it_asks_for(status: int, asked: float, delay: float) -> None:
    assert waits(after(Reply(status, retry_after_seconds=asked))) == delay


def test_a_receiver_that_is_gone_ends_its_webhook() -> None:
    assert after(Reply(410)).disable == "Its receiver answered 410: it is gone for good."


def test_five_days_without_an_arrival_end_a_webhook() -> None:
    failing = hook(failing_since=samples.AT - timedelta(days=5))

    ended = after("It cannot be connected to.", of=failing)

    assert (ended.state, ended.next_attempt_at) == ("failed", None)
    assert ended.disable is not None
    assert "5 days" in ended.disable
    assert after(Reply(500), of=hook(failing_since=samples.AT - timedelta(days=4))).disable is None
    assert after(Reply(200), of=failing).disable is None


def test_a_redirect_is_named_as_one() -> None:
    assert "redirects are not followed" in str(after(Reply(307)).attempt.error)


# -- signatures --------------------------------------------------------------------------------------------------------


def test_a_delivery_verifies_with_the_secret_that_was_shown_and_with_no_other() -> None:
    subscription, body = uuid4(), b'{"specversion":"1.0"}'
    secret = KEY.secret(subscription, 1)
    headers = _signed(Call("https://hooks.test/", uuid4(), body, datetime.now(UTC), (secret,)))

    assert Verifier(secret.get_secret_value()).verify(body, headers) == {"specversion": "1.0"}
    for other in (KEY.secret(subscription, 2), KEY.secret(uuid4(), 1), SigningKey(b"x" * 32).secret(subscription, 1)):
        with pytest.raises(WebhookVerificationError):
            Verifier(other.get_secret_value()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(secret.get_secret_value()).verify(body + b" ", headers)


def test_for_a_day_after_a_rotation_both_secrets_verify() -> None:
    rotated = hook(generation=3, rotated_at=samples.AT)

    assert generations(rotated, samples.AT + timedelta(hours=23)) == (3, 2)
    assert generations(rotated, samples.AT + timedelta(hours=25)) == (3,)
    assert generations(hook(), samples.AT) == (1,)
    secrets = tuple(KEY.secret(rotated.id, generation) for generation in (3, 2))
    headers = _signed(Call("https://hooks.test/", uuid4(), b"{}", datetime.now(UTC), secrets))
    for secret in secrets:
        assert Verifier(secret.get_secret_value()).verify(b"{}", headers) == {}


def test_a_key_that_is_too_short_is_no_key() -> None:
    with pytest.raises(ValueError, match="openssl rand -hex 32"):
        SigningKey(b"short")


# -- answers -----------------------------------------------------------------------------------------------------------


def test_an_answer_is_kept_as_harmless_text() -> None:
    assert _shown(b"a\x00b\x1b[31mc\xff\nd" + b"x" * 5000).startswith("ab[31mc�\nd")
    assert len(_shown(b"x" * 5000)) == 500


@pytest.mark.parametrize(
    ("text", "seconds"), [("120", 120.0), ("", None), ("soon", None), ("-5", None), ("9" * 400, None), ("1.5", None)]
)
def test_retry_after_is_read_as_seconds(text: str, seconds: float | None) -> None:
    assert _retry_after(text) == seconds


def test_retry_after_is_read_as_a_date() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=90)

    assert _retry_after(f"{soon:%a, %d %b %Y %H:%M:%S} GMT") == pytest.approx(90, abs=5)
    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


# -- deeds -------------------------------------------------------------------------------------------------------------


class Desk:
    """Everything about webhooks, on twins."""

    def __init__(self, answer: Callable[[Call], Reply | str] = lambda _: Reply(204)) -> None:
        self.clock = FixedClock(samples.AT)
        self.ledger = MemoryLedger(self.clock)
        self.messenger = MemoryMessenger(self.clock)
        self.store = MemoryWebhooks(self.ledger)
        self.receivers = MemoryReceivers(answer)
        self.directory = Directory(self.store)
        self.sending = Sending(self.receivers, KEY.secret, self.clock, lambda: 0.0)
        self.subscribing = Subscribing(self.store, self.receivers, self.sending, self.directory, self.clock)
        self.handlers = Handlers(
            ledger=self.ledger,
            messenger=self.messenger,
            channels=Channels("deployments", {}),
            clock=self.clock,
            platform_url="http://slipway.test",
            stale_after=timedelta(hours=72),
        )
        self.delivering = Delivering(
            store=self.store,
            sending=self.sending,
            known=self.directory,
            clock=self.clock,
            stale_after=timedelta(hours=72),
            tell=self.handlers.tell_disabled,
        )

    async def make(self, **changes: object) -> Webhook:
        wish = {"id": uuid4(), "team": "payments", "url": "https://hooks.test/x", "created_by": "ada", **changes}
        made = (await self.subscribing.create(CreateWebhook.model_validate(wish))).webhook
        assert made is not None
        return made

    async def work(self) -> None:
        """Deliver what is due now, and wait for it."""
        await self.delivering._round()
        await until(lambda: not self.delivering._under_way, what="the deliveries")


def counted(outcome: str) -> float:
    """How many attempts have ended so. None where Prometheus would not see the series."""
    value = REGISTRY.get_sample_value("slipway_webhook_attempts_total", {"service": "notifier", "outcome": outcome})
    assert value is not None
    return value


async def test_nobody_wants_anything_while_there_is_no_webhook() -> None:
    desk = Desk()
    await desk.directory.refresh()
    assert not any(desk.delivering.wants(kind) for kind in OUTWARD_KINDS)

    await desk.make(kinds=("environment_ready",))
    assert [kind for kind in OUTWARD_KINDS if desk.delivering.wants(kind)] == ["environment_ready"]

    await desk.make()
    assert all(desk.delivering.wants(kind) for kind in OUTWARD_KINDS)


async def test_an_event_that_is_heard_twice_is_told_once_and_as_others_see_it() -> None:
    desk, event = Desk(), events.ready()
    made = await desk.make()
    for _ in range(2):
        await desk.delivering.hear([news(event), news(event)])
        await desk.work()

    [call] = desk.receivers.calls
    assert (call.url, call.event_id) == (made.url, event.id)
    told = json.loads(call.body)
    assert (told["specversion"], told["type"], told["subject"]) == ("1.0", "slipway.EnvironmentReady.v1", "demo-api")


async def test_old_news_is_not_told() -> None:
    desk = Desk()
    await desk.make()
    desk.clock.at += timedelta(hours=73)

    await desk.delivering.hear([news()])

    assert not desk.store.rows


async def test_a_failed_delivery_is_tried_again_when_its_time_comes_and_under_the_same_id() -> None:
    replies: Iterator[Reply | str] = iter([Reply(500, "boom"), "It did not answer within 10 seconds.", Reply(200)])
    desk = Desk(lambda _: next(replies))
    made = await desk.make()
    before = {outcome: counted(outcome) for outcome in ("waiting", "delivered", "failed")}
    await desk.delivering.hear([news()])
    for passed in (0, 4, 2, 299, 2):
        desk.clock.at += timedelta(seconds=passed)
        await desk.work()

    [delivery], _ = await desk.store.deliveries(made.id, None, 10)
    assert [(attempt.status_code, attempt.error) for attempt in delivery.attempts] == [
        (500, "It answered 500."),
        (None, "It did not answer within 10 seconds."),
        (200, None),
    ]
    assert (delivery.state, delivery.next_attempt_at) == ("delivered", None)
    assert len({call.event_id for call in desk.receivers.calls}) == 1
    assert {outcome: counted(outcome) - was for outcome, was in before.items()} == {
        "waiting": 2,
        "delivered": 1,
        "failed": 0,
    }


async def test_a_team_is_told_once_that_its_webhook_is_disabled_and_can_begin_anew() -> None:
    desk = Desk(lambda _: Reply(410))
    made = await desk.make(url="https://hooks.test/secret-token", description="the pager")
    await desk.delivering.hear([news()])
    for _ in range(3):
        desk.delivering._next.clear()
        await desk.work()

    [posted] = desk.messenger.channels["deployments"]
    assert posted.announcement.title == "A webhook is disabled"
    assert "secret-token" not in repr(posted.announcement)
    gone = await desk.store.find(made.id)
    assert gone is not None
    assert (gone.state, gone.state_reason) == ("disabled", "Its receiver answered 410: it is gone for good.")
    assert not desk.directory.active

    back = (await desk.subscribing.change(ChangeWebhook(id=made.id, state="active"))).webhook
    assert back is not None
    assert (back.state, back.state_reason, back.failing_since) == ("active", "", None)
    assert desk.directory.active


async def test_a_paused_webhook_can_be_tested_and_hears_nothing() -> None:
    desk = Desk()
    made = await desk.make()
    await desk.subscribing.change(ChangeWebhook(id=made.id, state="paused"))
    await desk.delivering.hear([news()])
    await desk.work()
    assert not desk.receivers.calls

    found = (await desk.subscribing.test(TestWebhook(id=made.id, requested_by="ada"))).delivery

    assert found is not None
    assert (found.state, found.attempts[0].status_code) == ("delivered", 204)
    told = json.loads(desk.receivers.calls[0].body)
    assert (told["type"], told["data"]["requested_by"]) == ("slipway.webhook.test", "ada")
    assert (await desk.store.deliveries(made.id, None, 10))[0] == [found]


async def test_a_test_that_fails_is_told_and_not_tried_again() -> None:
    desk = Desk(lambda _: "It cannot be connected to.")
    made = await desk.make()

    found = (await desk.subscribing.test(TestWebhook(id=made.id, requested_by="ada"))).delivery

    assert found is not None
    assert (found.state, found.next_attempt_at) == ("failed", None)
    assert found.attempts[0].error == "It cannot be connected to."


async def test_what_is_refused_names_the_field_and_the_rule() -> None:
    desk = Desk()
    made = await desk.make()
    wish = CreateWebhook(id=uuid4(), team="payments", url="https://127.0.0.1/", created_by="ada")

    [broken] = (await desk.subscribing.create(wish)).broken
    assert broken.field == "url"
    assert "SLIPWAY_NOTIFIER_WEBHOOKS_ALLOW" in broken.rule
    [broken] = (await desk.subscribing.change(ChangeWebhook(id=made.id, url="ftp://x/"))).broken
    assert broken.field == "url"
    for _ in range(MOST_OF_A_TEAM - 1):
        await desk.make()
    [broken] = (await desk.subscribing.create(wish.model_copy(update={"url": "https://hooks.test/"}))).broken
    assert (broken.field, str(MOST_OF_A_TEAM) in broken.rule) == ("team", True)


async def test_a_rotation_that_is_asked_for_twice_happens_once() -> None:
    desk = Desk()
    made = await desk.make()
    for _ in range(2):
        rotated = (await desk.subscribing.rotate(RotateSecret(id=made.id, generation=1))).webhook
        assert rotated is not None
        assert (rotated.generation, rotated.rotated_at) == (2, samples.AT)

    await desk.delivering.hear([news()])
    await desk.work()
    assert desk.receivers.calls[0].secrets == (KEY.secret(made.id, 2), KEY.secret(made.id, 1))


def test_a_secret_does_not_show_itself() -> None:
    call = Call("https://hooks.test/", UUID(int=1), b"{}", samples.AT, (SecretStr("whsec_x"),))

    assert "whsec_x" not in repr(call)

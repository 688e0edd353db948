"""Calls to receivers over real sockets: what arrives, and what never leaves."""

import asyncio
import json
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chassis.clock import SystemClock
from chassis.signing import SigningKey
from contracts.webhooks import Delivery, Webhook
from deploy.embedded.ports import free_port
from deploy.embedded.processes import PROJECT
from services.notifier.adapters.memory_webhooks import MemoryWebhooks
from services.notifier.adapters.receivers import HttpReceivers, LookUp
from services.notifier.domain.receivers import Address, RefusedUrlError
from services.notifier.handlers.delivering import OF_EACH, Delivering, Sending
from services.notifier.handlers.subscribing import Directory
from services.notifier.ports import Call, UnreachableError
from tests.receivers import NO_CONTENT, Received, Receiver, answer, receiving
from tests.stand_ins import running, start
from tests.unit.notifier import events
from tests.unit.notifier.hooks import hook, news
from tests.waiting import until

LOOPBACK: Final = ip_network("127.0.0.0/8")
EXAMPLE: Final = PROJECT / "docs" / "examples" / "receive_webhook.py"
KEY: Final = SigningKey(b"w" * 32)


@asynccontextmanager
async def receivers(*, allow: bool = True, **more: Any) -> AsyncIterator[HttpReceivers]:
    made = HttpReceivers([LOOPBACK] if allow else [], **{"timeout_seconds": 30.0, **more})
    try:
        yield made
    finally:
        await made.close()


def call(url: str, of: Webhook | None = None) -> Call:
    one = of or hook(url=url)
    return Call(url, uuid4(), b'{"specversion":"1.0"}', datetime.now(UTC), (KEY.secret(one.id, 1),))


def leads_to(*answers: str) -> LookUp:
    """A name that leads to these addresses in turn, one for each time that it is looked up; then to the last."""
    left = list(answers)

    async def look_up(_: str, __: int) -> Sequence[Address]:
        return [ip_address(left.pop(0) if len(left) > 1 else left[0])]

    return look_up


async def test_a_receiver_gets_a_cloudevent_that_it_can_verify() -> None:
    one = hook()
    async with receiving() as receiver, receivers() as ours:
        reply = await ours.post(sent := call(receiver.url, one))

    [got] = receiver.received
    assert reply.status_code == 204
    assert got.line == "POST /hook?token=t HTTP/1.1"
    assert got.verified(KEY.secret(one.id, 1).get_secret_value()) == {"specversion": "1.0"}
    assert got.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert got.headers["webhook-id"] == str(sent.event_id)
    assert got.headers["user-agent"] == "Slipway"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"


async def test_what_is_not_allowed_gets_no_connection() -> None:
    async with receiving() as receiver, receivers(allow=False) as ours:
        for host in ("127.0.0.1", "localhost"):
            for scheme in ("http", "https"):
                url = f"{scheme}://{host}:{receiver.port}/"
                with pytest.raises(UnreachableError, match="SLIPWAY_NOTIFIER_WEBHOOKS_ALLOW"):
                    await ours.post(call(url))
                with pytest.raises(RefusedUrlError):
                    await ours.check(url)

    assert receiver.connections == 0


async def test_a_name_that_leads_inside_after_it_was_checked_gets_no_connection() -> None:
    async with receiving() as receiver, receivers(allow=False, look_up=leads_to("8.8.8.8", "127.0.0.1")) as ours:
        url = f"https://rebinds.test:{receiver.port}/"
        assert await ours.check(url) == url
        with pytest.raises(UnreachableError, match="Nothing was sent"):
            await ours.post(call(url))

    assert receiver.connections == 0


async def test_a_call_goes_to_the_address_that_was_judged_and_the_name_is_not_looked_up_again() -> None:
    async with receiving() as receiver:
        looked_up = leads_to("127.0.0.1", "192.0.2.1")
        async with receivers(look_up=looked_up) as ours:
            reply = await ours.post(call(f"http://hooks.test:{receiver.port}/x"))

    assert reply.status_code == 204
    assert receiver.received[0].headers["host"] == f"hooks.test:{receiver.port}"


async def test_no_redirect_is_followed() -> None:
    async with receiving() as target, receiving() as receiver, receivers() as ours:
        receiver.answers = [answer(307, Location=target.url)]
        assert (await ours.post(call(receiver.url))).status_code == 307

    assert target.connections == 0


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with receivers() as ours:
            await ours.post(call(receiver.url))

    assert (proxy.connections, receiver.connections) == (0, 1)


async def test_of_an_answer_a_few_kilobytes_are_read_and_none_is_waited_for_longer_than_it_may_take() -> None:
    async def endless(_: Received) -> bytes:
        return b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n" + b"x" * 2_000_000

    async def silent(_: Received) -> bytes:
        await asyncio.sleep(30)
        return NO_CONTENT

    async with receiving() as receiver, receivers() as patient, receivers(timeout_seconds=0.3) as ours:
        receiver.answers = [endless, silent]
        reply = await patient.post(call(receiver.url))
        assert (reply.status_code, reply.answer) == (200, "x" * 500)
        with pytest.raises(UnreachableError, match=r"did not answer within 0\.3 seconds"):
            await ours.post(call(receiver.url))


async def test_nobody_there_is_told_in_words() -> None:
    async def unknown(_: str, __: int) -> Sequence[Address]:
        raise socket.gaierror("unknown")

    async with receiving() as receiver:
        port = receiver.port
    async with receivers() as ours:
        with pytest.raises(UnreachableError, match="cannot be connected to"):
            await ours.post(call(f"http://127.0.0.1:{port}/"))
    async with receivers(look_up=unknown) as ours:
        assert await ours.check("https://nowhere.test/") == "https://nowhere.test/"
        with pytest.raises(UnreachableError, match="cannot be found"):
            await ours.post(call("https://nowhere.test/"))


def certified(directory: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server that shows a certificate for this name, and a client that trusts its issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = directory / "tls.crt", directory / "tls.key"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(public, private)
    return server, ssl.create_default_context(cafile=str(public))


async def test_the_certificate_must_be_for_the_name_and_not_for_the_address(tmp_path: Path) -> None:
    server, client = certified(tmp_path, "hooks.test")
    async with (
        receiving(server) as receiver,
        receivers(look_up=leads_to("127.0.0.1"), tls=client) as ours,
        receivers(look_up=leads_to("127.0.0.1")) as strangers,
    ):
        assert (await ours.post(call(f"https://hooks.test:{receiver.port}/"))).status_code == 204
        for refused, url in (
            (ours, f"https://other.test:{receiver.port}/"),
            (ours, f"https://127.0.0.1:{receiver.port}/"),
            (strangers, f"https://hooks.test:{receiver.port}/"),
        ):
            with pytest.raises(UnreachableError, match="certificate is not valid"):
                await refused.post(call(url))

    assert len(receiver.received) == 1


# -- delivering --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def delivering(store: MemoryWebhooks, clock: SystemClock) -> AsyncIterator[Delivering]:
    """A process that delivers what is in the store."""
    async with receivers() as ours:
        directory = Directory(store)
        await directory.refresh()
        sending = Sending(ours, KEY.secret, clock, lambda: 0.0)

        async def tell(_: object) -> None:
            raise AssertionError("nobody is to be told of anything")

        made = Delivering(
            store=store, sending=sending, known=directory, clock=clock, stale_after=timedelta(days=36500), tell=tell
        )
        running = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            await made.drain()
            await running


def refused(store: MemoryWebhooks) -> list[Delivery]:
    """Deliveries of which the first attempt failed."""
    every = (row.delivery for row in store.rows.values())
    return [one for one in every if one.attempts and one.attempts[0].error]


def receives(receiver: Receiver) -> Webhook:
    return hook(url=receiver.url)


async def test_a_slow_receiver_delays_nobody_else() -> None:
    done = asyncio.Event()

    async def slow(_: Received) -> bytes:
        await done.wait()
        return NO_CONTENT

    store = MemoryWebhooks()
    async with receiving() as stuck, receiving() as quick, delivering(store, SystemClock()) as process:
        stuck.answers = [slow] * 40
        for receiver in (stuck, quick):
            await store.add(receives(receiver), 50)
        await process.known.refresh()
        await process.hear([news(events.ready(f"env-{number}")) for number in range(40)])
        await until(lambda: len(quick.received) == 40, what="everything of the quick one")
        assert len(stuck.received) == OF_EACH
        done.set()
        await until(lambda: len(stuck.received) == 40, what="everything of the slow one")


async def test_two_processes_send_each_event_once_and_what_fails_again_until_it_arrives() -> None:
    store = MemoryWebhooks()
    async with (
        receiving() as receiver,
        delivering(store, clock := SystemClock()) as one,
        delivering(store, clock) as other,
    ):
        made = await store.add(receives(receiver), 50)
        receiver.answers = [answer(500, b"not now")]
        told = [news(events.ready(f"env-{number}")) for number in range(20)]
        for process in (one, other):
            await process.known.refresh()
            await process.hear(told)
        await until(lambda: len(receiver.received) == 20, what="every event")
        # It is noted a moment after the receiver has answered.
        [failed] = await until(lambda: refused(store), what="the note of the one that failed")
        assert failed.attempts[0].answer == "not now"
        await store.ask_again(made.id, failed.id, clock.now())
        one.sending.wake()
        await until(lambda: len(receiver.received) == 21, what="the one that failed")

        secret = KEY.secret(made.id, 1).get_secret_value()
        got = [received.verified(secret)["id"] for received in receiver.received]
        assert sorted(set(got)) == sorted(str(each.message.id) for each in told)
        assert got[20] == str(failed.event_id)
        assert json.loads(receiver.received[0].body)["type"] == "slipway.EnvironmentReady.v1"


async def test_the_example_of_a_receiver_takes_what_is_genuine_once(tmp_path: Path) -> None:
    one, port, secret = hook(), free_port(), tmp_path / "secret"
    secret.write_text(KEY.secret(one.id, 1).get_secret_value())
    child = start([sys.executable, str(EXAMPLE)], {"SECRET_FILE": str(secret), "PORT": str(port)}, tmp_path)
    url = f"http://127.0.0.1:{port}/"
    event = events.ready()
    genuine = Call(url, event.id, event.to_json(), datetime.now(UTC), (KEY.secret(one.id, 1),))

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    async with receivers() as ours:
        with running(child, listens):
            forged = replace(genuine, secrets=(KEY.secret(uuid4(), 1),))
            statuses = [(await ours.post(each)).status_code for each in (genuine, genuine, forged)]
            printed = [line for line in child.log.read_text().splitlines() if str(event.id) in line]

    assert statuses == [204, 204, 401]
    assert [line.split()[:2] for line in printed] == [["slipway.EnvironmentReady.v1", "demo-api"]]

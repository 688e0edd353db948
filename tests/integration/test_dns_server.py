"""What a client of dynamic DNS may rely on, asked of our server and of BIND 9 where it is installed."""

import contextlib
import shutil
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update
import pytest

from deploy.embedded.dns.keys import KeyFileError, parse_key
from deploy.embedded.ports import free_port
from tests.stand_ins import Child, running, start, start_module

ZONE = "slipway.localhost."
SECRET = "c2xpcHdheS10c2lnLXNlY3JldC1vZi0zMi1ieXRlcyE="
KEY = dns.tsig.Key("slipway.", SECRET, dns.tsig.HMAC_SHA256)
KEY_CLAUSE = f'key "slipway" {{\n\talgorithm hmac-sha256;\n\tsecret "{SECRET}";\n}};\n'
HOST = "127.0.0.1"
SECONDS = 5.0


@dataclass(frozen=True)
class Server:
    """Where the server under test listens, and how to begin it again on the same data."""

    port: int
    directory: Path
    kind: str

    def ask(self, name: str, rdtype: str = "A", *, tcp: bool = False) -> dns.message.Message:
        query = dns.message.make_query(name, rdtype)
        return self.send(query, tcp=tcp)

    def send(self, message: dns.message.Message, *, tcp: bool = False) -> dns.message.Message:
        exchange = dns.query.tcp if tcp else dns.query.udp
        return exchange(message, HOST, timeout=SECONDS, port=self.port)

    def update(self, *, key: dns.tsig.Key | None = KEY, zone: str = ZONE) -> dns.update.UpdateMessage:
        return dns.update.UpdateMessage(zone, keyring=key)

    def serial(self) -> int:
        return int(self.ask(ZONE, "SOA").answer[0][0].serial)

    def is_ready(self) -> bool:
        try:
            return dns.query.udp(dns.message.make_query(ZONE, "SOA"), HOST, timeout=0.2, port=self.port).rcode() == 0
        except (dns.exception.DNSException, OSError):
            return False

    def launch(self) -> Child:
        if self.kind == "bind9":
            return start(
                [str(shutil.which("named")), "-g", "-c", str(self.directory / "named.conf")],
                {},
                self.directory,
            )
        environment = {
            "SLIPWAY_DNS_PORT": str(self.port),
            "SLIPWAY_DNS_TSIG_FILE": str(self.directory / "tsig.key"),
            "SLIPWAY_DNS_DATA": str(self.directory / "data"),
        }
        return start_module("deploy.embedded.dns", environment, self.directory)


def _prepare(kind: str, directory: Path) -> Server:
    port = free_port()
    (directory / "tsig.key").write_text(KEY_CLAUSE)
    if kind == "bind9":
        (directory / "db.zone").write_text(
            f"{ZONE} 60 IN SOA ns.{ZONE} hostmaster.{ZONE} 1 3600 600 86400 5\n"
            f"{ZONE} 60 IN NS ns.{ZONE}\nns.{ZONE} 60 IN A 127.0.0.1\n"
        )
        (directory / "named.conf").write_text(
            f'include "{directory}/tsig.key";\n'
            f'options {{ directory "{directory}"; listen-on port {port} {{ {HOST}; }};'
            f' listen-on-v6 {{ none; }}; pid-file "{directory}/named.pid"; recursion no;'
            f' session-keyfile "{directory}/session.key";'
            f" allow-transfer {{ none; }}; notify no; }};\ncontrols {{ }};\n"
            f'zone "{ZONE}" {{ type primary; file "{directory}/db.zone"; journal "{directory}/db.jnl";'
            f" update-policy {{ grant slipway subdomain {ZONE} A AAAA CNAME TXT; }}; }};\n"
        )
    return Server(port, directory, kind)


@pytest.fixture(scope="module", params=["slipway", *(["bind9"] if shutil.which("named") else [])])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    prepared = _prepare(request.param, tmp_path_factory.mktemp("dns"))
    with running(prepared.launch(), prepared.is_ready):
        yield prepared


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    prepared = _prepare("slipway", tmp_path_factory.mktemp("ours"))
    with running(prepared.launch(), prepared.is_ready):
        yield prepared


def values(response: dns.message.Message) -> list[str]:
    return sorted(str(record) for rrset in response.answer for record in rrset)


@pytest.mark.parametrize("tcp", [False, True])
def test_the_zone_answers_for_its_own_records(server: Server, tcp: bool) -> None:
    soa = server.ask(ZONE, "SOA", tcp=tcp)
    assert soa.flags & dns.flags.AA
    assert not soa.flags & dns.flags.RA
    assert values(server.ask(ZONE, "NS", tcp=tcp)) == [f"ns.{ZONE}"]
    assert values(server.ask(f"ns.{ZONE}", tcp=tcp)) == [HOST]


def test_a_name_that_is_not_there_is_nxdomain_with_the_soa(server: Server) -> None:
    response = server.ask(f"nobody.{ZONE}")
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert response.authority[0].rdtype == dns.rdatatype.SOA
    assert response.authority[0].ttl == 5


def test_a_type_that_is_not_there_is_an_empty_answer_with_the_soa(server: Server) -> None:
    response = server.ask(f"ns.{ZONE}", "TXT")
    assert (response.rcode(), response.answer) == (dns.rcode.NOERROR, [])
    assert response.authority[0].rdtype == dns.rdatatype.SOA


def test_a_name_outside_the_zone_is_refused(server: Server) -> None:
    assert server.ask("example.com.").rcode() == dns.rcode.REFUSED
    assert server.ask(f"not{ZONE}").rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("tcp", [False, True])
def test_a_signed_update_is_answered_signed_and_seen_at_once(server: Server, tcp: bool) -> None:
    before = server.serial()
    update = server.update()
    update.replace(f"shop-{tcp}.{ZONE}", 60, "A", "127.0.0.1")
    update.replace(f"shop-{tcp}.{ZONE}", 60, "TXT", '"environment=shop; \\"x\\"" "second"')
    response = server.send(update, tcp=tcp)
    assert response.rcode() == dns.rcode.NOERROR
    assert response.had_tsig
    assert values(server.ask(f"SHOP-{tcp}.{ZONE}")) == [HOST]
    assert values(server.ask(f"shop-{tcp}.{ZONE}", "TXT")) == ['"environment=shop; \\"x\\"" "second"']
    assert server.serial() > before


def test_the_same_update_again_changes_nothing(server: Server) -> None:
    def change() -> dns.rcode.Rcode:
        update = server.update()
        update.replace(f"again.{ZONE}", 60, "A", "127.0.0.1")
        return server.send(update).rcode()

    assert change() == dns.rcode.NOERROR
    assert change() == dns.rcode.NOERROR
    assert values(server.ask(f"again.{ZONE}")) == [HOST]


def test_records_sets_and_names_can_be_deleted(server: Server) -> None:
    update = server.update()
    update.add(f"many.{ZONE}", 60, "A", "127.0.0.1", "127.0.0.2")
    update.add(f"many.{ZONE}", 60, "TXT", "one")
    server.send(update)

    one = server.update()
    one.delete(f"many.{ZONE}", "A", "127.0.0.2")
    server.send(one)
    assert values(server.ask(f"many.{ZONE}")) == [HOST]

    kind = server.update()
    kind.delete(f"many.{ZONE}", "A")
    server.send(kind)
    assert server.ask(f"many.{ZONE}").rcode() == dns.rcode.NOERROR
    assert values(server.ask(f"many.{ZONE}", "TXT")) == ['"one"']

    name = server.update()
    name.delete(f"many.{ZONE}")
    assert server.send(name).rcode() == dns.rcode.NOERROR
    assert server.ask(f"many.{ZONE}").rcode() == dns.rcode.NXDOMAIN


def test_aliases_are_followed_within_the_zone_and_exclude_other_records(server: Server) -> None:
    update = server.update()
    update.replace(f"www.{ZONE}", 60, "CNAME", f"real.{ZONE}")
    update.replace(f"real.{ZONE}", 60, "A", "127.0.0.9")
    update.replace(f"away.{ZONE}", 60, "CNAME", "example.com.")
    server.send(update)
    response = server.ask(f"www.{ZONE}")
    assert [r.rdtype for r in response.answer] == [dns.rdatatype.CNAME, dns.rdatatype.A]
    assert values(server.ask(f"away.{ZONE}")) == ["example.com."]

    second = server.update()
    second.add(f"www.{ZONE}", 60, "A", "127.0.0.1")
    assert server.send(second).rcode() == dns.rcode.NOERROR
    assert values(server.ask(f"www.{ZONE}", "CNAME")) == [f"real.{ZONE}"]
    assert len(server.ask(f"www.{ZONE}").answer) == 2


def test_a_broken_alias_says_nxdomain_beside_the_alias(server: Server) -> None:
    update = server.update()
    update.replace(f"dangling.{ZONE}", 60, "CNAME", f"gone.{ZONE}")
    server.send(update)
    response = server.ask(f"dangling.{ZONE}")
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert values(response) == [f"gone.{ZONE}"]
    assert response.authority[0].rdtype == dns.rdatatype.SOA


def test_a_ring_of_aliases_ends_in_servfail(server: Server) -> None:
    update = server.update()
    update.replace(f"ring-a.{ZONE}", 60, "CNAME", f"ring-b.{ZONE}")
    update.replace(f"ring-b.{ZONE}", 60, "CNAME", f"ring-a.{ZONE}")
    server.send(update)
    assert server.ask(f"ring-a.{ZONE}").rcode() == dns.rcode.SERVFAIL


def test_wildcards_and_empty_names_between_follow_the_standard(server: Server) -> None:
    update = server.update()
    update.replace(f"*.wild.{ZONE}", 60, "A", "127.0.0.7")
    update.replace(f"deep.below.{ZONE}", 60, "A", "127.0.0.8")
    server.send(update)
    assert values(server.ask(f"any.thing.wild.{ZONE}")) == ["127.0.0.7"]
    assert server.ask(f"any.wild.{ZONE}", "TXT").rcode() == dns.rcode.NOERROR
    between = server.ask(f"below.{ZONE}")
    assert (between.rcode(), between.answer) == (dns.rcode.NOERROR, [])


def test_prerequisites_decide_before_anything_changes(server: Server) -> None:
    first = server.update()
    first.absent(f"mine.{ZONE}")
    first.add(f"mine.{ZONE}", 60, "TXT", "owner=me")
    assert server.send(first).rcode() == dns.rcode.NOERROR

    def answered(prepare: str, *arguments: str) -> dns.rcode.Rcode:
        update = server.update()
        getattr(update, prepare)(*arguments)
        update.replace(f"mine.{ZONE}", 60, "A", "127.0.0.66")
        return server.send(update).rcode()

    assert answered("absent", f"mine.{ZONE}") == dns.rcode.YXDOMAIN
    assert answered("absent", f"mine.{ZONE}", "TXT") == dns.rcode.YXRRSET
    assert answered("present", f"other.{ZONE}") == dns.rcode.NXDOMAIN
    assert answered("present", f"mine.{ZONE}", "AAAA") == dns.rcode.NXRRSET
    assert answered("present", f"mine.{ZONE}", "TXT", "owner=you") == dns.rcode.NXRRSET
    assert values(server.ask(f"mine.{ZONE}")) == []
    assert answered("present", f"mine.{ZONE}", "TXT", "owner=me") == dns.rcode.NOERROR
    assert values(server.ask(f"mine.{ZONE}")) == ["127.0.0.66"]


def test_an_unsigned_update_is_refused(server: Server) -> None:
    update = server.update(key=None)
    update.replace(f"unsigned.{ZONE}", 60, "A", "127.0.0.1")
    assert server.send(update).rcode() == dns.rcode.REFUSED
    assert server.ask(f"unsigned.{ZONE}").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        (dns.tsig.Key("slipway.", "d3JvbmctYnV0LWxvbmctZW5vdWdoLXNlY3JldA=="), dns.tsig.PeerBadSignature),
        (dns.tsig.Key("stranger.", SECRET), dns.tsig.PeerBadKey),
    ],
    ids=["wrong secret", "unknown key"],
)
def test_a_badly_signed_update_is_told_why_and_changes_nothing(
    server: Server, key: dns.tsig.Key, complaint: type[Exception]
) -> None:
    update = server.update(key=key)
    update.replace(f"forged.{ZONE}", 60, "A", "127.0.0.1")
    with pytest.raises(complaint):
        server.send(update)
    assert server.ask(f"forged.{ZONE}").rcode() == dns.rcode.NXDOMAIN


def test_an_old_signature_is_refused_and_told_the_servers_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    update = server.update()
    update.replace(f"replayed.{ZONE}", 60, "A", "127.0.0.1")
    real_time = time.time
    with monkeypatch.context() as patch:
        patch.setattr("dns.message.time.time", lambda: real_time() - 3600)
        wire = update.to_wire()
    with contextlib.closing(socket.create_connection((HOST, server.port), SECONDS)) as connection:
        connection.sendall(struct.pack("!H", len(wire)) + wire)
        length = int.from_bytes(connection.recv(2), "big")
        answer = dns.message.from_wire(connection.recv(length), keyring=False)
    assert answer.rcode() == dns.rcode.NOTAUTH
    assert answer.tsig is not None
    assert answer.tsig[0].error == dns.rcode.BADTIME
    assert abs(int.from_bytes(answer.tsig[0].other, "big") - real_time()) < 60
    assert len(answer.tsig[0].mac) == 32
    assert server.ask(f"replayed.{ZONE}").rcode() == dns.rcode.NXDOMAIN


def test_an_update_of_another_zone_is_not_for_us(server: Server) -> None:
    update = server.update(zone="example.com.")
    update.replace("www.example.com.", 60, "A", "127.0.0.1")
    assert server.send(update).rcode() == dns.rcode.NOTAUTH


def test_a_foreign_name_in_an_update_of_our_zone_is_refused_whole(server: Server) -> None:
    update = server.update()
    update.replace(f"half.{ZONE}", 60, "A", "127.0.0.1")
    update.replace("www.example.com.", 60, "A", "127.0.0.1")
    assert server.send(update).rcode() == dns.rcode.NOTZONE
    assert server.ask(f"half.{ZONE}").rcode() == dns.rcode.NXDOMAIN


def test_the_zones_own_records_cannot_be_changed(server: Server) -> None:
    for rdtype, value in (("NS", "evil.example.com."), ("MX", "10 evil.example.com.")):
        update = server.update()
        update.replace(ZONE, 60, rdtype, value)
        assert server.send(update).rcode() == dns.rcode.REFUSED
    assert values(server.ask(ZONE, "NS")) == [f"ns.{ZONE}"]


def test_an_answer_too_long_for_a_datagram_says_so_and_comes_by_tcp(server: Server) -> None:
    update = server.update()
    for number in range(40):
        update.add(f"long.{ZONE}", 60, "TXT", f'"{number:03} {"x" * 90}"')
    server.send(update, tcp=True)
    query = dns.message.make_query(f"long.{ZONE}", "TXT", use_edns=False)
    short = dns.query.udp(query, HOST, timeout=SECONDS, port=server.port)
    assert short.flags & dns.flags.TC
    assert len(values(server.ask(f"long.{ZONE}", "TXT", tcp=True))) == 40


def test_malformed_messages_end_nothing(server: Server) -> None:
    query = dns.message.make_query(ZONE, "SOA").to_wire()
    junk = [
        b"",
        b"\x00",
        b"\xff" * 12,
        query[:-3],
        query + b"trailing",
        query[:4] + b"\xff\xff" + query[6:],
        query[:2] + bytes([query[2] | 0x80]) + query[3:],
        query[:12] + b"\xc0\x0c" * 100,
        query[:2] + b"\x28" + query[3:],
        bytes(65000),
    ]
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as datagrams:
        for message in junk:
            datagrams.sendto(message, (HOST, server.port))
    for message in junk:
        # The server may answer or hang up at any point, as it likes.
        with contextlib.suppress(OSError), socket.create_connection((HOST, server.port), SECONDS) as connection:
            connection.sendall(struct.pack("!H", len(message)) + message)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(100)
    assert server.serial() > 0


def test_several_messages_share_one_tcp_connection(server: Server) -> None:
    with contextlib.closing(socket.create_connection((HOST, server.port), SECONDS)) as connection:
        for _ in range(3):
            query = dns.message.make_query(ZONE, "SOA")
            dns.query.send_tcp(connection, query)
            answer, _ = dns.query.receive_tcp(connection)
            assert answer.id == query.id


def test_every_acknowledged_update_survives_kill_9(tmp_path: Path) -> None:
    server = _prepare("slipway", tmp_path)
    told: list[str] = []
    serial = 0
    for round_number in range(3):
        with running(server.launch(), server.is_ready) as child:
            assert server.serial() >= serial
            for number in range(10):
                name = f"r{round_number}n{number}.{ZONE}"
                update = server.update()
                update.replace(name, 60, "A", "127.0.0.1")
                if server.send(update).rcode() == dns.rcode.NOERROR:
                    told.append(name)
            serial = server.serial()
            child.kill()
    with running(server.launch(), server.is_ready) as child:
        assert len(told) == 30
        assert all(values(server.ask(name)) == [HOST] for name in told)
        assert server.serial() == serial
        assert child.stop() == 0


def test_a_damaged_zone_file_is_never_overwritten(tmp_path: Path) -> None:
    server = _prepare("slipway", tmp_path)
    zone = tmp_path / "data" / "slipway.localhost.zone"
    zone.parent.mkdir()
    zone.write_text("slipway.localhost. 60 IN A not-an-address\n")
    child = server.launch()
    assert child.process.wait(timeout=20) == 1
    assert "is damaged" in child.log.read_text()
    assert zone.read_text() == "slipway.localhost. 60 IN A not-an-address\n"


def test_what_a_full_disk_refuses_is_not_shown(tmp_path: Path) -> None:
    server = _prepare("slipway", tmp_path)
    with running(server.launch(), server.is_ready):
        # A directory in the way of the file that is written aside: any user's write fails, root's too.
        (tmp_path / "data" / "slipway.localhost.zone.new").mkdir()
        update = server.update()
        update.replace(f"unsaved.{ZONE}", 60, "A", "127.0.0.1")
        assert server.send(update).rcode() == dns.rcode.SERVFAIL
        assert server.ask(f"unsaved.{ZONE}").rcode() == dns.rcode.NXDOMAIN
        (tmp_path / "data" / "slipway.localhost.zone.new").rmdir()
        again = server.update()
        again.replace(f"unsaved.{ZONE}", 60, "A", "127.0.0.1")
        assert server.send(again).rcode() == dns.rcode.NOERROR


def test_an_unknown_edns_version_is_answered_badvers(ours: Server) -> None:
    query = dns.message.make_query(ZONE, "SOA")
    query.use_edns(1)
    assert ours.send(query).rcode() == dns.rcode.BADVERS


def test_the_zone_cannot_be_transferred(ours: Server) -> None:
    query = dns.message.make_query(ZONE, "AXFR", use_edns=False)
    assert ours.send(query, tcp=True).rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("text", [KEY_CLAUSE, f"slipway:hmac-sha256:{SECRET}\n", f"# note\n{KEY_CLAUSE}"])
def test_both_forms_of_key_file_are_read(text: str) -> None:
    assert parse_key(text, "file") == KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "slipway:hmac-md5:" + SECRET,
        "slipway:hmac-sha256:c2hvcnQ=",
        "slipway:hmac-sha256:%%%",
        KEY_CLAUSE.replace("};", ""),
    ],
    ids=["empty", "weak algorithm", "short secret", "no base64", "unclosed clause"],
)
def test_an_unusable_key_file_is_refused_without_telling_the_secret(text: str) -> None:
    with pytest.raises(KeyFileError) as refused:
        parse_key(text, "file")
    assert SECRET not in str(refused.value)
    assert str(refused.value).startswith("file:")

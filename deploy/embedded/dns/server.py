"""What a message gets for an answer, and the two transports it comes by.

Invariant: no datagram and no connection, however malformed, ends the server or another client's exchange; an
answer to an update leaves only after the zone is on disk. Responses (QR set) are never answered, so two
servers cannot be made to talk to each other.
"""

import asyncio
import contextlib
import struct
from typing import Literal, cast

import anyio.to_thread
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.tsig
import dns.update
import structlog

from deploy.embedded.dns import signatures, updates
from deploy.embedded.dns.answers import answer
from deploy.embedded.dns.zone import Zone

# What fits one IPv6 datagram everywhere: the DNS flag day 2020 recommendation.
_UDP_PAYLOAD_BYTES = 1232
_CLASSIC_UDP_BYTES = 512
_TCP_IDLE_SECONDS = 30.0
_TCP_CONNECTIONS = 256
_UPDATES_WAITING = 256
_HEADER_BYTES = 12
_QR_BYTE, _QR_BIT = 2, 0x80

log = structlog.get_logger(__name__)
Transport = Literal["udp", "tcp"]


class Responder:
    """Bytes in, bytes out (or None when silence is right), for one zone and one key."""

    def __init__(self, zone: Zone, key: dns.tsig.Key) -> None:
        self._zone = zone
        self._key = key
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0

    async def respond(self, wire: bytes, transport: Transport) -> bytes | None:
        """The answer to one message. Never raises for what the message holds."""
        if len(wire) < _HEADER_BYTES or wire[_QR_BYTE] & _QR_BIT:
            return None
        try:
            request = signatures.read(wire, self._key)
            if request.tsig_error is not None:
                log.warning("dns_signature_refused", error=dns.rcode.to_text(request.tsig_error, True))
                return signatures.refusal(request, self._key)
            response = await self._answer(request)
            return response.to_wire(max_size=_room(request.message, transport), prefer_truncation=True)
        except (dns.exception.DNSException, ValueError, struct.error, OverflowError) as error:
            log.info("dns_message_malformed", error=type(error).__name__, size_bytes=len(wire))
            return _bare(wire, dns.rcode.FORMERR)
        except Exception:
            # The last line of defence: a defect costs this one client a SERVFAIL, and is seen in the log.
            log.exception("dns_answer_failed")
            return _bare(wire, dns.rcode.SERVFAIL)

    async def _answer(self, request: signatures.Request) -> dns.message.Message:
        message = request.message
        response = dns.message.make_response(message, our_payload=_UDP_PAYLOAD_BYTES)
        if message.edns > 0:
            response.set_rcode(dns.rcode.BADVERS)
        elif message.opcode() == dns.opcode.QUERY:
            answer(self._zone, message, response)
        elif isinstance(message, dns.update.UpdateMessage):
            response.set_rcode(await self._update(message, signed=request.signed))
        else:
            response.set_rcode(dns.rcode.NOTIMP)
        return response

    async def _update(self, update: dns.update.UpdateMessage, *, signed: bool) -> dns.rcode.Rcode:
        if not signed:
            log.warning("dns_update_refused", reason="unsigned")
            return dns.rcode.REFUSED
        if self._waiting >= _UPDATES_WAITING:
            return dns.rcode.SERVFAIL
        self._waiting += 1
        try:
            updates.check_zone_section(update, self._zone.origin)
            async with self._one_at_a_time:
                changed = await anyio.to_thread.run_sync(
                    self._zone.change, lambda version: updates.apply(update, self._zone.origin, version)
                )
        except updates.UpdateRefusedError as refused:
            log.info("dns_update_refused", reason=str(refused))
            return refused.code
        except OSError:
            log.exception("dns_zone_not_saved")
            return dns.rcode.SERVFAIL
        finally:
            self._waiting -= 1
        if changed:
            log.info("dns_zone_updated", records=len(update.update))
        return dns.rcode.NOERROR


def _room(message: dns.message.Message, transport: Transport) -> int:
    """How many bytes the answer may have: what the client's EDNS says, within reason."""
    if transport == "tcp":
        return 65535
    offered = message.payload if message.edns >= 0 else _CLASSIC_UDP_BYTES
    return min(max(offered, _CLASSIC_UDP_BYTES), _UDP_PAYLOAD_BYTES)


def _bare(wire: bytes, code: dns.rcode.Rcode) -> bytes:
    """A header alone, for a message whose body cannot be trusted: its id and opcode, our code, no records."""
    opcode_and_rd = wire[_QR_BYTE] & 0x79
    return wire[:2] + bytes([_QR_BIT | opcode_and_rd, code & 0x0F]) + bytes(8)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's own datagram transport is no subclass of DatagramTransport.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.create_task(self._reply(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, data: bytes, addr: tuple[str, int]) -> None:
        response = await self._responder.respond(data, "udp")
        if response is not None and self._transport is not None:
            self._transport.sendto(response, addr)


class DnsServer:
    """The two listeners; an async context manager. `port` is the bound one (for port 0, the one it got)."""

    def __init__(self, responder: Responder, host: str, port: int) -> None:
        self._responder = responder
        self._host = host
        self.port = port
        self._connections = 0
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "DnsServer":
        tcp = await asyncio.start_server(self._serve, self._host, self.port)
        self.port = tcp.sockets[0].getsockname()[1]
        await self._stack.enter_async_context(tcp)
        loop = asyncio.get_running_loop()
        udp, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._responder), local_addr=(self._host, self.port)
        )
        self._stack.callback(udp.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection (RFC 7766): length-prefixed messages until it closes or idles."""
        if self._connections >= _TCP_CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        try:
            with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._exchange(reader, writer)
        finally:
            self._connections -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_TCP_IDLE_SECONDS):
            length = int.from_bytes(await reader.readexactly(2), "big")
            wire = await reader.readexactly(length)
        response = await self._responder.respond(wire, "tcp")
        if response is None:
            raise ConnectionAbortedError("a message that gets no answer ends its connection")
        writer.write(struct.pack("!H", len(response)) + response)
        async with asyncio.timeout(_TCP_IDLE_SECONDS):
            await writer.drain()

"""TSIG on both sides of a message (RFC 8945): who signed the request, and the answers to bad signatures.

Invariant: `read` says a message is signed only if its signature was checked against our key and our clock.
"""

import io
import struct
import time
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
from dns.rdtypes.ANY.TSIG import TSIG

_ADDITIONAL_COUNT_OFFSET = 10


@dataclass(frozen=True)
class Request:
    """A message as read: `signed` by our key, or not accepted for `tsig_error` (RFC 8945)."""

    message: dns.message.Message
    signed: bool
    tsig_error: dns.rcode.Rcode | None = None


def read(wire: bytes, key: dns.tsig.Key) -> Request:
    """Parses `wire` and checks its signature if it has one. Raises DNSException when it is malformed."""
    try:
        message = dns.message.from_wire(wire, keyring={key.name: key})
    except dns.message.UnknownTSIGKey:
        return _unaccepted(wire, dns.rcode.BADKEY)
    except dns.tsig.BadAlgorithm:
        return _unaccepted(wire, dns.rcode.BADKEY)
    except dns.tsig.BadSignature:
        return _unaccepted(wire, dns.rcode.BADSIG)
    except dns.tsig.BadTime:
        return _unaccepted(wire, dns.rcode.BADTIME)
    return Request(message, signed=message.had_tsig)


def _unaccepted(wire: bytes, code: dns.rcode.Rcode) -> Request:
    return Request(dns.message.from_wire(wire, keyring=False), signed=False, tsig_error=code)


def refusal(request: Request, key: dns.tsig.Key) -> bytes:
    """The NOTAUTH answer to a bad signature: unsigned, except BADTIME which is signed and tells our time."""
    claimed = request.message.tsig
    if claimed is None or request.tsig_error is None:
        raise ValueError("only a message with a refused TSIG has a TSIG refusal")
    theirs = claimed[0]
    response = dns.message.make_response(request.message)
    response.tsig = None
    response.set_rcode(dns.rcode.NOTAUTH)
    wire = response.to_wire()
    bad_time = request.tsig_error == dns.rcode.BADTIME
    # 48 bits of seconds, as RFC 8945 5.2.3 wants them in "other data".
    other = struct.pack("!Q", int(time.time()))[2:] if bad_time else b""
    record: TSIG = TSIG(  # type: ignore[no-untyped-call]  # dnspython types its rdata classes only in part
        dns.rdataclass.ANY,
        dns.rdatatype.TSIG,
        theirs.algorithm,
        theirs.time_signed,
        theirs.fudge,
        b"",
        request.message.id,
        request.tsig_error,
        other,
    )
    if bad_time:
        record, _ = dns.tsig.sign(  # type: ignore[no-untyped-call]  # as above
            wire, key, record, theirs.time_signed, theirs.mac
        )
    return _append(wire, claimed.name, record)


def _append(wire: bytes, name: dns.name.Name, record: TSIG) -> bytes:
    """`wire` with one more additional record at its end."""
    (count,) = struct.unpack_from("!H", wire, _ADDITIONAL_COUNT_OFFSET)
    body = record.to_wire()
    if body is None:
        raise ValueError("a TSIG record has a wire form")
    owner = io.BytesIO()
    name.to_wire(owner)
    header = struct.pack("!HHIH", dns.rdatatype.TSIG, dns.rdataclass.ANY, 0, len(body))
    head = wire[:_ADDITIONAL_COUNT_OFFSET] + struct.pack("!H", count + 1)
    return head + wire[_ADDITIONAL_COUNT_OFFSET + 2 :] + owner.getvalue() + header + body

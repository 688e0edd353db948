"""`slipway_dns_record`: one record, set by signed dynamic update (RFC 2136, TSIG by RFC 8945).

The mark is a TXT record at `_slipway.<name>`. Record and mark travel in one update whose prerequisites say what
must hold, and a server applies an update whole or not at all: nobody can come between the look and the deed.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Final

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update
from tf.schema import Attribute
from tf.types import Number, String

from .access import DnsAccess
from .marks import Busy, Mark, Refused, check_ours
from .resource import MarkedResource, State

_TIMEOUT_SECONDS: Final = 5.0
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOSTNAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_PRECONDITION: Final = {dns.rcode.YXDOMAIN, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.NXRRSET}
_LATER: Final = {dns.rcode.SERVFAIL}


def _address(host: str) -> str:
    """The address to ask, which dnspython wants as numbers. Raises OSError for a name that nobody knows."""
    return socket.gethostbyname(host)


class DnsRecordResource(MarkedResource):
    """Record `name` of `type` (A, AAAA or CNAME) with one `value`, `ttl` in seconds."""

    NAME = "dns_record"

    @classmethod
    def attributes(cls) -> list[Attribute]:
        """All given: what differs from them is drift."""
        return [
            Attribute("name", String(), required=True, requires_replace=True),
            Attribute("type", String(), required=True, requires_replace=True),
            Attribute("value", String(), required=True),
            Attribute("ttl", Number(), required=True),
        ]

    @classmethod
    def key(cls, state: State) -> str:
        """`<name>/<type>`."""
        return f"{state['name']}/{state['type']}"

    @classmethod
    def from_key(cls, key: str) -> State:
        """`<name>/<type>`; without a type an A record is meant."""
        name, _, kind = key.partition("/")
        return {"name": name, "type": kind or "A"}

    def check(self, known: State) -> None:
        """A host name, a known type, a value of that type, a lifetime that RFC 2181 allows."""
        kind = known.get("type", "A")
        if kind not in {"A", "AAAA", "CNAME"}:
            raise ValueError("type must be A, AAAA or CNAME")
        if not _HOSTNAME.fullmatch(known.get("name", "x")):
            raise ValueError("name must be a host name in lower case, without a dot at its end")
        if "value" in known:
            _check_value(kind, known["value"])
        if not 0 <= int(known.get("ttl", 0)) <= 2**31 - 1:
            raise ValueError("ttl must be between 0 and 2147483647 seconds")

    def ensure(self, mark: Mark, wanted: State) -> State:
        """Add record and mark where neither exists; replace where the mark is ours; refuse otherwise."""
        zone, name, beside = self._names(wanted["name"])
        kind, ttl, value = wanted["type"], int(wanted["ttl"]), wanted["value"]
        update = self._update()
        update.absent(name, kind)
        update.absent(beside, "TXT")
        update.add(name, ttl, kind, _rdata(kind, value))
        update.add(beside, ttl, "TXT", f'"{mark}"')
        if self._send(update) == dns.rcode.NOERROR:
            return _state(wanted["name"], kind, value, ttl)
        check_ours(f"DNS record {wanted['name']}", mark, self._mark(beside, zone))
        update = self._update()
        update.present(beside, "TXT", f'"{mark}"')
        update.replace(name, ttl, kind, _rdata(kind, value))
        update.replace(beside, ttl, "TXT", f'"{mark}"')
        if self._send(update) != dns.rcode.NOERROR:
            raise Busy(f"the DNS record {wanted['name']} was changed by somebody else just now.")
        return _state(wanted["name"], kind, value, ttl)

    def look(self, mark: Mark, known: State) -> State | None:
        """The record as the server answers it; None when the record is gone."""
        zone, name, beside = self._names(known["name"])
        answer = self._query(name + zone, known["type"])
        found = self._mark(beside, zone)
        if not answer:
            if found is not None:
                check_ours(f"DNS mark beside {known['name']}", mark, found)
            return None
        check_ours(f"DNS record {known['name']}", mark, found)
        values, ttl = answer
        return _state(known["name"], known["type"], ",".join(values), ttl)

    def remove(self, mark: Mark, known: State) -> None:
        """Delete record and mark together, if the mark is ours at that very moment."""
        zone, name, beside = self._names(known["name"])
        update = self._update()
        update.present(beside, "TXT", f'"{mark}"')
        update.delete(name, known["type"])
        update.delete(beside, "TXT")
        if self._send(update) == dns.rcode.NOERROR:
            return
        found = self._mark(beside, zone)
        if found is not None or self._query(name + zone, known["type"]):
            raise Refused(f"DNS record {known['name']}", found)

    def _dns(self) -> DnsAccess:
        if self._access.dns is None:
            raise ValueError("this machine offers no DNS: set SLIPWAY_PROVISIONER_DNS_KEY_FILE")
        return self._access.dns

    def _names(self, full_name: str) -> tuple[dns.name.Name, dns.name.Name, dns.name.Name]:
        """The zone, and record and mark relative to it. ValueError when the name is not in the zone."""
        zone = dns.name.from_text(self._dns().zone)
        name = dns.name.from_text(full_name)
        if not name.is_subdomain(zone) or name == zone:
            raise ValueError(f"{full_name} is not below the zone {self._dns().zone} that this platform serves")
        relative = name.relativize(zone)
        return zone, relative, dns.name.Name((b"_slipway", *relative.labels))

    def _update(self) -> dns.update.UpdateMessage:
        access = self._dns()
        keyring = dns.tsigkeyring.from_text({access.key_name: access.key_secret.get_secret_value()})
        algorithm = dns.name.from_text(access.key_algorithm)
        return dns.update.UpdateMessage(access.zone, keyring=keyring, keyalgorithm=algorithm)

    def _send(self, update: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        """NOERROR or the failed prerequisite. `Busy` for silence, ValueError when the server will not have it."""
        access = self._dns()
        try:
            answer = dns.query.tcp(update, _address(access.host), timeout=_TIMEOUT_SECONDS, port=access.port)
        except dns.tsig.PeerError as refused:
            raise ValueError(f"the DNS server refused our key {access.key_name}: check its TSIG key") from refused
        except (OSError, EOFError, dns.exception.DNSException) as silent:
            raise Busy(f"DNS server {access.host}:{access.port}: {type(silent).__name__} {silent}") from silent
        code = answer.rcode()
        if code == dns.rcode.NOERROR or code in _PRECONDITION:
            return code
        if code in _LATER:
            raise Busy(f"DNS server {access.host}:{access.port} answered {dns.rcode.to_text(code)}.")
        raise ValueError(
            f"the DNS server answered {dns.rcode.to_text(code)}: may the key {access.key_name} update {access.zone}?"
        )

    def _query(self, name: dns.name.Name, kind: str) -> tuple[list[str], int] | None:
        """Values (sorted) and ttl in seconds as the authoritative server has them now, or None."""
        access = self._dns()
        try:
            answer = dns.query.tcp(
                dns.message.make_query(name, kind), _address(access.host), timeout=_TIMEOUT_SECONDS, port=access.port
            )
        except (OSError, EOFError, dns.exception.DNSException) as silent:
            raise Busy(f"DNS server {access.host}:{access.port}: {type(silent).__name__} {silent}") from silent
        if answer.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            raise Busy(f"DNS server {access.host}:{access.port} answered {dns.rcode.to_text(answer.rcode())}.")
        wanted = dns.rdatatype.from_text(kind)
        for rrset in answer.answer:
            if rrset.name == name and rrset.rdtype == wanted:
                return sorted(item.to_text().rstrip(".") for item in rrset), int(rrset.ttl)
        return None

    def _mark(self, beside: dns.name.Name, zone: dns.name.Name) -> str | None:
        found = self._query(beside + zone, "TXT")
        return " ".join(found[0]).strip('"') if found else None


def _rdata(kind: str, value: str) -> str:
    """A CNAME's target is absolute: without the dot it would be taken as below the zone."""
    return f"{value}." if kind == "CNAME" else value


def _check_value(kind: str, value: str) -> None:
    if kind == "CNAME":
        if not _HOSTNAME.fullmatch(value):
            raise ValueError("a CNAME's value must be a host name in lower case")
        return
    address = ipaddress.ip_address(value)
    if (address.version == 4) != (kind == "A"):
        raise ValueError(f"{value} is no address for a record of type {kind}")
    if str(address) != value:
        raise ValueError(f"write the address as {address}: the server answers it so, and another spelling is drift")


def _state(name: str, kind: str, value: str, ttl: int) -> State:
    return {"name": name, "type": kind, "value": value, "ttl": ttl}

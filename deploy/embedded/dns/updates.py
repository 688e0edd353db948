"""Dynamic updates (RFC 2136): prerequisites, the prescan, and the changes, over one transaction.

Invariant: an update is applied whole or not at all; the zone's own SOA and NS records cannot be changed.
What a key may change is what environments need (A, AAAA, CNAME, TXT); everything else is REFUSED.
"""

from collections import defaultdict

import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.transaction
import dns.update

_ALLOWED = {dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.CNAME, dns.rdatatype.TXT}
_ANY = dns.rdatatype.ANY
_KEPT_AT_APEX = {dns.rdatatype.SOA, dns.rdatatype.NS}


class UpdateRefusedError(Exception):
    """The update is answered with `code` and nothing is changed."""

    def __init__(self, code: dns.rcode.Rcode) -> None:
        super().__init__(dns.rcode.to_text(code))
        self.code = code


def check_zone_section(update: dns.update.UpdateMessage, origin: dns.name.Name) -> None:
    """RFC 2136 3.1: exactly one SOA, of our zone; a foreign zone is NOTAUTH, as by BIND."""
    if len(update.zone) != 1 or update.zone[0].rdtype != dns.rdatatype.SOA:
        raise UpdateRefusedError(dns.rcode.FORMERR)
    if update.zone[0].name != origin or update.zone[0].rdclass != dns.rdataclass.IN:
        raise UpdateRefusedError(dns.rcode.NOTAUTH)


def apply(update: dns.update.UpdateMessage, origin: dns.name.Name, version: dns.transaction.Transaction) -> bool:
    """Checks and carries out `update` on `version`; says whether anything is different now.

    Raises UpdateRefusedError with the RFC's code before the first change.
    """
    _check_prerequisites(update.prerequisite, origin, version)
    for change in update.update:
        _prescan(change, origin)
    different = [_carry_out(change, origin, version) for change in update.update]
    return any(different)


def _check_prerequisites(
    prerequisites: list[dns.rrset.RRset], origin: dns.name.Name, version: dns.transaction.Transaction
) -> None:
    exact: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], set[dns.rdata.Rdata]] = defaultdict(set)
    for wanted in prerequisites:
        if wanted.ttl != 0:
            raise UpdateRefusedError(dns.rcode.FORMERR)
        if not wanted.name.is_subdomain(origin):
            raise UpdateRefusedError(dns.rcode.NOTZONE)
        name_only = wanted.rdtype == _ANY
        exists = (
            version.get_node(wanted.name) is not None
            if name_only
            else version.get(wanted.name, wanted.rdtype) is not None
        )
        if wanted.deleting == dns.rdataclass.ANY and not exists:
            raise UpdateRefusedError(dns.rcode.NXDOMAIN if name_only else dns.rcode.NXRRSET)
        if wanted.deleting == dns.rdataclass.NONE and exists:
            raise UpdateRefusedError(dns.rcode.YXDOMAIN if name_only else dns.rcode.YXRRSET)
        if wanted.deleting is None:
            if wanted.rdclass != dns.rdataclass.IN or dns.rdatatype.is_metatype(wanted.rdtype):
                raise UpdateRefusedError(dns.rcode.FORMERR)
            exact[(wanted.name, wanted.rdtype)].update(wanted)
    for (name, rdtype), values in exact.items():
        found = version.get(name, rdtype)
        if found is None or set(found) != values:
            raise UpdateRefusedError(dns.rcode.NXRRSET)


def _prescan(change: dns.rrset.RRset, origin: dns.name.Name) -> None:
    """RFC 2136 3.4.1, then the policy: every record is looked at before the first is changed."""
    if not change.name.is_subdomain(origin):
        raise UpdateRefusedError(dns.rcode.NOTZONE)
    if change.rdclass != dns.rdataclass.IN:
        raise UpdateRefusedError(dns.rcode.FORMERR)
    whole_name = change.rdtype == _ANY and change.deleting == dns.rdataclass.ANY
    if dns.rdatatype.is_metatype(change.rdtype) and not whole_name:
        raise UpdateRefusedError(dns.rcode.FORMERR)
    if change.deleting is not None and change.ttl != 0:
        raise UpdateRefusedError(dns.rcode.FORMERR)
    if change.rdtype not in _ALLOWED and not whole_name:
        raise UpdateRefusedError(dns.rcode.REFUSED)


def _carry_out(change: dns.rrset.RRset, origin: dns.name.Name, version: dns.transaction.Transaction) -> bool:
    name = change.name.canonicalize()
    if change.deleting is None:
        return _add(change, name, version)
    if change.deleting == dns.rdataclass.NONE:
        return _remove_records(change, name, version)
    if change.rdtype == _ANY:
        return _remove_name(name, origin, version)
    present = version.get(name, change.rdtype) is not None
    if present:
        version.delete(name, change.rdtype)
    return present


def _add(change: dns.rrset.RRset, name: dns.name.Name, version: dns.transaction.Transaction) -> bool:
    """RFC 2136 3.4.2.2: a CNAME and other data exclude each other; who comes second is silently ignored."""
    node = version.get_node(name)
    present = {rdataset.rdtype for rdataset in node.rdatasets} if node is not None else set()
    cname = dns.rdatatype.CNAME
    if (present - {cname}) if change.rdtype == cname else (cname in present):
        return False
    before = version.get(name, change.rdtype)
    keep = list(before) if before is not None and change.rdtype != cname else []
    after = dns.rdataset.from_rdata_list(change.ttl, [*keep, *change])
    if before is not None and before.ttl == after.ttl and set(before) == set(after):
        return False
    version.replace(name, after)
    return True


def _remove_records(change: dns.rrset.RRset, name: dns.name.Name, version: dns.transaction.Transaction) -> bool:
    before = version.get(name, change.rdtype)
    gone = set(change)
    if before is None or not gone & set(before):
        return False
    rest = [record for record in before if record not in gone]
    if rest:
        version.replace(name, dns.rdataset.from_rdata_list(before.ttl, rest))
    else:
        version.delete(name, change.rdtype)
    return True


def _remove_name(name: dns.name.Name, origin: dns.name.Name, version: dns.transaction.Transaction) -> bool:
    node = version.get_node(name)
    present = [rdataset.rdtype for rdataset in node.rdatasets] if node is not None else []
    gone = [rdtype for rdtype in present if name != origin or rdtype not in _KEPT_AT_APEX]
    for rdtype in gone:
        version.delete(name, rdtype)
    return bool(gone)

"""Answers to ordinary queries: pure lookups in one snapshot of the zone (RFC 1034 4.3.2, 2308, 4592, 8020).

Invariant: everything said is authoritative and of one version of the zone; a name outside it is REFUSED.
"""

import dns.btreezone
import dns.flags
import dns.message
import dns.name
import dns.node
import dns.rcode
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset

from deploy.embedded.dns.zone import Zone

_LONGEST_CNAME_CHAIN = 8
_CLASSES = {dns.rdataclass.IN, dns.rdataclass.ANY}
_NEVER_ANSWERED = {dns.rdatatype.AXFR, dns.rdatatype.IXFR, dns.rdatatype.MAILA, dns.rdatatype.MAILB}


def answer(zone: Zone, query: dns.message.Message, response: dns.message.Message) -> None:
    """Fills `response` for `query`: answer, authority (SOA when the answer is "no") and code."""
    if len(query.question) != 1:
        response.set_rcode(dns.rcode.FORMERR)
        return
    question = query.question[0]
    if not question.name.is_subdomain(zone.origin) or question.rdclass not in _CLASSES:
        response.set_rcode(dns.rcode.REFUSED)
        return
    if question.rdtype in _NEVER_ANSWERED:
        response.set_rcode(dns.rcode.REFUSED)
        return
    response.flags |= dns.flags.AA
    snapshot = zone.snapshot()
    aliases, name, node = _follow_aliases(snapshot, question.name, question.rdtype, zone.origin)
    response.answer.extend(aliases)
    if len(aliases) > _LONGEST_CNAME_CHAIN:
        response.set_rcode(dns.rcode.SERVFAIL)
        return
    if not name.is_subdomain(zone.origin):
        return
    here = _matching(node, name, question.rdtype)
    response.answer.extend(here)
    if not here:
        missing = node is None and snapshot.bounds(name).closest_encloser != name
        response.set_rcode(dns.rcode.NXDOMAIN if missing else dns.rcode.NOERROR)
        response.authority.append(_negative_soa(zone))


def _follow_aliases(
    snapshot: dns.btreezone.ImmutableVersion,
    name: dns.name.Name,
    rdtype: dns.rdatatype.RdataType,
    origin: dns.name.Name,
) -> tuple[list[dns.rrset.RRset], dns.name.Name, dns.node.Node | None]:
    """The CNAME records walked from `name`, the name they lead to, and its node if it is in the zone."""
    aliases: list[dns.rrset.RRset] = []
    node = _node(snapshot, name)
    while node is not None and rdtype not in (dns.rdatatype.CNAME, dns.rdatatype.ANY):
        alias = node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.CNAME)
        if alias is None or len(aliases) > _LONGEST_CNAME_CHAIN:
            break
        aliases.append(_rrset(name, alias))
        name = alias[0].target
        node = _node(snapshot, name) if name.is_subdomain(origin) else None
    return aliases, name, node


def _node(snapshot: dns.btreezone.ImmutableVersion, name: dns.name.Name) -> dns.node.Node | None:
    """The node that answers for `name`: its own, or its closest encloser's wildcard (RFC 4592 3.3)."""
    encloser = snapshot.bounds(name).closest_encloser
    if encloser == name:
        return snapshot.get_node(name)
    return snapshot.get_node(dns.name.Name((b"*", *encloser.labels)))


def _matching(
    node: dns.node.Node | None, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
) -> list[dns.rrset.RRset]:
    if node is None:
        return []
    return [_rrset(name, r) for r in node.rdatasets if rdtype in (r.rdtype, dns.rdatatype.ANY)]


def _rrset(name: dns.name.Name, rdataset: dns.rdataset.Rdataset) -> dns.rrset.RRset:
    return dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset))


def _negative_soa(zone: Zone) -> dns.rrset.RRset:
    """The SOA whose TTL says how long "no" may be remembered: the smaller of TTL and minimum (RFC 2308 5)."""
    soa = zone.soa()
    soa.ttl = min(soa.ttl, soa[0].minimum)
    return soa

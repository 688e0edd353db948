"""An authoritative DNS server with dynamic updates, standing in for a company's DNS (Route 53, BIND, Knot).

It serves one zone over UDP and TCP (RFC 1035, EDNS RFC 6891), takes dynamic updates (RFC 2136) signed with
TSIG (RFC 8945), and keeps the zone as an ordinary master file. It is no resolver: a name outside its zone is
REFUSED. Invariant: an update is on disk before its answer is sent, so what a client was told survives a
kill -9, and a reader sees the zone before an update or after it, never between.
"""

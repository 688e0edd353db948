"""The DNS server's configuration: BIND 9, one zone, which the provisioner changes by signed updates (RFC 2136, 8945).

Invariant: whoever holds the key may write records of the kinds that environments have, below the zone, and nobody may
do anything else: no recursion, no transfer, no control channel.
"""

from __future__ import annotations

from pathlib import Path

from deploy.embedded.dns.keys import read_key
from deploy.embedded.dns.zone import new_zone
from deploy.embedded.home import write_file
from deploy.embedded.keys import Keys

_KINDS = "A AAAA CNAME TXT"


def configuration(keys: Keys, *, port: int, zone: str, data: Path) -> str:
    """`named.conf`, with the key in it. Raises KeyFileError where the key cannot be used."""
    name, algorithm, secret = keys.path("dns-tsig.key").read_text(encoding="ascii").strip().split(":")
    read_key(keys.path("dns-tsig.key"))
    return f"""\
options {{
    directory "{data}";
    listen-on port {port} {{ any; }};
    listen-on-v6 {{ none; }};
    allow-query {{ any; }};
    allow-transfer {{ none; }};
    recursion no;
    notify no;
    dnssec-validation no;
    pid-file none;
    session-keyfile none;
    version none;
    hostname none;
}};
controls {{ }};
key "{name}" {{ algorithm {algorithm}; secret "{secret}"; }};
zone "{zone}" {{
    type primary;
    file "{zone_file(zone, data)}";
    update-policy {{ grant {name} subdomain {zone} {_KINDS}; }};
}};
"""


def zone_file(zone: str, data: Path) -> Path:
    """Where BIND keeps the zone."""
    return data / f"{zone}.zone"


def ensure_zone(zone: str, data: Path) -> None:
    """Write a zone without any environment, unless there is one: BIND changes it from then on."""
    path = zone_file(zone, data)
    if not path.exists():
        write_file(path, new_zone(zone), mode=0o644)

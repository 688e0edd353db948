"""Which URLs may be called, and at which addresses. Pure: nobody is asked for anything here.

Somebody who may make a webhook must not thereby reach what only the platform's machines reach: its databases, its bus,
the metadata service of the cloud. So an address has to be one of the public internet, or in a network that the operator
allowed; every other one is refused, in whichever notation it comes, also where it hides in an IPv6 address
(RFC 4291 §2.5.5, RFC 6052, RFC 3056, RFC 4380).
"""

import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HOW_TO_ALLOW: Final = (
    "The operator can allow networks of their own: SLIPWAY_NOTIFIER_WEBHOOKS_ALLOW, for instance 10.1.0.0/16."
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NOT_REALLY_GLOBAL: Final[tuple[Network, ...]] = tuple(
    ip_network(network)
    for network in (
        "100.64.0.0/10",  # RFC 6598, carrier-grade NAT
        "192.0.0.0/24",  # RFC 6890, protocol assignments
        "192.88.99.0/24",  # RFC 7526, 6to4 relays
        "198.18.0.0/15",  # RFC 2544, benchmarks
        "240.0.0.0/4",  # RFC 1112, reserved
        "2001::/23",  # RFC 2928, protocol assignments, Teredo among them
        "2001:db8::/32",  # RFC 3849, documentation
        "2002::/16",  # RFC 3056, 6to4: leads to an IPv4 address
        "3fff::/20",  # RFC 9637, documentation
    )
)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_SAFE: Final = "/%:@!$&'()*+,;=-._~"


class RefusedUrlError(Exception):
    """It will not be called. `rule` says what a URL must be, without the URL."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


@dataclass(frozen=True)
class Target:
    """A URL, taken apart and in its one spelling."""

    scheme: str
    host: str
    """In ASCII; an IPv6 address without brackets."""
    port: int
    path: str
    """With the query."""

    @property
    def authority(self) -> str:
        """The host as a header says it; the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _default_port(self.scheme) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole of it."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def literal(self) -> Address | None:
        """The address, where the host is one."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


def parse(url: str) -> Target:
    """The URL in its one spelling. Raises `RefusedUrlError`."""
    if not url.isprintable() or "\\" in url or any(character.isspace() for character in url):
        raise RefusedUrlError("must be a URL without spaces, backslashes and control characters")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise RefusedUrlError("must be a URL: https://host/path") from error
    if parts.scheme not in {"https", "http"}:
        raise RefusedUrlError("must begin with https://")
    if "@" in parts.netloc:
        raise RefusedUrlError("must not name a user or a password; put a token into the path, or verify the signature")
    if parts.fragment:
        raise RefusedUrlError("must have no fragment (#…): it is never sent")
    host, port = _authority(parts)
    path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE + '?')}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def check(target: Target, addresses: Sequence[Address], allowed: Iterable[Network] = ()) -> None:
    """Raise `RefusedUrlError` unless every one of these addresses, which are the host's, may be called so."""
    networks = tuple(allowed)
    own = [address for address in addresses if _is_within(address, networks)]
    if len(own) < len(addresses) and target.scheme != "https":
        raise RefusedUrlError(f"must begin with https://. {HOW_TO_ALLOW}")
    if any(address not in own and not is_public(address) for address in addresses):
        raise RefusedUrlError(f"must lead to the public internet, and its host does not. {HOW_TO_ALLOW}")


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet, and no other one is hidden in it."""
    if address.is_multicast or not address.is_global or _is_within(address, _NOT_REALLY_GLOBAL):
        return False
    # NAT64 (64:ff9b::/96), mapped and compatible addresses are outside of it, whatever they hold.
    return isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST


def _is_within(address: Address, networks: Iterable[Network]) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    meant = mapped if mapped is not None else address
    return any(meant.version == network.version and meant in network for network in networks)


def _authority(parts: SplitResult) -> tuple[str, int]:
    netloc = parts.netloc
    if netloc.startswith("["):
        inside, closing, after = netloc[1:].partition("]")
        try:
            host = str(IPv6Address(inside))
        except ValueError as error:
            raise RefusedUrlError("must have a host that can be looked up") from error
        if not closing or "%" in inside or (after and not after.startswith(":")):
            raise RefusedUrlError("must have a host that can be looked up")
        port = after[1:]
    else:
        name, _, port = netloc.partition(":")
        host = _name(name)
    if port and (not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535):
        raise RefusedUrlError("must have a port between 1 and 65535, or none")
    return host, int(port) if port else _default_port(parts.scheme)


def _name(name: str) -> str:
    """The host in ASCII (IDNA). An IPv4 address must be written plainly: 0x7f.1, 2130706433 and 017700000001 are ways
    to write 127.0.0.1 that a resolver would follow."""
    try:
        host = name.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError as error:
        raise RefusedUrlError("must have a host that can be looked up") from error
    if not host or len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise RefusedUrlError("must have a host that can be looked up")
    try:
        plain = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host
    if plain != host:
        raise RefusedUrlError("must write an IPv4 address as four decimal numbers")
    return host


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80

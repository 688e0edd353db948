"""One platform: its home, its ports, its parts and its supervisor, put together in one place.

Invariant: building a `Platform` changes nothing on disk but missing key files; `write` is what changes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version

from deploy.embedded import ports as ports_module
from deploy.embedded.errors import PlatformError
from deploy.embedded.forge_access import forge_tokens
from deploy.embedded.home import Home, write_file
from deploy.embedded.keys import Keys, new_base64_key, new_hex_key, new_secret
from deploy.embedded.parts import Part, Setup, infrastructure
from deploy.embedded.ports import BASE_VARIABLE, ZONE, Ports
from deploy.embedded.service_parts import services
from deploy.embedded.supervision import Supervisor


@dataclass(frozen=True)
class Platform:
    """A home and the base of its ports."""

    home: Home
    ports: Ports

    @classmethod
    def from_environment(cls) -> Platform:
        """The platform of SLIPWAY_HOME and SLIPWAY_PORT_BASE, or of the base it was started with last."""
        home = Home.from_environment()
        return cls(home, Ports.from_environment(recorded=home.description().get("port_base")))

    @classmethod
    def as_recorded(cls) -> Platform:
        """The platform of SLIPWAY_HOME with the ports it was started with: what to look at or to stop."""
        home = Home.from_environment()
        recorded = home.description().get("port_base")
        return cls(home, Ports(recorded) if isinstance(recorded, int) else Ports.from_environment())

    @cached_property
    def setup(self) -> Setup:
        """What the parts are built from."""
        return Setup(self.home, self.ports)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Every part, infrastructure first."""
        return (*infrastructure(self.setup), *services(self.setup))

    def selected(self, names: Iterable[str]) -> tuple[Part, ...]:
        """The parts called `names`, or all when there are no names."""
        wanted = set(names)
        unknown = wanted - {part.name for part in self.parts}
        if unknown:
            raise PlatformError(
                f"there is no part {', '.join(sorted(unknown))}",
                remedy="known: " + ", ".join(part.name for part in self.parts),
            )
        return tuple(part for part in self.parts if not wanted or part.name in wanted)

    @cached_property
    def supervisor(self) -> Supervisor:
        """The supervisor of this home, running or not."""
        return Supervisor(self.home)

    def prepare(self) -> None:
        """Make the home and every key that more than one part needs."""
        self.home.prepare()
        make_keys(Keys(self.home.keys))

    def describe(self) -> None:
        """Write `platform.json`, by which the command line finds the platform."""
        self.home.describe(
            {
                "version": slipway_version(),
                "home": str(self.home.root),
                "port_base": self.ports.base,
                "zone": ZONE,
                "urls": {
                    "portal": self.ports.url("gateway"),
                    "gateway": self.ports.url("gateway"),
                    "ingress": self.ports.url("ingress"),
                    "openbao": self.ports.url("openbao"),
                    "forge": self.ports.url("forge"),
                    "inbox": self.ports.url("inbox"),
                    "traces": self.ports.url("traces"),
                    "nats": f"nats://{ports_module.HOST}:{self.ports['nats']}",
                },
                "admin_token_file": str(self.home.keys / "admin.token"),
            }
        )

    def require_recorded_base(self) -> None:
        """Refuse to change the ports of a platform that runs."""
        recorded = self.home.description().get("port_base")
        if recorded is not None and recorded != self.ports.base:
            raise PlatformError(
                f"the platform of {self.home.root} runs on ports from {recorded}",
                remedy=f"leave {BASE_VARIABLE} alone, or `make down` first and start it on the new ports",
            )


def make_keys(keys: Keys) -> None:
    """Make every key that more than one part needs, unless it is there."""
    keys.ensure("event-id.key", new_hex_key)
    keys.ensure("webhooks.key", new_hex_key)
    keys.ensure("dns-tsig.key", lambda: f"slipway:hmac-sha256:{new_base64_key()}")
    keys.ensure("inbox.token", lambda: f"xoxb-{new_secret()}")
    write_file(keys.path("forge-tokens.json"), forge_tokens(keys))


def slipway_version() -> str:
    """The version of this installation."""
    try:
        return version("slipway")
    except PackageNotFoundError:
        return "0.0.0+source"

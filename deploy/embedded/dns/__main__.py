"""`python -m deploy.embedded.dns`: serves until SIGTERM or SIGINT."""

import asyncio
import signal
import sys

import structlog

from chassis import logs
from deploy.embedded.dns.keys import KeyFileError, read_key
from deploy.embedded.dns.server import DnsServer, Responder
from deploy.embedded.dns.settings import DnsSettings
from deploy.embedded.dns.zone import Zone, ZoneFileError

log = structlog.get_logger(__name__)


async def serve(settings: DnsSettings) -> None:
    """Answers until told to stop. Raises KeyFileError, ZoneFileError or OSError at the start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    responder = Responder(Zone(settings.zone, settings.data), read_key(settings.tsig_file))
    async with DnsServer(responder, settings.host, settings.port) as server:
        log.info("dns_ready", host=settings.host, port=server.port, zone=settings.zone)
        await stop.wait()


def main() -> None:
    """Exit code 2 when the settings, the key or the zone file cannot be used."""
    logs.configure("dns")
    try:
        asyncio.run(serve(DnsSettings()))
    except (KeyFileError, ZoneFileError, OSError) as error:
        sys.exit(f"the DNS server cannot start: {error}")


if __name__ == "__main__":
    main()

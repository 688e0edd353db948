"""Looking through the catalog's copy of the log, and putting a lost log back from it."""

from __future__ import annotations

import asyncio
import time

from deploy import log_copy
from deploy.embedded import lifecycle, postgres
from deploy.embedded.errors import PlatformError
from deploy.embedded.platform import Platform
from deploy.embedded.progress import console, shown
from deploy.streams import StreamsError

_CATALOG_ROLE = "slipway_catalog"
_REPORT_EVERY_SECONDS = 1.0


def verify_log() -> int:
    """Look through the copies of the log and of the facts from outside; answers the exit code: 0 intact, 1 not."""
    platform = _running()
    output = console()
    with platform.setup.cluster.connect(_CATALOG_ROLE, postgres.SERVICES_DATABASE) as catalog:
        for copy, what in ((log_copy.LOG, "messages"), (log_copy.FACTS, "facts from outside")):
            begun = time.monotonic()
            verdict = log_copy.verify(catalog, copy)
            if not verdict.is_intact:
                raise PlatformError(
                    f"the copy of {copy.stream} is broken at message {verdict.broken_at}: {verdict.reason}",
                    remedy="keep the database as it is for those who look into it, and restore a backup of it; "
                    "where the stream itself is whole, an empty catalog reads it again from its beginning",
                )
            seconds = time.monotonic() - begun
            output.print(f"{verdict.messages} {what}, all as they were written ({seconds:.1f} s).")
            output.print(f"head  {verdict.head or '(an empty log)'}")
    return 0


def restore_log(*, discard: bool) -> None:
    """Stop the services, put back what the log lacks of the copy, and start them again."""
    platform = _running()
    stopped = [part for part in platform.parts if part.is_service]
    output = console()
    with platform.home.locked():
        output.print("Stopping the services, so that nobody says anything meanwhile ...")
        platform.supervisor.stop_programs([part.name for part in stopped])
        try:
            restored = asyncio.run(_restore(platform, discard=discard))
        except (log_copy.LogCopyError, StreamsError) as error:
            raise PlatformError(f"the log was not restored: {error}", remedy="then run it again; it goes on") from error
        finally:
            with shown([part.name for part in stopped]) as progress:
                lifecycle.Starter(stopped, platform.supervisor, platform, progress).run()
    output.print(
        f"{restored.put_back} messages were put back after {restored.already_there} that were there. "
        "Runs that were under way go on by themselves; slipway runs shows them."
    )


async def _restore(platform: Platform, *, discard: bool) -> log_copy.Restored:
    access = platform.setup.bus_access
    if discard:
        given_up = await log_copy.discard_log(access)
        console().print(f"{given_up} messages of the log as it was are given up.")
    said_at = time.monotonic()

    def report(sequence: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at > _REPORT_EVERY_SECONDS:
            said_at = time.monotonic()
            console().print(f"  message {sequence} ...")

    with platform.setup.cluster.connect(_CATALOG_ROLE, postgres.SERVICES_DATABASE) as catalog:
        return await log_copy.restore(access, catalog, report)


def _running() -> Platform:
    platform = Platform.as_recorded()
    if platform.supervisor.pid is None:
        raise PlatformError("Slipway is not running", remedy="run `make up` first: the copy is in its database")
    return platform

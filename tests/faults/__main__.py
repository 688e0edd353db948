"""`python -m tests.faults`: kill everything at every point, and look whether anything is wrong afterwards.

Exit codes: 0 as promised, 1 something was off, 2 wrong usage.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import FrameType

import structlog
from rich.console import Console

from tests.faults import checking, printing, random_mode
from tests.faults.caller import Caller
from tests.faults.matrix import Matrix, Report, Say
from tests.faults.parts import LANES
from tests.faults.platform import FaultPlatform, running_platform
from tests.faults.points import OPERATIONS


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; answers the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    options = _parser().parse_args(arguments)
    # Of a bus that is killed every few seconds there is nothing to tell.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    directory = Path(tempfile.mkdtemp(prefix="slipway-faults-"))
    # For a program only the document goes to standard output.
    console = Console(highlight=False, soft_wrap=True, width=160, stderr=options.json, markup=False)
    begun = time.monotonic()
    well = False
    try:
        with running_platform(directory, base=options.port_base) as on:
            console.print(f"A platform is up in {directory} after {time.monotonic() - begun:.1f} s.")
            started = time.monotonic()

            def say(line: str) -> None:
                console.print(f"{time.monotonic() - started:6.1f}  {line}")

            report = asyncio.run(_run(on, options, say))
        report.seconds = time.monotonic() - begun
        well = report.is_well
        printing.show(report, console)
        if options.json:
            sys.stdout.write(json.dumps(printing.document(report), indent=2) + "\n")
    except KeyboardInterrupt:
        return 130
    finally:
        if well or not (directory / "home" / "log").exists():
            shutil.rmtree(directory, ignore_errors=True)
        else:
            console.print(f"The logs are in {directory / 'home' / 'log'}.")
    return 0 if well else 1


async def _run(on: FaultPlatform, options: argparse.Namespace, say: Say) -> Report:
    async with _calling(on) as caller:
        if options.check_the_checker:
            return await checking.check(caller, say, only=options.bug)
        if options.seed is not None:
            return await random_mode.run(caller, say, seed=options.seed, minutes=options.minutes)
        only = tuple(one for one in OPERATIONS if not options.only or one in options.only)
        matrix = Matrix(caller, say, only=only, points=options.point)
        if not options.part:
            await matrix.services()
        if options.part or not (options.services_alone or options.point):
            await matrix.parts(options.part)
        await matrix.control()
        return matrix.report


@contextlib.asynccontextmanager
async def _calling(on: FaultPlatform) -> AsyncIterator[Caller]:
    caller = await Caller.of(on)
    following = asyncio.create_task(caller.follow())
    try:
        yield caller
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await caller.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Starts a platform, kills everything in it at every point, and checks from outside what is left.",
    )
    parser.add_argument("--only", action="append", choices=OPERATIONS, help="this step alone (may be repeated)")
    parts = sorted({lane.part for lane in LANES})
    parser.add_argument(
        "--part", action="append", default=[], choices=parts, help="kill this part alone, and no service"
    )
    parser.add_argument(
        "--point", action="append", default=[], help="services alone, at points that are called so (may be repeated)"
    )
    parser.add_argument("--services-alone", action="store_true", help="kill no parts")
    parser.add_argument("--seed", type=_number, help="in any order, under load, as this number says")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long, with --seed (3)")
    parser.add_argument("--check-the-checker", action="store_true", help="put bugs in, and see that each is caught")
    parser.add_argument("--bug", action="append", help="with --check-the-checker, this bug alone (may be repeated)")
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    parser.add_argument("--port-base", type=int, default=None, help="the platform's first port (a free one)")
    return parser


def _number(text: str) -> int:
    return int.from_bytes(os.urandom(4)) if text in {"", "any"} else int(text)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())

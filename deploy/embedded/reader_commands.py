"""Letting a program of a team read that team's events on the bus, and ending it."""

from __future__ import annotations

from pydantic import ValidationError

from contracts.readers import Reader, inbox_prefix
from deploy.embedded import nats
from deploy.embedded.errors import PlatformError
from deploy.embedded.parts import Part
from deploy.embedded.platform import Platform
from deploy.embedded.progress import console, document


def add(name: str, team: str) -> None:
    """Make the reader `name` of `team`'s feed, with a key of its own, and say how to use it. Safe to repeat."""
    reader = _reader(name, team)
    platform = _known()
    with platform.home.locked():
        file = platform.setup.readers
        readers = file.load()
        found = readers.named(name)
        if found is not None and found != reader:
            raise PlatformError(
                f"{name} is a reader of {found.team}",
                remedy=f"choose another name, or remove it first: slipway admin readers rm {name}",
            )
        if found is None:
            nats.forget_reader(platform.setup.keys, name)  # one that a removal which was cut short has left
            file.save((*readers.readers, reader))
        is_running = _take_up(platform)
    output = console()
    output.print(f"{name} reads what happens to the environments of {team}.")
    if not is_running:
        output.print("Slipway is not running: it can connect after `make up`.")
    output.print("Give that program, by a way that is safe for a password:")
    output.print(f"  key file      {nats.reader_seed_file(platform.setup.keys, name)}", markup=False)
    output.print(f"  bus           {platform.setup.nats_url}", markup=False)
    output.print(f"  inbox prefix  {inbox_prefix(name)}", markup=False)
    output.print(f"  stream        FEEDS, durable {name} (it is there: bind to it)", markup=False)
    output.print("A program to begin with: docs/examples/read_events.py")


def show(form: str) -> None:
    """Print who reads; `form` is table, json or yaml."""
    readers = _known().setup.readers.load().readers
    if form != "table":
        document([reader.model_dump() for reader in readers], form)
        return
    for reader in readers:
        console().print(f"{reader.name:<40} {reader.team}", markup=False)
    if not readers:
        console().print("Nobody reads events. Add a reader: slipway admin readers add NAME --team TEAM")


def remove(name: str) -> None:
    """End the reader `name`: it is disconnected at once, and its key opens nothing any more."""
    platform = _known()
    with platform.home.locked():
        file = platform.setup.readers
        readers = file.load()
        if readers.named(name) is None:
            raise PlatformError(f"there is no reader {name}", remedy="known: slipway admin readers ls")
        file.save(tuple(reader for reader in readers.readers if reader.name != name))
        _take_up(platform)
        nats.forget_reader(platform.setup.keys, name)
    console().print(f"{name} is no reader any more.")


def _take_up(platform: Platform) -> bool:
    """Tell the bus, where it runs; answers whether it does. Otherwise the next `up` tells it."""
    bus: Part = platform.selected(["nats"])[0]
    bus.launch()
    state = platform.supervisor.states().get(bus.name)
    is_running = state is not None and state.is_running and bus.is_ready()
    if is_running and bus.finish:
        bus.finish()
    return is_running


def _reader(name: str, team: str) -> Reader:
    try:
        return Reader(name=name, team=team)
    except ValidationError as error:
        wrong = " and ".join(str(one["loc"][0]) for one in error.errors())
        raise PlatformError(
            f"this is not a {wrong}",
            remedy="small letters, digits and hyphens, beginning with a letter, 40 characters at most",
        ) from error


def _known() -> Platform:
    platform = Platform.as_recorded()
    if not platform.home.exists:
        raise PlatformError("there is no platform here", remedy="run `make up` first")
    return platform

"""What runs: one row a process, from the supervisor, the kernel and the process's own readiness."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil
from rich.table import Table
from rich.text import Text

from deploy.embedded.openbao_identity import PEOPLE, people_file
from deploy.embedded.parts import Part
from deploy.embedded.platform import Platform
from deploy.embedded.progress import console, document


@dataclass(frozen=True)
class Row:
    """One process as it is now. `memory_bytes` is its share of RAM with all its children (PSS)."""

    part: Part
    state: str
    pid: int | None = None
    uptime_seconds: float = 0.0
    memory_bytes: int = 0
    is_ready: bool = False


def rows(platform: Platform) -> list[Row]:
    """Every part, running or not."""
    states = platform.supervisor.states()

    def look(part: Part) -> Row:
        state = states.get(part.name)
        if state is None or not state.pid:
            return Row(part, state.state.lower() if state else "stopped")
        return Row(
            part,
            state.state.lower(),
            pid=state.pid,
            uptime_seconds=max(0.0, time.time() - state.since),
            memory_bytes=memory_bytes(state.pid),
            is_ready=part.is_ready(),
        )

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(look, platform.parts))


def memory_bytes(pid: int) -> int:
    """RAM of a process and everything below it, shared pages counted once among those who share them."""
    try:
        process = psutil.Process(pid)
        tree = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_share_bytes(member) for member in tree)


def _share_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def show(platform: Platform, form: str = "table") -> bool:
    """Print a table, json or yaml; answers whether everything is ready."""
    found = rows(platform)
    if form == "table":
        _print_table(platform, found)
    else:
        document([_fields(row) for row in found], form)
    return not not_ready(found)


def _fields(row: Row) -> dict[str, Any]:
    return {
        "process": row.part.name,
        "state": row.state,
        "ready": row.is_ready,
        "pid": row.pid,
        "uptime_seconds": round(row.uptime_seconds, 1),
        "memory_bytes": row.memory_bytes,
        "ports": dict(row.part.ports),
        "address": row.part.address,
    }


def _print_table(platform: Platform, found: Sequence[Row]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("process", "state", "ready"):
        table.add_column(heading)
    for heading in ("pid", "uptime", "memory"):
        table.add_column(heading, justify="right")
    table.add_column("ports")
    table.add_column("address")
    for row in found:
        table.add_row(
            row.part.name,
            row.state,
            Text("yes", "green") if row.is_ready else Text("no", "red" if row.pid else "dim"),
            str(row.pid or ""),
            _duration(row.uptime_seconds) if row.pid else "",
            f"{row.memory_bytes / 1e6:.0f} MB" if row.pid else "",
            ", ".join(str(port) for port in row.part.ports.values()),
            row.part.address if row.pid else "",
        )
    output = console()
    output.print(table)
    supervisor = platform.supervisor.pid
    total = sum(row.memory_bytes for row in found) + (_supervisor_bytes(supervisor) if supervisor else 0)
    ready = len(found) - len(not_ready(found))
    output.print(f"\n{ready} of {len(found)} ready, {total / 1e6:.0f} MB in all, home {platform.home.root}")
    output.print(sign_in_hint(platform))


def sign_in_hint(platform: Platform) -> str:
    """How somebody gets in with a browser."""
    names = [person.name for person in PEOPLE]
    return (
        f"Sign in at {platform.setup.addresses.portal_url}/ as {', '.join(names[:-1])} or {names[-1]}; "
        f"passwords: {people_file(platform.setup.keys)}"
    )


def _supervisor_bytes(pid: int) -> int:
    try:
        return _share_bytes(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return 0


def _duration(seconds: float) -> str:
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {int(seconds) % 60} s" if minutes else f"{int(seconds)} s"


def not_ready(found: Sequence[Row]) -> list[str]:
    """The names of the parts that do not answer."""
    return [row.part.name for row in found if not row.is_ready]

"""Processes of a platform that nobody supervises any more, after a kill -9 or a crash.

Invariant: only processes that carry this home's own mark, or that serve its own database directory, are
ever ended; each is identified by pid *and* start time.
"""

from __future__ import annotations

import os
import signal
import time

import psutil

from deploy.embedded.home import Home
from deploy.embedded.postgres import server_pid
from deploy.embedded.processes import MARKER_VARIABLE

_GENTLE_SECONDS = 10.0
_POLL_SECONDS = 0.02


def find(home: Home) -> list[psutil.Process]:
    """Every process of the platform at `home`, supervised or not, without this one."""
    found = [process for process in psutil.process_iter() if _is_ours(process, home.identity)]
    postmaster = server_pid(home.data / "postgres")
    if postmaster is not None:
        found.append(psutil.Process(postmaster))
    below = [child for process in found for child in _children(process)]
    ourselves = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return list({process.pid: process for process in (*found, *below) if process.pid not in ourselves}.values())


def end(processes: list[psutil.Process]) -> None:
    """Ask each to end, and kill what has not after ten seconds."""
    for process in processes:
        _signal(process, gentle=True)
    for process in wait_until_gone(processes):
        _signal(process, gentle=False)
    wait_until_gone(processes)


def wait_until_gone(processes: list[psutil.Process], timeout_seconds: float = _GENTLE_SECONDS) -> list[psutil.Process]:
    """Wait until each has ended; answers those that have not in time."""
    deadline = time.monotonic() + timeout_seconds
    while (alive := [process for process in processes if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return alive


def is_alive(process: psutil.Process) -> bool:
    """Whether it still does anything: a zombie does not, and in a container nobody may ever reap it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, *, gentle: bool) -> None:
    try:
        if gentle and process.name() == "postgres":
            process.send_signal(signal.SIGINT)  # its fast shutdown; SIGTERM would wait for every client
        elif gentle:
            process.terminate()
        else:
            process.kill()
    except psutil.NoSuchProcess:
        return  # it ended by itself, which is what we want


def _is_ours(process: psutil.Process, identity: str) -> bool:
    try:
        return (
            process.uids().effective == os.geteuid()
            and process.status() != psutil.STATUS_ZOMBIE
            and process.environ().get(MARKER_VARIABLE) == identity
        )
    except (psutil.Error, OSError):
        return False  # gone meanwhile, or not ours to look at


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []

"""The supervisor: one supervisord that restarts what dies, and the few calls `up` and `down` make to it.

supervisord starts nothing by itself: `up` starts programs in order and waits for each. Invariants: a
program that dies is started again, for ever, a little later each time; nothing outlives the supervisor
(see `launch.py`); what falls off a program's process tree lands below the supervisor and ends with it.
"""

from __future__ import annotations

import http.client
import os
import resource
import shlex
import signal
import socket
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploy.embedded.errors import PlatformError
from deploy.embedded.home import Home, write_file
from deploy.embedded.processes import MARKER_VARIABLE, Launch, launch_command, spawn

_START_SECONDS = 15.0
_POLL_SECONDS = 0.05
_STOP_WAIT_SECONDS = 25
_COMMAND_VARIABLE = "SLIPWAY_LAUNCH_COMMAND"
_ALREADY_STARTED, _NOT_RUNNING = 60, 70  # xmlrpc.Faults of supervisor

_HEADER = """\
[supervisord]
nodaemon = true
silent = true
identifier = slipway-{identity}
logfile = log/supervisord.log
logfile_maxbytes = 5MB
logfile_backups = 1
loglevel = info
pidfile = etc/supervisord.pid
minfds = {open_files}
umask = 077
nocleanup = true
{user}
[unix_http_server]
file = {socket}
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

# Paths are relative to the home, which is the supervisor's directory, and the command comes out of its
# environment: no character of a path can then be taken for a part of this file.
_PROGRAM = """
[program:{name}]
command = %(ENV_{command})s etc/launch/{name}.json
autostart = false
autorestart = true
startsecs = 1
startretries = 1000000
stopsignal = {stop_signal}
stopwaitsecs = {stop_wait}
killasgroup = true
redirect_stderr = true
stdout_logfile = log/{name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 3
"""


@dataclass(frozen=True)
class ProgramState:
    """What the supervisor says of one program. `state` is its own word: RUNNING, STOPPED, BACKOFF, ..."""

    name: str
    state: str
    pid: int
    since: float
    """Unix time of the last start."""
    message: str

    @property
    def is_running(self) -> bool:
        """Whether a process exists or the supervisor is about to make one."""
        return self.state in ("STARTING", "RUNNING", "BACKOFF")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: object) -> http.client.HTTPConnection:  # noqa: ARG002 - the base class's
        """A fresh connection for each call: one transport serves one thread and one call."""
        return _UnixConnection(self._path)


class Supervisor:
    """One home's supervisord, running or not. Calls are safe from several threads."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._socket = home.socket("supervisor.sock")

    def configure(self, programs: Mapping[str, Launch]) -> set[str]:
        """Write its configuration and every launch file. Answers the programs whose launch changed."""
        marked = self._marked(programs)
        changed = {name for name, launch in marked.items() if launch.write(self._launch_file(name))}
        sections = [
            _PROGRAM.format(
                name=name,
                command=_COMMAND_VARIABLE,
                stop_signal=signal.Signals(launch.death_signal).name.removeprefix("SIG"),
                stop_wait=_STOP_WAIT_SECONDS,
            )
            for name, launch in marked.items()
        ]
        header = _HEADER.format(
            identity=self._home.identity,
            open_files=_open_files(),
            socket=self._socket,
            # Said aloud, so that supervisord does not warn of what is meant.
            user="user = root\n" if os.geteuid() == 0 else "",
        )
        write_file(self._home.etc / "supervisord.conf", header + "".join(sections))
        return changed

    def outdated(self, programs: Mapping[str, Launch]) -> set[str]:
        """The programs that were started from something else than `programs` says now."""
        return {name for name, launch in self._marked(programs).items() if launch.differs(self._launch_file(name))}

    def _marked(self, programs: Mapping[str, Launch]) -> dict[str, Launch]:
        """With the home's mark, by which `down` finds what nobody supervises any more."""
        mark = {MARKER_VARIABLE: self._home.identity}
        return {name: replace(one, environment={**one.environment, **mark}) for name, one in programs.items()}

    def _launch_file(self, name: str) -> Path:
        return self._home.etc / "launch" / f"{name}.json"

    @property
    def pid(self) -> int | None:
        """Its pid when it runs and answers."""
        try:
            return int(self._call("getPID"))
        except PlatformError:
            return None

    def start(self) -> None:
        """Start it and wait until it answers. It outlives us, and a Ctrl-C at our terminal does not reach it."""
        self._socket.unlink(missing_ok=True)
        prefix = shlex.join(launch_command(Path("x"))[:-1]).replace("%", "%%")
        launch = Launch(
            (sys.executable, "-I", "-m", "supervisor.supervisord", "-c", "etc/supervisord.conf"),
            {MARKER_VARIABLE: self._home.identity, _COMMAND_VARIABLE: prefix},
            directory=self._home.root,
            death_signal=0,
            subreaper=True,
        )
        log = self._home.log / "supervisord.start.log"
        log.unlink(missing_ok=True)
        process = spawn(launch, self._launch_file("supervisord"), log, new_session=True)
        deadline = time.monotonic() + _START_SECONDS
        while self.pid is None:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise PlatformError("the supervisor did not start", details=log.read_text(errors="replace"))
            time.sleep(_POLL_SECONDS)

    def states(self) -> dict[str, ProgramState]:
        """Every program by name; empty when the supervisor does not run."""
        try:
            rows: list[dict[str, Any]] = self._call("getAllProcessInfo")
        except PlatformError:
            return {}
        return {
            row["name"]: ProgramState(row["name"], row["statename"], row["pid"], row["start"], row["spawnerr"])
            for row in rows
        }

    def start_program(self, name: str) -> None:
        """Start `name`, at once even where it was waiting for its next attempt. Returns before it is ready."""
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _ALREADY_STARTED:
                raise PlatformError(f"{name} cannot be started: {fault.faultString}") from fault
            state = self.states()[name]
            if state.state == "BACKOFF":
                self._signal_stop(name)
                self.start_program(name)

    def stop_programs(self, names: list[str]) -> None:
        """Stop programs together and wait until each has ended; supervisord kills what ends too slowly."""
        for name in names:
            self._signal_stop(name)
        while any(state.is_running or state.state == "STOPPING" for state in self._of(names)):
            time.sleep(_POLL_SECONDS)  # each question makes supervisord reap at once instead of once a second

    def _of(self, names: list[str]) -> list[ProgramState]:
        return [state for name, state in self.states().items() if name in names]

    def _signal_stop(self, name: str) -> None:
        try:
            self._call("stopProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise PlatformError(f"{name} cannot be stopped: {fault.faultString}") from fault

    def take_up_new_programs(self) -> None:
        """Read the configuration again: a newer version may have more parts than the running supervisor knows."""
        (added, _, _), *_ = self._call("reloadConfig")
        for name in added:
            self._call("addProcessGroup", name)

    def shut_down(self) -> None:
        """End supervisord itself and wait until it no longer answers."""
        self._call("shutdown")
        while self.pid is not None:
            time.sleep(_POLL_SECONDS)  # each question ends its one-second nap

    def _call(self, method: str, *arguments: object) -> Any:
        """One call; raises PlatformError when nobody answers and xmlrpc Fault when the answer is no."""
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(self._socket))
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise PlatformError("the supervisor does not answer", remedy="run `make up`") from error


def _open_files() -> int:
    """As many as we may ask for without being root; the bus and the ingress hold one a connection."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 8192 if hard == resource.RLIM_INFINITY else min(hard, 8192)

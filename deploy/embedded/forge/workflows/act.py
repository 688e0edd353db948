"""One job, run by `act` on this machine: files in, events out, an outcome at the end.

Invariant: whatever happens to the process (it ends, hangs, is cancelled, never starts) there is exactly one outcome.
"""

import json
import os
import selectors
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from deploy.embedded.forge.workflows import yaml_tree
from deploy.embedded.forge.workflows.act_log import Event, JobEnded, Reader
from deploy.embedded.forge.workflows.book import Conclusion
from deploy.embedded.forge.workflows.job_file import LABELS, JobFile
from deploy.embedded.forge.workflows.sandbox import Rooms, Sandbox

_POLL_SECONDS: Final = 0.25
_CHUNK_BYTES: Final = 64 * 1024
_NOISE: Final = ("Couldn't get a valid docker connection", "Error: Job '")
_MOST_OUTPUT_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class Order:
    """What `act` is asked to do."""

    file: JobFile
    job_key: str
    event: str
    payload: str
    variables: Mapping[str, str]
    environment: Mapping[str, str]
    """Of the job: `GITHUB_…` and the like. Reaches `act` by a file, so it shows in no list of processes."""
    token: SecretStr
    """`GITHUB_TOKEN`; reaches `act` by a file too."""
    actor: str
    default_branch: str
    server_url: str
    timeout_seconds: float


@dataclass(frozen=True)
class Outcome:
    """How a job ended, why where that is not in its log, and what it gives to others."""

    conclusion: Conclusion
    problem: str
    outputs: Mapping[str, str]


def run(
    sandbox: Sandbox,
    rooms: Rooms,
    order: Order,
    *,
    reader: Reader,
    hear: Callable[[Event], None],
    is_cancelled: Callable[[], bool],
) -> Outcome:
    """Run a job to its end; `hear` gets its events as they come."""
    mark = f"slipway_{uuid.uuid4()}"
    process = sandbox.start(rooms, _command(sandbox, rooms, order, mark), sandbox.environment(rooms))
    legs: list[str] = []
    ended: Conclusion | None = None
    try:
        looked = time.monotonic()
        deadline = looked + order.timeout_seconds
        for raw in _lines(process):
            for event in reader.read(raw) if raw else ():
                if isinstance(event, JobEnded):
                    legs.append(event.conclusion)
                hear(event)
            now = time.monotonic()
            if now - looked < _POLL_SECONDS:
                continue
            looked = now
            ended = "timed_out" if now > deadline else "cancelled" if is_cancelled() else None
            if ended is not None:
                break
    finally:
        sandbox.end(process, mark)
    if ended == "timed_out":
        minutes = order.timeout_seconds / 60
        return Outcome("timed_out", f"The job has exceeded the maximum execution time of {minutes:g} minutes.", {})
    if ended == "cancelled" or is_cancelled():
        return Outcome("cancelled", "The run was cancelled.", {})
    return _outcome(rooms, legs, process.returncode)


def _outcome(rooms: Rooms, legs: list[str], code: int) -> Outcome:
    if "failure" in legs:
        return Outcome("failure", "", _outputs(rooms))
    if legs:
        return Outcome("success" if "success" in legs else "skipped", "", _outputs(rooms))
    if code == 0:
        # Nothing of the job ran and nothing was wrong: its condition was not met.
        return Outcome("skipped", "", {})
    errors = (rooms.root / "errors").read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line for line in errors if line.strip() and not any(noise in line for noise in _NOISE)]
    return Outcome("failure", "\n".join(said[:20]) or f"The runner ended with exit code {code}.", {})


def _outputs(rooms: Rooms) -> dict[str, str]:
    try:
        raw = rooms.outputs.read_bytes()
        found = json.loads(raw) if len(raw) <= _MOST_OUTPUT_BYTES else {}
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _command(sandbox: Sandbox, rooms: Rooms, order: Order, mark: str) -> list[str]:
    files = {
        "job.yml": order.file.text,
        "event.json": order.payload,
        "variables.yml": yaml_tree.write(dict(order.variables)),
        "environment.yml": yaml_tree.write({**order.environment, "RUNNER_TRACKING_ID": mark}),
        "secrets": f"GITHUB_TOKEN={order.token.get_secret_value()}\n",
        "none": "",
    }
    for name, content in files.items():
        (rooms.root / name).write_text(content, encoding="utf-8")

    def at(name: str) -> str:
        return str(rooms.root / name)

    command = [sandbox.act, order.event, "--job", order.file.collector or order.job_key]
    command += ["--workflows", at("job.yml"), "--eventpath", at("event.json"), "--json", "--no-cache-server"]
    command += ["--var-file", at("variables.yml"), "--env-file", at("environment.yml")]
    command += ["--secret-file", at("secrets"), "--input-file", at("none")]
    command += ["--actor", order.actor, "--defaultbranch", order.default_branch, "--concurrent-jobs", "1"]
    command += ["--github-instance", urlsplit(order.server_url).netloc, "--action-cache-path", str(rooms.act)]
    for label in LABELS:
        command += ["--platform", f"{label}=-self-hosted"]
    return command


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Lines of a process as they come, and an empty one whenever there is nothing for a moment."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    descriptor, rest = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(_POLL_SECONDS):
                yield b""
                continue
            chunk = os.read(descriptor, _CHUNK_BYTES)
            if not chunk:
                break
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
    if rest:
        yield rest

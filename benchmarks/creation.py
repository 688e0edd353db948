"""Creation, plans and deletion with the real parts: Terraform, Postgres, DNS, the ingress, OpenBao, the forge; and what
it costs to run them. A platform of its own in a temporary home, on free ports."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.report import Figure, median, percentile
from deploy.embedded import leftovers
from deploy.embedded.home import Home
from deploy.embedded.ports import free_base

ALONE = 7
TOGETHER = 8
STARTS = 3
_POLL_SECONDS = 0.2
"""Seldom enough for eight clients of one principal to stay within its rate limit; durations are the events' own."""
_LIMIT_SECONDS = 120.0


@dataclass(frozen=True)
class Client:
    """The API of the platform under measurement."""

    url: str
    token: str

    def create(self, name: str) -> dict[str, Any]:
        """Create an environment; returns its run once that has ended well."""
        return self._run("POST", "/api/v1/environments", {"name": name, "golden_path": "nodejs-api"})

    def delete(self, name: str) -> dict[str, Any]:
        """Delete an environment; returns its run once that has ended well."""
        return self._run("DELETE", f"/api/v1/environments/{name}")

    def plan(self, name: str) -> float:
        """Seconds until the plan of a new environment is there."""
        with self._http() as http:
            began = time.perf_counter()
            body = {"name": name, "golden_path": "nodejs-api"}
            http.post("/api/v1/environments:plan", json=body, timeout=30).raise_for_status()
            return time.perf_counter() - began

    def _http(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False)

    def _run(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        with self._http() as http:
            accepted = http.request(method, path, json=body, timeout=30).raise_for_status()
            name, run_id = accepted.json()["environment"]["name"], accepted.json()["run"]["id"]
            deadline = time.monotonic() + _LIMIT_SECONDS
            while time.monotonic() < deadline:
                run: dict[str, Any] = http.get(f"/api/v1/runs/{run_id}", timeout=30).raise_for_status().json()
                if run["state"] == "succeeded":
                    return run
                if run["state"] == "failed":
                    raise RuntimeError(f"{name} failed: {run['failure']}")
                time.sleep(_POLL_SECONDS)
        raise TimeoutError(name)


def measure() -> list[Figure]:
    """Starting, resting, creating one at a time, creating eight at once, planning, deleting."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as directory:
        environment = {
            **os.environ,
            "SLIPWAY_HOME": str(Path(directory) / "home"),
            "SLIPWAY_PORT_BASE": str(free_base()),
        }
        starts = []
        for _ in range(STARTS):
            with platform(environment) as seconds:
                starts.append(seconds)
        with platform(environment):
            home = Path(environment["SLIPWAY_HOME"])
            client = Client(
                f"http://127.0.0.1:{environment['SLIPWAY_PORT_BASE']}",
                (home / "keys" / "admin.token").read_text().strip(),
            )
            client.create("warm-up")
            resting = _resident_megabytes(home)
            return [
                Figure("make up (installed) to ready", median(starts), "s", 12, detail=f"median of {STARTS}"),
                Figure("whole platform at rest", resting, "MB", 1200, detail="proportional set size of all processes"),
                *_creations(client),
            ]


def _creations(client: Client) -> list[Figure]:
    runs = [client.create(f"alone-{number}") for number in range(ALONE)]
    took = [_seconds(run["requested_at"], run["ended_at"]) for run in runs]
    began = time.perf_counter()
    with ThreadPoolExecutor(TOGETHER) as pool:
        together = list(pool.map(client.create, (f"together-{number}" for number in range(TOGETHER))))
    all_seconds = time.perf_counter() - began
    steps = [
        Figure(
            f"  step {step['step']}",
            median(_seconds(run["steps"][index]["started_at"], run["steps"][index]["ended_at"]) for run in runs) * 1000,
            "ms",
        )
        for index, step in enumerate(runs[0]["steps"])
    ]
    slowest = max(_seconds(run["requested_at"], run["ended_at"]) for run in together)
    return [
        Figure(
            "creation, one at a time, p50",
            percentile(took, 0.5),
            "s",
            2.5,
            detail=f"of {ALONE}; slowest {max(took):.2f} s",
        ),
        *steps,
        Figure(f"creation, {TOGETHER} at once, all done", all_seconds, "s", 8, detail=f"slowest one {slowest:.2f} s"),
        *_other_runs(client),
    ]


def _other_runs(client: Client) -> list[Figure]:
    plans = [client.plan(f"planned-{number}") for number in range(ALONE)]
    runs = [client.delete(f"alone-{number}") for number in range(ALONE)]
    took = [_seconds(run["requested_at"], run["ended_at"]) for run in runs]
    return [
        Figure("plan of a new environment, p50", percentile(plans, 0.5), "s", 3, detail=f"slowest {max(plans):.2f} s"),
        Figure("deletion, p50", percentile(took, 0.5), "s", detail=f"of {ALONE}; slowest {max(took):.2f} s"),
    ]


@contextmanager
def platform(environment: dict[str, str]) -> Iterator[float]:
    """A running platform; yields the seconds that `up` took."""
    command = [sys.executable, "-m", "deploy.embedded"]
    began = time.perf_counter()
    try:
        # What it says when it fails is for whoever measures.
        subprocess.run([*command, "up"], env=environment, check=True, stdout=subprocess.DEVNULL)
        yield time.perf_counter() - began
    finally:
        subprocess.run([*command, "down"], env=environment, check=True, stdout=subprocess.DEVNULL)


def _resident_megabytes(home: Path) -> float:
    """The proportional set size of every process of the platform: shared pages count once."""
    total = 0
    for process in leftovers.find(Home.at(home)):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()

"""A trace store for the traced runs: the platform's own, in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from deploy.embedded.ports import free_port


@contextmanager
def trace_store(directory: Path) -> Iterator[str]:
    """Its base URL, once it is ready."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "SLIPWAY_TRACES_PORT": str(port), "SLIPWAY_TRACES_DATA": str(directory / "traces")}
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.embedded.traces"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            try:
                if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)

"""The port `Infrastructure`, made real by Terraform: threads, locks and sockets around `adapters/terraform.py`.

Invariants: one run an environment at a time, over all processes of this machine; each run has a provider and a socket
of its own; whoever stops waiting has Terraform stopped, with its state saved, before they hear of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

from opentelemetry import context as otel_context

from contracts.values import Receipt
from services.provisioner.adapters.terraform import CONFIGURATION, STATE, TerraformCommand, TerraformRun
from services.provisioner.adapters.terraform_process import StopSwitch
from services.provisioner.adapters.terraform_provider.access import Access
from services.provisioner.adapters.terraform_provider.provider import SlipwayProvider
from services.provisioner.adapters.terraform_provider.server import (
    ProviderServer,
    check_private,
    remove_stale_sockets,
)
from services.provisioner.adapters.terraform_workspace import (
    CLI_CONFIG,
    TerraformKnobs,
    cli_config,
    environment_of,
    has_resources,
    locked,
    write,
)
from services.provisioner.ports import Applied, Files, Line, Report

_Result = TypeVar("_Result")


class TerraformInfrastructure:
    """The port `Infrastructure`, made real. Each run has a thread, a provider and a socket of its own."""

    def __init__(self, knobs: TerraformKnobs, access: Access) -> None:
        """Prepare the directories. Raises OSError or PermissionError when they cannot be ours."""
        # Commands, files and variables: the library logs them all, and some are not for logs.
        logging.getLogger("python_terraform").setLevel(logging.CRITICAL + 1)
        self._knobs = knobs
        self._access = access
        knobs.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_private(knobs.sockets)
        remove_stale_sockets(knobs.sockets)
        write(knobs.directory / CLI_CONFIG, cli_config(knobs).encode())
        self._threads = ThreadPoolExecutor(knobs.runs_at_once, thread_name_prefix="terraform")

    async def apply(self, environment: str, files: Files, report: Report) -> Applied:
        """See the port."""
        return await self._run(environment, report, lambda run: run.apply(files))

    async def destroy(self, environment: str, files: Files, report: Report) -> Receipt:
        """See the port."""
        return await self._run(environment, report, lambda run: run.destroy(files))

    async def forget(self, environment: str) -> None:
        """See the port."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._forget, environment)

    async def check(self) -> None:
        """Raises where Terraform cannot be run or the disk for its state cannot be written."""
        if shutil.which(self._knobs.argv[0]) is None:
            raise FileNotFoundError(f"{self._knobs.argv[0]} is not installed: set SLIPWAY_PROVISIONER_TERRAFORM")
        if not os.access(self._knobs.directory, os.W_OK):
            raise PermissionError(f"{self._knobs.directory} cannot be written")

    async def close(self) -> None:
        """Wait for the runs under way."""
        await asyncio.to_thread(self._threads.shutdown)

    async def _run(self, environment: str, report: Report, work: Callable[[TerraformRun], _Result]) -> _Result:
        """Do `work` in a thread; when the caller is cancelled, Terraform is stopped and waited for first."""
        loop = asyncio.get_running_loop()
        switch = StopSwitch(self._knobs.stop_grace_seconds)

        def tell(line: Line) -> None:
            loop.call_soon_threadsafe(report, line)

        def in_thread() -> _Result:
            with locked(self._knobs.directory / environment), self._serving(environment, tell, switch) as run:
                return work(run)

        future = loop.run_in_executor(self._threads, copy_context().run, in_thread)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            switch.throw()
            await asyncio.wait([future])
            future.exception()  # looked at: the cancellation is what the caller hears of
            raise

    @contextmanager
    def _serving(self, environment: str, tell: Callable[[Line], None], switch: StopSwitch) -> Iterator[TerraformRun]:
        provider = SlipwayProvider(self._access)
        with ProviderServer(provider, self._knobs.sockets) as server:
            directory = self._knobs.directory / environment / CONFIGURATION
            directory.mkdir(mode=0o700, exist_ok=True)
            terraform = TerraformCommand(
                self._knobs.argv,
                directory,
                environment_of(self._knobs) | server.environment,
                tell=tell,
                # The provider's spans belong below the command that is under way.
                entered=lambda: setattr(provider, "parent_context", otel_context.get_current()),
                switch=switch,
                timeout_seconds=self._knobs.command_timeout_seconds,
            )
            yield TerraformRun(self._knobs, environment, provider, terraform)

    def _forget(self, environment: str) -> None:
        directory = self._knobs.directory / environment
        if directory.exists():
            with locked(directory):
                if not has_resources(directory / STATE):
                    shutil.rmtree(directory)

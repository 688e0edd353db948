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
from pathlib import Path
from typing import TypeVar

from opentelemetry import context as otel_context

from chassis.failures import TransientError
from contracts.plans import PlannedChange
from contracts.values import Receipt
from services.provisioner.adapters.terraform import CONFIGURATION, STATE, TerraformCommand, TerraformRun
from services.provisioner.adapters.terraform_initialised import Initialised
from services.provisioner.adapters.terraform_process import StopSwitch
from services.provisioner.adapters.terraform_provider.access import Access
from services.provisioner.adapters.terraform_provider.provider import SlipwayProvider
from services.provisioner.adapters.terraform_provider.server import (
    ProviderServer,
    check_private,
    remove_stale_sockets,
)
from services.provisioner.adapters.terraform_restore import Restoration
from services.provisioner.adapters.terraform_workspace import (
    CLI_CONFIG,
    TerraformKnobs,
    cli_config,
    copy_state,
    environment_of,
    has_resources,
    locked,
    remove_stale_scratch,
    scratch,
    write,
)
from services.provisioner.domain import on_local_state
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
        remove_stale_scratch(knobs)
        write(knobs.directory / CLI_CONFIG, cli_config(knobs).encode())
        self._threads = ThreadPoolExecutor(knobs.runs_at_once, thread_name_prefix="terraform")
        self._planners = ThreadPoolExecutor(knobs.plans_at_once, thread_name_prefix="terraform-plan")
        self._plans = 0
        self._initialised = Initialised()

    async def plan(self, environment: str, files: Files, *, new: bool) -> tuple[PlannedChange, ...]:
        """See the port. Raises TransientError at once where too many others wait."""
        if self._plans >= self._knobs.plans_at_once + self._knobs.plans_waiting:
            raise TransientError("too many plans are asked for at once; ask again in a few seconds", delay_seconds=5)
        self._plans += 1
        try:
            return await self._interruptible(
                self._planners, lambda switch: self._look(environment, files, switch, new=new)
            )
        finally:
            self._plans -= 1

    async def apply(self, environment: str, files: Files, report: Report, *, keep_data: bool = False) -> Applied:
        """See the port."""
        return await self._run(environment, report, lambda run: run.apply(files, keep_data=keep_data))

    async def restore(self, environment: str, failed: Files, before: Files, run_id: str, report: Report) -> Receipt:
        """See the port."""
        return await self._run(environment, report, lambda run: Restoration(run, run_id).restore(failed, before))

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
        await asyncio.to_thread(self._planners.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._threads.shutdown)

    async def _run(self, environment: str, report: Report, work: Callable[[TerraformRun], _Result]) -> _Result:
        """Do `work` on the environment's own directory, alone."""
        loop = asyncio.get_running_loop()
        directory = self._knobs.directory / environment

        def tell(line: Line) -> None:
            loop.call_soon_threadsafe(report, line)

        def in_thread(switch: StopSwitch) -> _Result:
            with locked(directory), self._serving(directory, tell, switch, self._knobs.command_timeout_seconds) as run:
                return work(run)

        return await self._interruptible(self._threads, in_thread)

    async def _interruptible(self, threads: ThreadPoolExecutor, work: Callable[[StopSwitch], _Result]) -> _Result:
        """Do `work` in a thread; when the caller is cancelled, Terraform is stopped and waited for first."""
        switch = StopSwitch(self._knobs.stop_grace_seconds)
        context = copy_context()
        future = asyncio.get_running_loop().run_in_executor(threads, lambda: context.run(work, switch))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            switch.throw()
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # looked at: the cancellation is what the caller hears of
            raise

    def _look(self, environment: str, files: Files, switch: StopSwitch, *, new: bool) -> tuple[PlannedChange, ...]:
        with scratch(self._knobs, environment) as directory:
            if not new:
                copy_state(self._knobs.directory / environment / STATE, directory / STATE)
            with self._serving(directory, _nobody_listens, switch, self._knobs.plan_timeout_seconds) as run:
                return run.look(on_local_state(files) if new else files)

    @contextmanager
    def _serving(
        self, directory: Path, tell: Callable[[Line], None], switch: StopSwitch, timeout_seconds: float
    ) -> Iterator[TerraformRun]:
        provider = SlipwayProvider(self._access)
        with ProviderServer(provider, self._knobs.sockets) as server:
            configuration = directory / CONFIGURATION
            configuration.mkdir(mode=0o700, exist_ok=True)
            terraform = TerraformCommand(
                self._knobs.argv,
                configuration,
                environment_of(self._knobs) | server.environment,
                tell=tell,
                # The provider's spans belong below the command that is under way.
                entered=lambda: setattr(provider, "parent_context", otel_context.get_current()),
                switch=switch,
                timeout_seconds=timeout_seconds,
            )
            yield TerraformRun(self._knobs, directory, provider, terraform, self._initialised, tell)

    def _forget(self, environment: str) -> None:
        directory = self._knobs.directory / environment
        if directory.exists():
            with locked(directory):
                if not has_resources(directory / STATE):
                    shutil.rmtree(directory)


def _nobody_listens(line: Line) -> None:
    """For output that nobody waits for."""

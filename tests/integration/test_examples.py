"""The programs in docs/examples, as they stand there, against a gateway that runs; and what their credential may do."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from chassis.bus import Bus
from contracts import subjects
from contracts.events import EnvironmentDeletionRequested, EnvironmentRequested
from tests.gateways import (
    KEY,
    Platform,
    admin_client,
    ask_bus,
    asked,
    created,
    events_of,
    everybody_on,
    gateway_platform,
    name,
    say,
    told_to_its_end,
)
from tests.machines import PROJECT
from tests.stories import Story
from tests.waiting import until

EXAMPLES = PROJECT / "docs" / "examples"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with gateway_platform(tmp_path_factory.mktemp("gateway")) as found:
        yield found


@pytest.fixture
async def api(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with admin_client(platform) as client:
        yield client


@pytest.fixture
async def buses(platform: Platform) -> AsyncIterator[dict[str, Bus]]:
    async with everybody_on(platform) as connected:
        yield connected


@contextlib.asynccontextmanager
async def example(platform: Platform, file: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program, started; it is ended with the block."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT),
        "NATS_URL": platform.nats.url,
        "NATS_SEED_FILE": str(platform.nats.nkey_file("client")),
        "SLIPWAY_URL": platform.url,
        "SLIPWAY_TOKEN_FILE": str(platform.admin_token_file),
    }
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / file),
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield program
    finally:
        with contextlib.suppress(ProcessLookupError):
            program.kill()
        await program.wait()


async def printed(platform: Platform, file: str, *arguments: str) -> list[str]:
    """What it prints until it ends well."""
    async with example(platform, file, *arguments) as program, asyncio.timeout(120):
        output, _ = await program.communicate()
    assert program.returncode == 0, output.decode()
    return output.decode().splitlines()


async def requested(buses: dict[str, Bus], environment: str) -> EnvironmentRequested:
    await until(lambda: _said(buses, environment), what="the request")
    first = (await events_of(buses["gateway"], environment))[0]
    assert isinstance(first, EnvironmentRequested)
    return first


async def _said(buses: dict[str, Bus], environment: str, count: int = 1) -> bool:
    return len(await events_of(buses["gateway"], environment)) >= count


async def test_an_environment_is_asked_for_over_the_bus(
    api: httpx.AsyncClient, platform: Platform, buses: dict[str, Bus]
) -> None:
    environment = name()
    async with example(platform, "request_over_the_bus.py", environment, "nodejs-api") as program:
        await told_to_its_end(buses, await requested(buses, environment))
        async with asyncio.timeout(120):
            output, _ = await program.communicate()
    first, last = output.decode().splitlines()
    assert first.startswith(f"asked for {environment} run ")
    assert last == f"{environment} succeeded"


async def test_a_deployment_told_over_http_and_over_the_bus_is_one_fact(
    api: httpx.AsyncClient, platform: Platform, buses: dict[str, Bus]
) -> None:
    environment = (await created(api, buses)).subject
    fact = (environment, "build-7", "succeeded", "0123abc", datetime.now(UTC).isoformat())
    over_http = await printed(platform, "record_deployment.py", *fact)
    assert await printed(platform, "record_deployment.py", "--bus", *fact) == over_http

    async def is_shown() -> bool:
        shown = (await api.get(f"/api/v1/environments/{environment}")).json()
        return bool(shown["deployment"] == "deployed" and shown["last_deployment"]["deployment_id"] == "build-7")

    await until(is_shown, what="the deployment")


async def test_an_environment_for_a_test_is_made_and_taken_away(
    api: httpx.AsyncClient, platform: Platform, buses: dict[str, Bus]
) -> None:
    environment = name()
    async with example(platform, "environment_for_a_test.py", environment, "nodejs-api") as program:
        request = await requested(buses, environment)
        await told_to_its_end(buses, request)
        ready = len(Story.after(KEY, request).create().events) + 1
        await until(lambda: _said(buses, environment, ready + 1), what="the request to delete it")
        deletion = (await events_of(buses["gateway"], environment))[-1]
        assert isinstance(deletion, EnvironmentDeletionRequested)
        for event in Story.after(KEY, deletion).undo("pipeline").events[1:]:
            await say(buses, event)
        async with asyncio.timeout(120):
            output, _ = await program.communicate()
    assert program.returncode == 0, output.decode()
    assert "infrastructure succeeded" in output.decode()
    assert "ready at http" in output.decode()


async def test_what_a_request_is_answered_with_never_lands_in_a_stream(
    api: httpx.AsyncClient, platform: Platform, buses: dict[str, Bus]
) -> None:
    """The gateway may publish what `client` may not: it must not be sent there."""

    async def facts() -> int:
        answer = await buses["catalog"].ask(f"$JS.API.STREAM.INFO.{subjects.SIGNALS}", b"")
        return int(json.loads(answer.data)["state"]["last_seq"])

    before, environment = await facts(), name()
    body: dict[str, Any] = asked(environment)
    await buses["client"].client.publish(
        subjects.request("create_environment"),
        json.dumps(body).encode(),
        reply="signal.shop.deployment_recorded",
        headers={"Authorization": f"Bearer {platform.admin_token}"},
    )
    await until(lambda: "has no inbox to answer to" in platform.logs(), what="the refusal")
    status, _, _ = await ask_bus(buses["client"], "get_run", {"id": "nobodys"}, platform.admin_token)
    assert status == 404
    assert await facts() == before
    assert await events_of(buses["gateway"], environment) == []

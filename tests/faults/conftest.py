"""One cheap platform for the tests of the checker."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from chassis.identity import EventKey
from tests.faults.cheap import CheapPlatform, cheap_platform
from tests.saga.driver import Driver, Log


@pytest.fixture(scope="package")
def cheap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CheapPlatform]:
    with cheap_platform(tmp_path_factory.mktemp("faults")) as found:
        yield found


@pytest.fixture
async def driver(cheap: CheapPlatform) -> AsyncIterator[Driver]:
    on = cheap.on
    token = await asyncio.to_thread(on.admin_token_file.read_text)
    bus = cheap.connect()
    await bus.connect()
    headers = {"Authorization": f"Bearer {token.strip()}"}
    async with httpx.AsyncClient(base_url=on.gateway_url, headers=headers, timeout=15, trust_env=False) as http:
        yield Driver(on, cheap.world, "", Log(), http, bus, EventKey.from_file(on.event_key_file))
    await bus.close()

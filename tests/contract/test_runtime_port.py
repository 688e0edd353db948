"""One suite for the gateway's port `Runtime`: the twin, and the local runtime over HTTP beside a real ingress."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from uuid import UUID

import pytest
from pydantic import SecretStr

from chassis.clock import FixedClock
from chassis.failures import TransientError
from contracts.deployments import Rollback
from deploy.embedded.ports import free_port
from services.gateway.adapters.memory_runtime import MemoryRuntime
from services.gateway.adapters.runtime import HttpRuntime
from services.gateway.ports import NothingToGoBackToError, Runtime
from tests import samples
from tests.runtimes import SITE, TOKEN, RuntimeUnderTest, archive, client_of, order, runtime_beside_caddy

_names = (f"app-{number}" for number in count())


@dataclass
class World:
    """A runtime behind the port, and a way to make room for an environment in it."""

    runtime: Runtime
    make: Callable[[], str]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeUnderTest]:
    with runtime_beside_caddy(tmp_path_factory.mktemp("runtime")) as found:
        yield found


@pytest.fixture(params=["twin", "real"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "twin":
        yield World(MemoryRuntime(FixedClock(samples.AT), UUID(int=1)), lambda: next(_names))
        return
    running: RuntimeUnderTest = request.getfixturevalue("running")

    def make() -> str:
        name = next(_names)
        running.make_slot(name)
        return name

    async with client_of(running):
        real = HttpRuntime(running.url, SecretStr(TOKEN))
        yield World(real, make)
        await real.close()


async def release(text: str) -> AsyncIterator[bytes]:
    """A site with this text, in two pieces."""
    packed = archive({"dist/index.html": text})
    yield packed[:10]
    yield packed[10:]


async def broken() -> AsyncIterator[bytes]:
    yield b"broken"


def asked(deployment_id: str, to: str | None = None) -> Rollback:
    return Rollback(deployment_id=deployment_id, author="ada", to=to)


async def test_a_release_becomes_live_and_the_one_before_stays(world: World) -> None:
    name = world.make()
    first = await world.runtime.deploy(name, order("r1", SITE), release("one"))
    second = await world.runtime.deploy(name, order("r2", SITE), release("two"))

    assert (first.state, first.previous) == ("succeeded", None)
    assert (second.state, second.previous) == ("succeeded", first.commit)
    view = await world.runtime.look(name)
    assert view is not None
    assert view.live is not None
    assert view.live.deployment_id == "r2"
    assert {one.deployment_id for one in view.releases} == {"r1", "r2"}
    assert [one.deployment_id for one in view.deployments] == ["r2", "r1"]


async def test_a_deployment_told_again_is_answered_and_not_done_again(world: World) -> None:
    name = world.make()
    first = await world.runtime.deploy(name, order("r1", SITE), release("one"))
    await world.runtime.deploy(name, order("r2", SITE), release("two"))

    assert await world.runtime.deploy(name, order("r1", SITE), release("other")) == first
    view = await world.runtime.look(name)
    assert view is not None
    assert view.live is not None
    assert view.live.deployment_id == "r2"


async def test_a_release_that_does_not_come_up_changes_nothing(world: World) -> None:
    name = world.make()
    good = await world.runtime.deploy(name, order("r1", SITE), release("one"))
    bad = await world.runtime.deploy(name, order("r2", SITE), broken())

    assert bad.state == "failed"
    assert bad.code
    assert bad.reason
    assert bad.previous == good.commit
    view = await world.runtime.look(name)
    assert view is not None
    assert view.live is not None
    assert view.live.deployment_id == "r1"
    assert [one.state for one in view.deployments] == ["failed", "succeeded"]


async def test_going_back_takes_what_is_kept_once_for_each_id(world: World) -> None:
    name = world.make()
    one = await world.runtime.deploy(name, order("r1", SITE), release("one"))
    two = await world.runtime.deploy(name, order("r2", SITE), release("two"))

    back = await world.runtime.roll_back(name, asked("b1"))
    assert (back.state, back.release_id, back.commit, back.previous) == ("succeeded", "r1", one.commit, two.commit)
    assert await world.runtime.roll_back(name, asked("b1")) == back
    assert (await world.runtime.roll_back(name, asked("b2", two.commit[:9]))).release_id == "r2"
    with pytest.raises(NothingToGoBackToError):
        await world.runtime.roll_back(name, asked("b3", "0123456"))


async def test_where_nothing_was_deployed_there_is_nothing_to_go_back_to(world: World) -> None:
    with pytest.raises(NothingToGoBackToError):
        await world.runtime.roll_back(world.make(), asked("b1"))


async def test_an_environment_that_is_not_there_has_no_place_and_no_output(world: World) -> None:
    assert await world.runtime.look("nowhere") is None
    assert [line async for line in world.runtime.output("nowhere", 10, follow=False)] == []


async def test_a_runtime_that_is_away_is_told_from_one_that_refuses() -> None:
    away = HttpRuntime(f"http://127.0.0.1:{free_port()}", SecretStr(TOKEN))
    for call in (away.look("x"), away.roll_back("x", asked("b")), away.deploy("x", order("r", SITE), broken())):
        with pytest.raises(TransientError):
            await call
    with pytest.raises(TransientError):
        await anext(aiter(away.output("x", 1, follow=False)))
    await away.close()


async def test_a_wrong_token_opens_nothing(running: RuntimeUnderTest) -> None:
    async with client_of(running):
        stranger = HttpRuntime(running.url, SecretStr("wrong"))
        with pytest.raises(TransientError):
            await stranger.look("x")
        await stranger.close()

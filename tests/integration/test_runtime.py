"""The local runtime with a real ingress and real processes: switching, failing, going back, coming back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.embedded import leftovers
from deploy.embedded.runtime.variables import SLOT_VARIABLE
from tests.runtimes import (
    SERVER,
    SITE,
    WORKER,
    Client,
    RuntimeUnderTest,
    client_of,
    ending,
    host,
    order,
    program,
    runtime_beside_caddy,
)
from tests.waiting import until

TIRING = """
calm = Handler.do_GET
def tire(self):
    os._exit(7) if self.path == "/tire" else calm(self)
Handler.do_GET = tire
"""
DYING = """
answering = Handler.do_GET
def answer_and_die(self):
    answering(self)
    threading.Timer(0.1, lambda: (print("I give up", flush=True), os._exit(7))).start()
Handler.do_GET = answer_and_die
"""
WORKING = """
import os, pathlib, time
while True:
    pathlib.Path(os.environ["HEARTBEAT_FILE"]).write_text("alive")
    time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeUnderTest]:
    with runtime_beside_caddy(tmp_path_factory.mktemp("runtime")) as found:
        yield found


@pytest.fixture
async def client(runtime: RuntimeUnderTest) -> AsyncIterator[Client]:
    async with client_of(runtime) as found:
        yield found


def processes_of(runtime: RuntimeUnderTest, environment: str) -> list[psutil.Process]:
    """What runs with this slot in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(SLOT_VARIABLE) == str(runtime.data / environment):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


async def test_what_is_deployed_answers_at_the_environments_address(runtime: RuntimeUnderTest, client: Client) -> None:
    runtime.make_slot("first")
    assert "push" in (await client.browse("first")).text

    outcome = await client.deploy("first", order("d1"), program("one"))

    assert (outcome.state, outcome.code, outcome.previous) == ("succeeded", "", None)
    assert await client.text("first") == "one"
    view = await client.view("first")
    assert view.state == "healthy"
    assert view.live is not None
    assert view.live.deployment_id == "d1"
    [copy] = view.copies
    assert copy.pid is not None


async def test_no_request_fails_during_twenty_switches_under_load(runtime: RuntimeUnderTest, client: Client) -> None:
    runtime.make_slot("busy")
    assert (await client.deploy("busy", order("b0"), program("0"))).state == "succeeded"
    answers: list[int | str] = []
    over = asyncio.Event()

    async def visit(path: str) -> None:
        async with httpx.AsyncClient(timeout=20) as browser:
            while not over.is_set():
                try:
                    answer = await browser.get(f"{client.ingress}{path}", headers={"Host": host("busy")})
                    answers.append(answer.status_code)
                except httpx.HTTPError as error:
                    answers.append(repr(error))

    visitors = [asyncio.create_task(visit(path)) for path in ("/", "/", "/", "/slow")]
    # One push as it comes from outside, the others between two releases that are kept.
    assert (await client.deploy("busy", order("b1"), program("1"))).state == "succeeded"
    for number in range(19):
        answer = await client.http.post(
            "/slots/busy:rollback", json={"deployment_id": f"back{number}", "author": "ada"}
        )
        assert answer.json()["state"] == "succeeded", answer.text
    over.set()
    await asyncio.gather(*visitors)

    assert [answer for answer in answers if answer != 200] == []
    assert len(answers) > 100


async def test_a_release_that_never_is_ready_leaves_the_old_one_live(runtime: RuntimeUnderTest, client: Client) -> None:
    runtime.make_slot("steady")
    await client.deploy("steady", order("good"), program("good"))

    wanted = order("bad", SERVER)
    outcome = await client.deploy("steady", wanted, program("bad", more='sys.exit("no database today")'))

    assert (outcome.state, outcome.code) == ("failed", "crashed")
    assert "no database today" in outcome.lines
    assert await client.text("steady") == "good"
    view = await client.view("steady")
    assert view.state == "healthy"
    assert [release.deployment_id for release in view.releases] == ["good"]
    assert not (runtime.data / "steady" / "releases" / "bad").exists()


async def test_a_release_that_ends_right_after_the_switch_is_rolled_back(
    runtime: RuntimeUnderTest, client: Client
) -> None:
    runtime.make_slot("looping")
    await client.deploy("looping", order("fine"), program("fine"))

    outcome = await client.deploy("looping", order("dying"), program("dying", more=DYING))

    assert (outcome.state, outcome.code) == ("failed", "crashed")
    assert "exit code 7" in outcome.reason
    assert "I give up" in outcome.lines
    assert await client.text("looping") == "fine"


async def test_a_release_that_keeps_ending_later_on_is_gone_back_from(
    runtime: RuntimeUnderTest, client: Client
) -> None:
    runtime.make_slot("tiring")
    await client.deploy("tiring", order("steady"), program("steady"))
    assert (await client.deploy("tiring", order("weary"), program("weary", more=TIRING))).state == "succeeded"

    async def went_back() -> bool:
        # Each such request ends the new one; it is started again, until that is enough.
        with contextlib.suppress(httpx.TransportError):
            await client.browse("tiring", "/tire")
        return (await client.view("tiring")).deployments[0].deployment_id.startswith("back-")

    await until(went_back, what="the way back")
    view = await client.view("tiring")
    assert (view.deployments[0].state, view.deployments[0].release_id) == ("succeeded", "steady")
    assert view.live is not None
    assert view.live.deployment_id == "steady"
    assert await client.text("tiring") == "steady"


async def test_a_crash_is_followed_by_a_restart_with_backoff(runtime: RuntimeUnderTest, client: Client) -> None:
    runtime.make_slot("fragile")
    await client.deploy("fragile", order("f1"), program("here"))
    before = (await client.view("fragile")).copies[0].pid

    answer = await client.browse("fragile", "/exit")
    assert answer.status_code == 502

    async def came_back() -> bool:
        view = await client.view("fragile")
        return view.state == "healthy" and view.copies[0].pid not in {before, None}

    await until(came_back, what="the restart")
    assert (await client.view("fragile")).copies[0].restarts == 1
    # While it was away requests waited.
    assert await client.text("fragile") == "here"


async def test_a_worker_runs_without_a_route_and_is_known_by_its_heartbeat(
    runtime: RuntimeUnderTest, client: Client
) -> None:
    mark = runtime.make_slot("jobs", route=False)
    outcome = await client.deploy("jobs", order("w1", WORKER), {"main.py": WORKING})

    assert outcome.state == "succeeded", outcome
    assert (await client.view("jobs")).state == "healthy"
    assert (await client.browse("jobs")).status_code == 404
    runtime.remove_slot(mark)
    assert processes_of(runtime, "jobs") == []


async def test_a_site_is_served_from_its_files(runtime: RuntimeUnderTest, client: Client) -> None:
    runtime.make_slot("site")
    files = {
        "dist/index.html": "<h1>hello</h1>",
        "dist/about.html": "about",
        "dist/404.html": "nothing here",
        "dist/assets/site.0123456789ab.css": "body{}",
        "dist/.secret": "hidden",
        "server.js": "",
    }
    outcome = await client.deploy("site", order("s1", SITE), files)
    assert outcome.state == "succeeded", outcome

    page = await client.browse("site")
    assert page.text == "<h1>hello</h1>"
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert (await client.browse("site", "/about")).text == "about"
    assert "immutable" in (await client.browse("site", "/assets/site.0123456789ab.css")).headers["cache-control"]
    for path in ("/nowhere", "/.secret", "/../server.js", "/..%2fserver.js"):
        missing = await client.browse("site", path)
        assert (missing.status_code, missing.text) == (404, "nothing here"), path
        assert missing.headers["x-content-type-options"] == "nosniff"
    assert processes_of(runtime, "site") == []

    await client.deploy("site", order("s2", SITE), files | {"dist/index.html": "<h1>again</h1>"})
    assert (await client.browse("site")).text == "<h1>again</h1>"
    unbuilt = await client.deploy("site", order("s3", SITE), {"server.js": ""})
    assert (unbuilt.state, unbuilt.code) == ("failed", "unusable_release")
    assert (await client.browse("site")).text == "<h1>again</h1>"


async def test_going_back_takes_the_release_before_or_the_one_named(runtime: RuntimeUnderTest, client: Client) -> None:
    runtime.make_slot("history")
    wanted = {name: order(name) for name in ("h1", "h2", "h3", "h4")}
    for name, one in wanted.items():
        assert (await client.deploy("history", one, program(name))).state == "succeeded"

    async def back(identity: str, to: str | None) -> httpx.Response:
        body = {"deployment_id": identity, "author": "ada", "to": to}
        return await client.http.post("/slots/history:rollback", json=body)

    answer = await back("back-1", None)
    assert (answer.json()["state"], answer.json()["previous"]) == ("succeeded", wanted["h4"].commit)
    assert await client.text("history") == "h3"
    assert (await back("back-2", wanted["h2"].commit[:9])).json()["release_id"] == "h2"
    assert await client.text("history") == "h2"
    gone = await back("back-3", "h1")
    assert gone.status_code == 409
    assert wanted["h2"].commit[:12] in gone.text
    # Told again it is the same deployment: nothing happens.
    assert (await back("back-1", None)).json()["release_id"] == "h3"
    assert await client.text("history") == "h2"


async def test_the_newest_deployment_wins(runtime: RuntimeUnderTest, client: Client) -> None:
    runtime.make_slot("hurry")
    await client.deploy("hurry", order("q0"), program("zero"))
    slow = asyncio.create_task(client.deploy("hurry", order("q1"), program("slow", status=503)))

    async def is_starting() -> bool:
        return len(processes_of(runtime, "hurry")) == 2

    await until(is_starting, what="the slow release")
    newest = await client.deploy("hurry", order("q2"), program("newest"))

    assert newest.state == "succeeded"
    assert (await slow).code == "superseded"
    assert await client.text("hurry") == "newest"
    again = await client.deploy("hurry", order("q2"), program("something else"))
    assert again == newest
    assert await client.text("hurry") == "newest"


async def test_as_many_copies_run_as_the_environment_has_instances(runtime: RuntimeUnderTest, client: Client) -> None:
    mark = runtime.make_slot("wide", instances="2", memory_mib="256")
    await client.deploy("wide", order("x1"), program("wide"))
    view = await client.view("wide")
    assert len({copy.port for copy in view.copies}) == 2
    # One of them is enough.
    psutil.Process(view.copies[0].pid).kill()
    assert [await client.text("wide") for _ in range(4)] == ["wide"] * 4

    runtime.remove_slot(mark)
    assert processes_of(runtime, "wide") == []


async def test_another_number_of_instances_is_followed_without_a_push(
    runtime: RuntimeUnderTest, client: Client
) -> None:
    mark = runtime.make_slot("growing", instances="1", memory_mib="256")
    await client.deploy("growing", order("y1"), program("growing"))
    runtime.change_labels(mark, instances="3", memory_mib="256")

    async def has_grown() -> bool:
        view = await client.view("growing")
        return view.state == "healthy" and len(view.copies) == 3

    await until(has_grown, what="three copies")
    assert [await client.text("growing") for _ in range(6)] == ["growing"] * 6


async def test_a_route_that_is_made_anew_leads_to_what_is_live(runtime: RuntimeUnderTest, client: Client) -> None:
    mark = runtime.make_slot("mended")
    await client.deploy("mended", order("m1"), program("mended"))
    runtime.make_route_again(mark)

    async def is_live_again() -> bool:
        try:
            return (await client.browse("mended")).text == '"mended"'
        except httpx.TransportError:  # a change of its configuration replaces the ingress's servers (decision 23)
            return False

    await until(is_live_again, what="the application behind the new route")


async def test_who_takes_more_memory_than_allowed_is_started_again(runtime: RuntimeUnderTest, client: Client) -> None:
    runtime.make_slot("greedy", instances="1", memory_mib="64")
    hungry = "threading.Timer(0.6, lambda: globals().update(much=b'x' * (100 << 20))).start()"
    assert (await client.deploy("greedy", order("g1"), program("greedy", more=hungry))).state == "succeeded"

    async def was_ended() -> bool:
        lines = (await client.http.get("/slots/greedy/logs")).text
        return "more than its 64 MiB" in lines

    await until(was_ended, what="the end of what is too large")


async def test_a_slot_that_goes_takes_its_processes_with_it(runtime: RuntimeUnderTest, client: Client) -> None:
    mark = runtime.make_slot("going")
    family = "import subprocess; subprocess.Popen(['sleep', '600'])"
    await client.deploy("going", order("go"), program("going", more=family))
    assert len(processes_of(runtime, "going")) == 2

    runtime.remove_slot(mark)

    assert processes_of(runtime, "going") == []
    assert not (runtime.data / "going").exists()
    assert (await client.http.get("/slots/going")).status_code == 404


async def test_applications_come_back_with_a_runtime_that_was_killed(tmp_path: Path) -> None:
    with runtime_beside_caddy(tmp_path) as runtime:
        runtime.make_slot("phoenix")
        async with client_of(runtime) as client:
            await client.deploy("phoenix", order("p1"), program("still here", more="signal.signal(15, signal.SIG_IGN)"))
            [stubborn] = processes_of(runtime, "phoenix")
        runtime.kill()
        runtime.start()
        async with client_of(runtime) as client:

            async def is_back() -> bool:
                return (await client.view("phoenix")).state == "healthy"

            await until(is_back, what="the application")
            assert await client.text("phoenix") == "still here"
            assert (await client.view("phoenix")).live is not None
        assert not leftovers.is_alive(stubborn)
        # The ingress finds it after its own restart, and after its route was made anew.
        runtime.caddy.part.restart()
        async with client_of(runtime) as client:
            assert await client.text("phoenix") == "still here"
        runtime.stop()
        assert processes_of(runtime, "phoenix") == []


async def test_what_an_application_prints_can_be_read_and_followed(runtime: RuntimeUnderTest, client: Client) -> None:
    runtime.make_slot("chatty")
    await client.deploy("chatty", order("c1"), program("chatty", more='print("x" * 40000, file=sys.stderr)'))

    lines = [line for line in (await client.http.get("/slots/chatty/logs?lines=50")).text.splitlines() if line]
    assert any('"serving chatty"' in line for line in lines)
    assert max(len(line) for line in lines) < 17_000
    address = "/slots/chatty/logs?lines=0&follow=true"
    async with client.http.stream("GET", address) as following, ending(client, "chatty"):
        async for line in following.aiter_lines():
            if "exit code 3" in line:
                break


async def test_an_application_sees_its_own_variables_and_none_of_the_runtimes(
    runtime: RuntimeUnderTest, client: Client
) -> None:
    runtime.make_slot("curious")
    await client.deploy("curious", order("e1"), program("curious"))

    seen = await client.text("curious", "/environment")

    assert seen["SLIPWAY_ENVIRONMENT"] == "curious"
    assert seen["HOST"] == "127.0.0.1"
    assert not [name for name in seen if name.startswith("SLIPWAY_RUNTIME")]
    assert "the-runtimes-token" not in str(seen)


async def test_nobody_deploys_without_the_token(runtime: RuntimeUnderTest, client: Client) -> None:
    runtime.make_slot("closed")
    async with httpx.AsyncClient(base_url=runtime.url) as stranger:
        for shown in (None, "", "Bearer", "Bearer wrong", "Basic eDp5"):
            headers = {} if shown is None else {"Authorization": shown}
            for method, path in (
                ("GET", "/slots/closed"),
                ("GET", "/slots/closed/logs"),
                ("PUT", "/slots/closed/releases/x"),
                ("POST", "/slots/closed:rollback"),
                ("POST", "/slots/closed:restart"),
            ):
                assert (await stranger.request(method, path, headers=headers)).status_code == 401, path

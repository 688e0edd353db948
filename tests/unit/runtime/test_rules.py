"""What the runtime decides without running anything: what can be gone back to, how long to wait, what is handed on."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from contracts.deployments import DeploymentOutcome
from contracts.runtime import Runtime
from deploy.embedded.runtime.copies import LONGEST_PAUSE_SECONDS, pause_before_restart
from deploy.embedded.runtime.ingress import Pointers, handlers
from deploy.embedded.runtime.logbook import Logbook
from deploy.embedded.runtime.records import KEPT_OUTCOMES, KeptRelease, Mark, Record, load, save
from deploy.embedded.runtime.turns import SupersededError, Turn
from deploy.embedded.runtime.variables import variables
from deploy.embedded.runtime.vault import Database
from tests import samples
from tests.runtimes import SERVER, SITE, WORKER, order


def release(name: str, minutes: int = 0) -> KeptRelease:
    return KeptRelease(
        **order(name).model_dump(), received_at=samples.AT + timedelta(minutes=minutes), sha256="0" * 64, size_bytes=1
    )


def test_the_pause_before_a_restart_doubles_up_to_a_minute() -> None:
    pauses = [pause_before_restart(number, 0.5) for number in range(10)]
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert pauses[-1] == pause_before_restart(10_000, 0.5) == LONGEST_PAUSE_SECONDS


def test_what_was_live_last_is_what_one_goes_back_to() -> None:
    record = Record()
    assert record.to_go_back_to(None) is None
    one, two, three = (release(name, minutes) for minutes, name in enumerate(("one", "two", "three")))
    for known in (one, two, three):
        record = record.with_live(known, kept=3)
    assert record.to_go_back_to(None) == two
    # Back to the first: then what was live before is the third.
    record = record.with_live(one, kept=3)
    assert record.to_go_back_to(None) == three
    assert [known.deployment_id for known in record.releases] == ["three", "two", "one"]
    assert record.to_go_back_to(two.commit[:7]) == two
    assert record.to_go_back_to(two.commit[:7].upper()) == two
    assert record.to_go_back_to("two") == two
    assert record.to_go_back_to(two.commit[:6]) is None


def test_only_so_many_releases_are_kept_and_the_live_one_always_is() -> None:
    record = Record()
    for number in range(6):
        record = record.with_live(release(f"r{number}", number), kept=2)
    assert [known.deployment_id for known in record.releases] == ["r5", "r4"]
    assert record.with_live(release("r4", 4), kept=1).releases == (release("r4", 4),)


def test_a_record_survives_and_forgets_the_oldest_outcomes(tmp_path: Path) -> None:
    record = Record().with_live(release("one"), 3)
    for number in range(KEPT_OUTCOMES + 5):
        outcome = DeploymentOutcome(
            deployment_id=f"d{number}",
            release_id="one",
            state="succeeded",
            commit="abcdef1",
            branch="main",
            author="ada",
            at=samples.AT,
            duration_seconds=1,
        )
        record = record.with_outcome(outcome)
    save(tmp_path, record)
    assert load(tmp_path) == record
    assert len(record.outcomes) == KEPT_OUTCOMES
    assert record.outcome("d0") is None
    (tmp_path / "runtime.json").write_text("{")
    assert load(tmp_path) == Record()
    with pytest.raises(FileNotFoundError):
        save(tmp_path / "gone", record)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"mark": "slipway environment=other incarnation=00000000-0000-0000-0000-000000000001"}',
        '{"mark": "nobody"}',
        '{"mark": null, "labels": 3}',
    ],
)
def test_a_directory_whose_marker_is_not_the_provisioners_is_no_slot(tmp_path: Path, content: str) -> None:
    slot = tmp_path / "demo"
    slot.mkdir()
    assert Mark.read(slot) is None
    (slot / ".slipway.json").write_text(content)
    assert Mark.read(slot) is None


def test_a_mark_says_how_many_copies_run_and_how_large(tmp_path: Path) -> None:
    slot = tmp_path / "demo"
    slot.mkdir()

    def read(**labels: str) -> Mark:
        content = {"mark": f"slipway environment=demo incarnation={uuid4()}", "labels": labels}
        (slot / ".slipway.json").write_text(json.dumps(content))
        found = Mark.read(slot)
        assert found is not None
        return found

    assert (read(instances="3", memory_mib="256").copies, read(memory_mib="256").memory_mib) == (3, 256)
    assert (read().copies, read().memory_mib) == (1, None)
    assert (read(instances="0").copies, read(instances="1000").copies, read(instances="٣").copies) == (1, 10, 1)


def given(runtime: Runtime, port: int | None = 4000, **secrets: Any) -> dict[str, str]:
    return variables(
        runtime,
        slot=Path("/slots/demo"),
        environment="demo",
        commit="abc",
        url="http://demo",
        port=port,
        heartbeat_file=Path("/slots/demo/run/beat"),
        grace_seconds=12,
        secrets={name: SecretStr(value) for name, value in secrets.items()},
    )


def test_an_application_gets_what_it_was_promised_and_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_RUNTIME_TOKEN_FILE", "/keys/token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of whoever started us")
    seen = given(SERVER, APP_SECRET="s3cret")
    assert (seen["PORT"], seen["HOST"], seen["APP_SECRET"]) == ("4000", "127.0.0.1", "s3cret")
    assert seen["SHUTDOWN_GRACE_SECONDS"] == "10"
    assert not {"SLIPWAY_RUNTIME_TOKEN_FILE", "AWS_SECRET_ACCESS_KEY"} & seen.keys()
    assert given(WORKER, None)["HEARTBEAT_FILE"] == "/slots/demo/run/beat"
    assert "PORT" not in given(WORKER, None)


def test_a_secrets_name_changes_nothing_that_the_platform_says() -> None:
    odd: dict[str, Any] = dict.fromkeys(("no name", "LD=", "", "é"), "x")
    seen = given(SERVER, PORT="1", SLIPWAY_SLOT="/elsewhere", **odd)
    assert (seen["PORT"], seen["SLIPWAY_SLOT"]) == ("4000", "/slots/demo")
    assert not odd.keys() & seen.keys()


def test_a_database_url_holds_any_password() -> None:
    database = Database("127.0.0.1", 5432, "apps")
    found = database.variables("v-env", SecretStr("a/b@c:d?e#%"))
    assert found["DATABASE_URL"].get_secret_value() == (
        "postgresql://v-env:a%2Fb%40c%3Ad%3Fe%23%25@127.0.0.1:5432/apps?sslmode=disable"
    )
    assert "a/b" not in repr(found)


def test_a_pointers_path_means_nothing_to_the_ingress(tmp_path: Path) -> None:
    for odd in ("{env.HOME}", "with space", "new\nline"):
        with pytest.raises(ValueError, match="unusual"):
            Pointers(tmp_path / odd, "demo", "0" * 36)
    pointers = Pointers(Path("/tmp/live"), "demo", "0123456789abcdef")
    proxy = json.dumps(handlers("demo", SERVER, pointers, 2))
    assert "{file./tmp/live/demo.01234567.1}" in proxy
    assert "{file./tmp/live/demo.01234567.0}" in json.dumps(handlers("demo", SITE, pointers, 1))


def test_a_logbook_keeps_a_bounded_part_and_no_secret(tmp_path: Path) -> None:
    book = Logbook(tmp_path, max_bytes=10_000)
    for number in range(1000):
        book.write("abc", "out", f"line {number} with hunter2hunter2", ["hunter2hunter2", "line"])
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert sum(file.stat().st_size for file in files) < 40_000
    assert b"hunter2" not in b"".join(file.read_bytes() for file in files)
    # Too short to be a secret: it would hide half of what is printed.
    assert [line.text for line in book.tail(2)] == ["line 998 with ********", "line 999 with ********"]
    assert len(book.tail(150)) == 150
    assert book.tail(0) == book.tail(10, "other") == []
    (tmp_path / "app.log").open("a").write('{"time": "cut sho')
    assert book.tail(1)[0].text.startswith("line 999")


async def test_who_follows_hears_each_line_once_and_a_slow_reader_the_latest(tmp_path: Path) -> None:
    book = Logbook(tmp_path, max_bytes=10_000_000)
    book.write("abc", "out", "before")
    following = book.follow(1)
    assert (await anext(following)).text == "before"
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    for number in range(5000):
        book.write("abc", "out", str(number))
    assert int((await waiting).text) >= 0
    rest = [int((await anext(following)).text) for _ in range(1000)]
    assert rest == sorted(set(rest))


async def test_work_is_cancelled_as_soon_as_somebody_newer_waits() -> None:
    turn, stopped = Turn(), asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    work = asyncio.create_task(turn.unless_overtaken(endless()))
    await asyncio.sleep(0)
    turn.overtake()
    with pytest.raises(SupersededError):
        await work
    assert stopped.is_set()
    with pytest.raises(SupersededError):
        await turn.unless_overtaken(endless())

"""Reading: histories that change hands, links, golden paths, dead letters."""

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chassis.identity import EventKey
from contracts.parameters import ParameterError
from contracts.queries import StepDuration
from services.gateway.adapters.golden_paths import DirectoryOfGoldenPaths
from services.gateway.ports import DeadLetter
from tests import samples
from tests.stories import Story
from tests.unit.gateway.rig import Rig, principal

KEY = EventKey(b"k" * 32)
GOLDEN_PATHS = Path(__file__).resolve().parents[3] / "golden_paths"


async def test_a_name_that_changed_hands_shows_each_team_its_own_history() -> None:
    rig = Rig()
    first = Story(KEY, owner={"person": "ada", "team": "payments"}).create().ready().delete().deleted()
    second = Story(KEY, owner={"person": "eve", "team": "search"}).create("infrastructure")
    rig.log.events_said = [*first.events, *second.events]
    for who, count in ((principal("developer", "search"), 2), (principal("admin", "platform"), 12)):
        shown, _ = await rig.reading.events(who, "demo-api", 0, 100)
        assert len(shown) == count
    async with rig.client(await rig.token()) as former:
        assert (await former.get("/api/v1/environments/demo-api")).status_code == 404


async def test_a_history_is_read_to_its_end_by_position() -> None:
    rig = Rig()
    rig.log.events_said = Story(KEY).create().ready().events
    async with rig.client(await rig.token()) as client:
        kinds: list[str] = []
        after: int | None = 0
        while after is not None:
            page = (await client.get(f"/api/v1/environments/demo-api/events?after={after}&limit=2")).json()
            kinds += [item["kind"] for item in page["items"]]
            after = page["next_after"]
    assert kinds == [event.kind for event in rig.log.events_said]


async def test_an_environment_tells_where_everything_is_and_no_more() -> None:
    rig = Rig()
    rig.log.events_said = Story(KEY).create().ready().events
    async with rig.client(await rig.token()) as client:
        shown = (await client.get("/api/v1/environments/demo-api")).json()
    assert shown["state"] == "ready"
    assert shown["url"] == "http://demo-api.slipway.localhost:8015"
    assert shown["links"]["logs"] == "/logs/demo-api"
    assert shown["links"]["metrics"] == "https://metrics.example/demo-api"
    assert shown["secrets"] == {
        "path": "env/demo-api/app",
        "version": 1,
        "names": ["APP_SECRET"],
        "database_role": "env-demo-api",
        "access_group": "env:demo-api:developer",
    }
    assert shown["infrastructure"]["database"]["schema_name"] == "env_demo_api"


async def test_a_golden_path_tells_its_form_its_price_and_its_usual_time() -> None:
    rig = Rig()
    rig.log.measured["nodejs-api"] = (StepDuration(step="total", count=9, p50_seconds=12, p90_seconds=30),)
    async with rig.client(await rig.token("viewer")) as client:
        shown = (await client.get("/api/v1/golden-paths/nodejs-api")).json()
        assert set(shown["forms"]["preview"]["properties"]) == {"instances", "database", "ratio"}
        assert shown["cost"] == {"currency": "EUR", "per_hour": {"preview": "0.015", "production": "0.025"}}
        assert shown["durations"] == [{"step": "total", "count": 9, "p50_seconds": 12, "p90_seconds": 30}]
        rig.log.away = True
        assert (await client.get("/api/v1/golden-paths/nodejs-api")).json()["durations"] == []


async def test_the_golden_paths_of_this_repository_are_on_offer() -> None:
    paths = DirectoryOfGoldenPaths(GOLDEN_PATHS)
    await paths.check()
    found = await paths.find("nodejs-api")
    assert found is not None
    assert found.parameters.defaults()["instances"] == 1
    assert await paths.find("../secrets") is None


async def test_a_cache_may_be_asked_for_only_where_the_platform_has_caches() -> None:
    without, having = (DirectoryOfGoldenPaths(GOLDEN_PATHS, has_caches=has) for has in (False, True))
    for name in ("nodejs-api", "worker"):
        there, elsewhere = await having.find(name), await without.find(name)
        assert there is not None
        assert elsewhere is not None
        assert there.resolve("preview", {"cache": True})["cache"] is True
        assert elsewhere.resolve("preview", {})["cache"] is False
        with pytest.raises(ParameterError, match="cannot be chosen"):
            elsewhere.resolve("preview", {"cache": True})


async def test_a_new_version_is_on_offer_a_second_later_and_a_broken_manifest_hides_nobody_else(tmp_path: Path) -> None:
    manifest = (GOLDEN_PATHS / "nodejs-api" / "golden_path.yaml").read_text()
    for name in ("nodejs-api", "broken", "liar"):
        (tmp_path / name).mkdir()
    ours = tmp_path / "nodejs-api" / "golden_path.yaml"
    ours.write_text(manifest)
    (tmp_path / "broken" / "golden_path.yaml").write_text("!!python/object/apply:os.system [id]")
    (tmp_path / "liar" / "golden_path.yaml").write_text(manifest)
    now = [0.0]
    paths = DirectoryOfGoldenPaths(tmp_path, lambda: now[0])
    assert [path.version for path in await paths.all()] == ["1.1.0"]
    ours.write_text(manifest.replace("version: 1.1.0", "version: 1.10.0"))
    assert [path.version for path in await paths.all()] == ["1.1.0"]
    now[0] += 1.1
    assert [path.version for path in await paths.all()] == ["1.10.0"]
    ours.write_text("name: [")
    now[0] += 1.1
    assert await paths.all() == []
    with pytest.raises(LookupError):
        await paths.check()


def letter(sequence: int, **changes: Any) -> DeadLetter:
    values: dict[str, Any] = {
        "sequence": sequence,
        "service": "secrets",
        "subject": "environment.demo-api.infra_ready",
        "reason": "malformed",
        "error": "data: Field required",
        "time": samples.AT + timedelta(seconds=sequence),
        "original_sequence": 17,
        "trace_id": None,
        "body": b'{"a": \xff}',
        "replayable": True,
        **changes,
    }
    return DeadLetter(**values)


async def test_an_admin_sees_dead_letters_newest_first_and_sends_one_back_byte_for_byte() -> None:
    rig = Rig()
    rig.letters.letters = [letter(number) for number in range(1, 6)]
    async with rig.client(await rig.token("admin", "platform", person="root")) as admin:
        page = (await admin.get("/api/v1/admin/dead-letters?limit=2")).json()
        assert [item["sequence"] for item in page["items"]] == [5, 4]
        rest = (await admin.get(f"/api/v1/admin/dead-letters?limit=9&before={page['next_before']}")).json()
        assert ([item["sequence"] for item in rest["items"]], rest["next_before"]) == ([3, 2, 1], None)
        one = (await admin.get("/api/v1/admin/dead-letters/3")).json()
        assert base64.b64decode(one["body_base64"]) == b'{"a": \xff}'
        for _ in range(2):
            sent = await admin.post("/api/v1/admin/dead-letters/3/replay", headers={"Idempotency-Key": "k"})
            assert (sent.status_code, sent.json()["sequence"]) == (202, 1)
        await admin.post("/api/v1/admin/dead-letters/3/replay")
        assert list(rig.letters.replayed.values()) == [(b'{"a": \xff}', "root")] * 2
        assert (await admin.get("/api/v1/admin/dead-letters/99")).status_code == 404


async def test_what_nobody_takes_back_is_not_sent() -> None:
    rig = Rig()
    rig.letters.letters = [letter(1, service="catalog", replayable=False)]
    async with rig.client(await rig.token("admin", "platform")) as admin:
        assert (await admin.post("/api/v1/admin/dead-letters/1/replay")).status_code == 422
    assert rig.letters.replayed == {}

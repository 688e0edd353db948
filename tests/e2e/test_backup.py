"""A machine that was wiped comes back from one file, seen from outside."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.embedded.home import Home
from deploy.embedded.ports import ZONE
from tests.e2e.outside import DEMO_NAME, GOLDEN_PATH, Demo, Said
from tests.stand_ins import wait_until


def _asked(demo: Demo, url: str) -> int | str:
    """The answer's status, or why there is none.

    Asked as browsers do: once more where the connection went before an answer began (RFC 9110, section 9.2.2). The
    ingress may close one when the routes of another environment change (docs/decisions/0023)."""
    try:
        try:
            return demo.get(url).status_code
        except (httpx.RemoteProtocolError, httpx.ReadError):
            return demo.get(url).status_code
    except httpx.TransportError as failure:
        return repr(failure)


@contextmanager
def _watched(demo: Demo) -> Iterator[list[int | str]]:
    """How the application answers meanwhile, time and again."""
    answers: list[int | str] = []
    over = threading.Event()
    url = f"http://{DEMO_NAME}.{ZONE}:{demo.ports['ingress']}"

    def ask() -> None:
        while not over.wait(0.05):
            answers.append(_asked(demo, url))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        over.set()
        asking.join()


@contextmanager
def _wiped(home: Home, aside: Path) -> Iterator[None]:
    """Without a home, until something is there; where nothing is in the end, the next test gets it back."""
    home.root.rename(aside)
    try:
        yield
    finally:
        if home.exists:
            shutil.rmtree(aside)
        else:
            aside.rename(home.root)


def _seen(demo: Demo) -> dict[str, Any]:
    return {
        "environment": {key: demo.show(DEMO_NAME)[key] for key in ("state", "url", "owner", "incarnation", "ready_at")},
        "runs": demo.runs(DEMO_NAME),
        "things": demo.things_of(DEMO_NAME) - {"lease"},
        "secrets": demo.secrets_of(DEMO_NAME),
        "commits": demo.forge("GET", f"/repos/acme/{DEMO_NAME}/commits").json(),
        "desired": demo.forge("GET", "/repos/platform/environments/commits").json(),
        "deployments": demo.slipway("-o", "json", "deployments", DEMO_NAME).json["items"],
        "log": demo.events_in_log(),
        "keys": {path.name: path.read_bytes() for path in demo.home.keys.iterdir()},
    }


# The platform is stopped and started three times, and asked about everything in between.
@pytest.mark.timeout(600)
def test_a_wiped_platform_comes_back_from_its_backup(demo: Demo, tmp_path: Path) -> None:
    passphrase, file = tmp_path / "passphrase", tmp_path / "file"
    passphrase.write_text("correct horse battery staple\n")
    sealed = f"--passphrase-file={passphrase}"
    token = demo.slipway("token", "create", "kept").out.strip()
    before = _seen(demo)

    _succeeds(demo.slipway("create", "midway", "--template", GOLDEN_PATH, "--no-wait"))
    with _watched(demo) as answers:
        _succeeds(demo.slipway("admin", "backup", sealed, str(file)))
    assert answers
    assert set(answers) == {200}, "applications answer while the platform stands still"
    refused = demo.slipway("admin", "restore", sealed, str(file), "--force")
    assert refused.code == 1
    assert "runs" in refused.out + refused.err, "a running platform is not replaced"

    _succeeds(demo.make("down"))
    with _wiped(demo.home, tmp_path / "lost"):
        _succeeds(demo.slipway("admin", "restore", sealed, str(file)))
        _succeeds(demo.make("up"))
        _compare(before, _seen(demo))
    user, password = demo.lease(DEMO_NAME)
    with demo.database(user, password) as connection:
        assert connection.execute("SELECT session_user").fetchone() == (user,)
    assert demo.slipway("whoami", SLIPWAY_TOKEN=token).code == 0, "a token that was given out still opens"
    wait_until(lambda: demo.show(DEMO_NAME)["running"] == "healthy")
    wait_until(lambda: demo.show("midway")["state"] != "creating", seconds=120)
    assert [run["state"] for run in demo.runs("midway")] == ["succeeded"], "what was under way goes on"
    assert demo.things_of("midway") - {"lease"} == before["things"]
    assert demo.create("restored")["run"]["state"] == "succeeded"
    for name in ("restored", "midway"):
        assert demo.slipway("rm", name, "--confirm", name).code == 0


def _compare(before: dict[str, Any], after: dict[str, Any]) -> None:
    # What was under way at the backup has gone on meanwhile.
    commits, log = (before.pop("desired"), after.pop("desired")), (before.pop("log"), after.pop("log"))
    assert commits[1][-len(commits[0]) :] == commits[0]
    assert log[1] > log[0]
    assert after == before


def _succeeds(said: Said) -> None:
    if said.code != 0:
        pytest.fail(f"{said.out}\n{said.err}")

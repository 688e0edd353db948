"""`slipway login`: a person lets a machine in, and only that machine."""

import base64
import hashlib
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from services.gateway.domain.machines import CODE_LASTS
from services.gateway.domain.sessions import csrf_token
from tests.unit.gateway.rig import Rig

OURS = {"Origin": "http://slipway.test"}
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {"challenge": CHALLENGE, "name": "slipway on laptop"}
LOOPBACK = {**ASKED, "port": "40123", "state": "s" * 43}


async def code_for(rig: Rig, role: Any = "developer", *teams: str) -> str:
    """What the page shows to somebody who lets the machine in."""
    secret = await rig.session(role, *teams)
    async with rig.browser(secret) as client:
        answer = await client.post("/cli/login", data={**ASKED, "csrf_token": csrf_token(secret)}, headers=OURS)
    assert answer.status_code == 200, answer.text
    found = re.search(r"<code>([A-Z]{4}(?:-[A-Z]{4}){3})</code>", answer.text)
    assert found, answer.text
    return found[1]


async def redeem(rig: Rig, code: str, verifier: str = VERIFIER) -> Any:
    async with rig.client() as client:
        return await client.post("/api/v1/machine-tokens", json={"code": code, "verifier": verifier})


async def test_a_code_becomes_a_token_of_the_person_who_gave_it() -> None:
    rig = Rig()
    answer = await redeem(rig, await code_for(rig, "developer", "payments", "search"))
    assert answer.status_code == 201
    made = answer.json()
    assert (made["person"], made["role"], made["teams"]) == ("ada", "developer", ["payments", "search"])
    async with rig.client(made["token"]) as client:
        assert (await client.get("/api/v1/me")).json()["token"]["name"] == "slipway on laptop"
        assert (await client.delete("/api/v1/me/token")).status_code == 204
        assert (await client.get("/api/v1/me")).status_code == 401


async def test_a_viewer_gets_a_viewers_token_and_can_end_it() -> None:
    rig = Rig()
    made = (await redeem(rig, await code_for(rig, "viewer"))).json()
    assert made["role"] == "viewer"
    async with rig.client(made["token"]) as client:
        assert (await client.delete("/api/v1/me/token")).status_code == 204


async def test_a_code_may_be_typed_as_people_type() -> None:
    rig = Rig()
    code = await code_for(rig)
    assert (await redeem(rig, code.lower().replace("-", " "))).status_code == 201


async def test_a_code_is_good_once_and_burnt_by_the_wrong_machine() -> None:
    rig = Rig()
    code = await code_for(rig)
    assert (await redeem(rig, code)).status_code == 201
    assert (await redeem(rig, code)).status_code == 401
    code = await code_for(rig)
    assert (await redeem(rig, code, "w" * 64)).status_code == 401
    assert (await redeem(rig, code)).status_code == 401


async def test_a_code_is_good_for_five_minutes() -> None:
    rig = Rig()
    code = await code_for(rig)
    rig.clock.at += CODE_LASTS
    assert (await redeem(rig, code)).status_code == 401


async def test_the_browser_takes_the_code_to_this_machine_and_nowhere_else() -> None:
    rig = Rig()
    secret = await rig.session()
    async with rig.browser(secret) as client:
        page = await client.get("/cli/login", params=LOOPBACK)
        assert page.status_code == 200
        assert "form-action 'self' http://127.0.0.1:40123;" in page.headers["Content-Security-Policy"]
        answer = await client.post("/cli/login", data={**LOOPBACK, "csrf_token": csrf_token(secret)}, headers=OURS)
    assert answer.status_code == 303
    back = urlsplit(answer.headers["Location"])
    assert (back.scheme, back.netloc) == ("http", "127.0.0.1:40123")
    said = parse_qs(back.query)
    assert said["state"] == ["s" * 43]
    assert (await redeem(rig, said["code"][0])).status_code == 201


@pytest.mark.parametrize(
    "changes",
    [
        {"port": "80"},
        {"port": "99999"},
        {"port": "40123@evil.test"},
        {"port": "40123/x"},
        {"port": ""},
        {"state": "short"},
        {"state": None},
        {"port": None},
        {"challenge": None},
        {"challenge": "x"},
        {"name": None},
        {"name": "<b>"},
        {"name": "x" * 61},
        {"redirect_uri": "http://evil.test/"},
        {"port": ["40123", "40124"]},
    ],
)
async def test_what_slipway_login_would_never_send_is_refused(changes: dict[str, Any]) -> None:
    rig = Rig()
    asked = {name: value for name, value in {**LOOPBACK, **changes}.items() if value is not None}
    async with rig.browser(await rig.session()) as client:
        answer = await client.get("/cli/login", params=asked)
    assert answer.status_code == 422
    assert "evil" not in answer.text


async def test_nobody_lets_a_machine_in_without_signing_in_or_without_the_form_of_their_session() -> None:
    rig = Rig()
    async with rig.browser() as client:
        page = await client.get("/cli/login", params=LOOPBACK)
        assert page.status_code == 303
        assert page.headers["Location"].startswith("/sign-in?next=%2Fcli%2Flogin%3F")
        assert (await client.post("/cli/login", data=ASKED, headers=OURS)).status_code == 401
    async with rig.browser(await rig.session()) as client:
        assert (await client.post("/cli/login", data=ASKED, headers=OURS)).status_code == 403
    assert not rig.machine_codes.rows


async def test_guesses_are_refused_without_a_word_about_why() -> None:
    rig = Rig()
    for code in ("BCDF-GHJK-LMNP-QRST", "bcdfghjklmnpqrst"):
        answer = await redeem(rig, code)
        assert answer.status_code == 401
    assert (await redeem(rig, "x'; DROP TABLE--")).status_code == 422

"""The browser's door: who is let in by a session, what a form needs, and what a page looks like when it goes wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import Request, Response
from pydantic import SecretStr

from services.gateway.api.application import application
from services.gateway.api.browser import CSRF_FIELD, Page, Visitor, serve_pages
from services.gateway.api.context import Gateway
from services.gateway.api.cookies import Site
from services.gateway.api.limits import RateLimiter
from services.gateway.domain.refusals import NO_SUCH_ENVIRONMENT, UnknownThingError
from services.gateway.domain.sessions import csrf_token
from tests.unit.gateway.rig import Rig, ask

OURS = {"Origin": "http://slipway.test"}


async def show_name(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    return Response(f"{visitor.principal.person} {visitor.csrf_token}", media_type="text/html")


async def show_anybody(request: Request, visitor: Visitor | None, gateway: Gateway) -> Response:
    return Response(visitor.principal.person if visitor else "nobody", media_type="text/html")


async def show_environment(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    view = await gateway.reading.environment(visitor.principal, request.path_params["name"])
    return Response(view.spec.name)


async def change(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    return Response(str((await request.form()).get("value")))


PAGES = (
    Page("GET", "/pages/me", show_name),
    Page("GET", "/pages/anybody", show_anybody, anonymous=True),
    Page("GET", "/pages/admin", show_name, "admin"),
    Page("GET", "/pages/environments/{name}", show_environment),
    Page("POST", "/pages/change", change, "developer"),
)


@asynccontextmanager
async def browser(rig: Rig, session: SecretStr | None) -> AsyncIterator[httpx.AsyncClient]:
    app = application(rig.gateway, rig.gate, pages=PAGES)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://slipway.test") as client:
        client.headers["Accept"] = "text/html"
        if session is not None:
            client.cookies.set("slipway_session", session.get_secret_value())
        yield client


# -- who is let in


async def test_whoever_is_not_signed_in_is_sent_to_sign_in_and_back() -> None:
    async with browser(Rig(), None) as client:
        answer = await client.get("/pages/me?tab=1&x=%2F")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/sign-in?next=%2Fpages%2Fme%3Ftab%3D1%26x%3D%252F"


async def test_a_session_shows_its_person_the_page() -> None:
    rig = Rig()
    secret = await rig.session()
    async with browser(rig, secret) as client:
        answer = await client.get("/pages/me")
    assert answer.text == f"ada {csrf_token(secret)}"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("presented", ["x", "A" * 43, "é" * 43, "", "a;b"])
async def test_a_made_up_session_opens_nothing(presented: str) -> None:
    async with browser(Rig(), None) as client:
        answer = await client.get("/pages/me", headers=[(b"Cookie", f"slipway_session={presented}".encode())])
    assert answer.status_code == 303


async def test_a_session_ends_when_nobody_uses_it_and_at_its_fixed_end() -> None:
    rig = Rig()
    secret = await rig.session()
    idle, longest = rig.sessions.idle, rig.sessions.longest
    async with browser(rig, secret) as client:
        begun = rig.clock.now()
        while rig.clock.at + idle / 2 < begun + longest:
            rig.clock.at += idle / 2
            assert (await client.get("/pages/me")).status_code == 200
        rig.clock.at = begun + longest
        assert (await client.get("/pages/me")).status_code == 303
    other = await rig.session()
    rig.clock.at += idle
    async with browser(rig, other) as client:
        assert (await client.get("/pages/me")).status_code == 303


async def test_a_session_that_was_ended_opens_nothing() -> None:
    rig = Rig()
    secret, other = await rig.session(), await rig.session()
    await rig.sessions.end(secret)
    for shown, status in ((secret, 303), (other, 200)):
        async with browser(rig, shown) as client:
            assert (await client.get("/pages/me")).status_code == status


async def test_a_role_that_does_not_reach_gets_a_page_that_says_so() -> None:
    rig = Rig()
    async with browser(rig, await rig.session("developer")) as client:
        answer = await client.get("/pages/admin")
    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "You may not do this" in answer.text


async def test_another_teams_environment_is_a_page_that_is_not_there() -> None:
    rig = Rig()
    token = await rig.token("developer", "search")
    async with rig.client(token) as client:
        asked = await client.post("/api/v1/environments", json={"name": "theirs", "golden_path": "nodejs-api"})
        assert asked.status_code == 202
    async with browser(rig, await rig.session("developer", "payments")) as client:
        theirs, nobodys = await client.get("/pages/environments/theirs"), await client.get("/pages/environments/none")
        assert theirs.status_code == nobodys.status_code == 404
        assert NO_SUCH_ENVIRONMENT.partition(",")[0] in theirs.text
        assert theirs.text == nobodys.text
        api = await client.get("/api/v1/environments/theirs")
    assert api.status_code == 404
    async with browser(rig, await rig.session("developer", "search", person="bob")) as client:
        assert (await client.get("/pages/environments/theirs")).text == "theirs"


async def test_a_page_for_everybody_knows_who_is_signed_in() -> None:
    rig = Rig()
    async with browser(rig, None) as client:
        assert (await client.get("/pages/anybody")).text == "nobody"
    async with browser(rig, await rig.session()) as client:
        assert (await client.get("/pages/anybody")).text == "ada"


async def test_headers_of_a_proxy_make_nobody_anybody() -> None:
    said = {"X-Forwarded-User": "admin", "X-Remote-User": "admin", "X-Forwarded-Host": "evil.test"}
    async with browser(Rig(), None) as client:
        page, api = await client.get("/pages/me", headers=said), await client.get("/api/v1/me", headers=said)
    assert (page.status_code, api.status_code) == (303, 401)


async def test_an_unknown_address_is_a_page_for_a_browser_and_a_problem_for_a_program() -> None:
    async with browser(Rig(), None) as client:
        page = await client.get("/nowhere")
        problem = await client.get("/nowhere", headers={"Accept": "*/*"})
    assert page.status_code == problem.status_code == 404
    assert page.headers["Content-Type"].startswith("text/html")
    assert problem.headers["Content-Type"] == "application/problem+json"


async def test_the_portal_may_bring_its_own_page_for_problems() -> None:
    rig = Rig()
    app = application(rig.gateway, rig.gate, pages=())

    async def missing(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
        raise UnknownThingError("gone")

    async def mine(request: Request, visitor: Visitor | None, gateway: Gateway, problem: Any) -> Response:
        return Response(f"mine: {problem.detail} {visitor is not None}", problem.status)

    serve_pages(app, rig.gate, rig.gateway, (Page("GET", "/gone", missing),), frame=lambda *_: {}, show_problem=mine)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://slipway.test") as client:
        client.cookies.set("slipway_session", (await rig.session()).get_secret_value())
        answer = await client.get("/gone")
    assert (answer.status_code, answer.text) == (404, "mine: gone True")


# -- forms


async def test_a_form_of_our_own_page_is_heard() -> None:
    rig = Rig()
    secret = await rig.session()
    async with browser(rig, secret) as client:
        answer = await client.post("/pages/change", data={"value": "ünï", CSRF_FIELD: csrf_token(secret)}, headers=OURS)
    assert (answer.status_code, answer.text) == (200, "ünï")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.test"},
        {"Origin": "https://slipway.test"},
        {"Origin": "http://slipway.test:81"},
        {"Origin": "http://slipway.test.evil.test"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {**OURS, "Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_a_form_from_elsewhere_is_refused_even_with_the_right_token(headers: dict[str, str]) -> None:
    rig = Rig()
    secret = await rig.session()
    async with browser(rig, secret) as client:
        answer = await client.post(
            "/pages/change", data={"value": "1", CSRF_FIELD: csrf_token(secret)}, headers=headers
        )
    assert answer.status_code == 403


async def test_a_form_without_the_token_of_its_session_is_refused() -> None:
    rig = Rig()
    secret, other = await rig.session(), await rig.session(person="eve")
    async with browser(rig, secret) as client:
        for fields in ({}, {CSRF_FIELD: ""}, {CSRF_FIELD: csrf_token(other)}, {CSRF_FIELD: ["x", csrf_token(secret)]}):
            answer = await client.post("/pages/change", data={"value": "1", **fields}, headers=OURS)
            assert answer.status_code == 403, fields
        as_json = await client.post("/pages/change", json={CSRF_FIELD: csrf_token(secret)}, headers=OURS)
        assert as_json.status_code == 415
        huge = await client.post("/pages/change", data={"value": "x" * 70_000}, headers=OURS)
        assert huge.status_code == 413


async def test_a_form_without_a_session_is_told_to_sign_in() -> None:
    async with browser(Rig(), None) as client:
        answer = await client.post("/pages/change", data={"value": "1"}, headers=OURS)
    assert answer.status_code == 401
    assert "WWW-Authenticate" not in answer.headers
    assert "/sign-in" in answer.text


# -- the API by cookie


async def test_a_browser_reads_the_api_and_its_streams_with_its_session() -> None:
    rig = Rig()
    secret = await rig.session()
    async with rig.browser(secret) as client:
        me = await client.get("/api/v1/me")
        assert me.json()["person"] == "ada"
        asked = await rig.asking.create((await rig.sessions.find(secret)).principal, ask(), key="k")
        address = f"/api/v1/runs/{asked.request.event_id}/stream"
        stream = await client.get(address, headers={"Last-Event-ID": "x"})
        assert stream.status_code == 422  # past the door


async def test_a_session_changes_nothing_through_the_api() -> None:
    rig = Rig()
    async with rig.browser(await rig.session("admin")) as client:
        for method, address in (("POST", "/api/v1/environments"), ("POST", "/api/v1/tokens")):
            answer = await client.request(method, address, json={"name": "x"}, headers=OURS)
            assert answer.status_code == 401
        assert (await client.delete("/api/v1/environments/x", headers=OURS)).status_code == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_sites_request_reads_nothing_with_a_session(site: str) -> None:
    rig = Rig()
    async with rig.browser(await rig.session()) as client:
        answer = await client.get("/api/v1/me", headers={"Sec-Fetch-Site": site})
    assert answer.status_code == 401


async def test_a_wrong_token_is_not_made_good_by_a_session() -> None:
    rig = Rig()
    async with rig.browser(await rig.session()) as client:
        answer = await client.get("/api/v1/me", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401


# -- cookies


def test_where_people_come_by_tls_the_cookie_is_bound_to_this_host() -> None:
    for url, expected in (
        ("https://slipway.test", "__Host-slipway_session=v; HttpOnly; Max-Age=60; Path=/; SameSite=lax; Secure"),
        ("http://slipway.test", "slipway_session=v; HttpOnly; Max-Age=60; Path=/; SameSite=lax"),
    ):
        response = Response()
        Site(url).set_cookie(response, "slipway_session", SecretStr("v"), 60)
        assert response.headers["Set-Cookie"] == expected


async def test_an_admin_signs_a_person_out_everywhere() -> None:
    rig = Rig()
    secret = await rig.session()
    async with rig.client(await rig.token("developer", person="eve")) as client:
        assert (await client.delete("/api/v1/people/ada/sessions")).status_code == 403
    async with rig.client(await rig.token("admin", person="cleo")) as client:
        assert (await client.delete("/api/v1/people/ada/sessions")).json() == {"ended": 1}
    async with rig.browser(secret) as client:
        assert (await client.get("/api/v1/me")).status_code == 401


async def test_ones_sessions_are_ended_by_oneself_and_by_an_admin_and_by_nobody_else() -> None:
    rig = Rig()
    await rig.session()
    await rig.session()
    eve = (await rig.sessions.find(await rig.session(person="eve"))).principal
    with pytest.raises(Exception, match="role admin"):
        await rig.sessions.end_all(eve, "ada")
    admin = (await rig.sessions.find(await rig.session("admin", person="cleo"))).principal
    assert await rig.sessions.end_all(admin, "ada") == 2
    assert len(rig.session_store.rows) == 2
    assert timedelta(0) < rig.sessions.idle < rig.sessions.longest


# -- limits and traces


async def test_whoever_asks_for_pages_too_often_waits_and_is_told_how_long() -> None:
    rig = Rig(limiter=RateLimiter(per_second=0.1, at_once=2))
    secret = await rig.session()
    async with browser(rig, secret) as client, browser(rig, None) as nobody:
        assert [(await client.get("/pages/me")).status_code for _ in range(3)] == [200, 200, 429]
        assert [(await nobody.get("/pages/anybody")).status_code for _ in range(2)] == [200, 200]
        answer = await nobody.get("/pages/anybody")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_a_fault_is_a_page_without_a_word_of_the_inside() -> None:
    rig = Rig()

    async def fault(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
        raise RuntimeError("the password is hunter2")

    app = application(rig.gateway, rig.gate, pages=(Page("GET", "/pages/fault", fault),))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://slipway.test") as client:
        client.cookies.set("slipway_session", (await rig.session()).get_secret_value())
        answer = await client.get("/pages/fault")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text

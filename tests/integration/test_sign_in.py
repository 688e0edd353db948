"""People sign in for real: the gateway as a process, OpenBao as the OpenID provider, and its page."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from html import unescape
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest

from deploy.embedded.openbao_identity import AUTHORIZE_PATH, PEOPLE, PROVIDER_PATH, Operator, operator, people_file
from deploy.embedded.openbao_policies import MANAGE, document
from deploy.embedded.testing import start_provider
from deploy.embedded.testing_postgres import start_postgres
from tests.gateways import name
from tests.people import Stage, start_stage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with start_stage(tmp_path_factory.mktemp("sign-in")) as running:
        yield running


@asynccontextmanager
async def browser(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """A browser: it keeps cookies, asks for pages, and follows nothing by itself."""
    await stage.platform.ready()
    async with httpx.AsyncClient(base_url=stage.platform.url, headers={"Accept": "text/html"}, timeout=30) as client:
        yield client


async def to_the_form(client: httpx.AsyncClient, next_path: str) -> str:
    """From a page of the portal to the provider's form; its address."""
    asked = await client.get(next_path)
    assert asked.status_code == 303
    chooser = await client.get(asked.headers["Location"])
    assert chooser.status_code == 200
    found = re.search(r'href="(/sign-in/start[^"]*)"', chooser.text)
    assert found, chooser.text
    started = await client.get(unescape(found[1]))
    assert started.status_code == 303, started.text
    form = await client.get(started.headers["Location"])
    assert form.status_code == 200
    action = re.search(r'action="([^"]*)"', form.text)
    assert action
    return urljoin(str(form.url), unescape(action[1]))


async def sign_in(stage: Stage, client: httpx.AsyncClient, person: str, next_path: str = "/cli/login") -> str:
    """The whole way; where the browser is in the end."""
    action = await to_the_form(client, next_path)
    answered = await client.post(action, data={"name": person, "password": stage.provider.password(person)})
    assert answered.status_code == 303, answered.text
    back = answered.headers["Location"]
    assert back.startswith(f"{stage.platform.url}/sign-in/callback?")
    finished = await client.get(back)
    assert finished.status_code == 303, finished.text
    return str(finished.headers["Location"])


def origin(stage: Stage) -> dict[str, str]:
    return {"Origin": stage.platform.url}


async def test_a_person_signs_in_and_comes_to_where_they_wanted(stage: Stage) -> None:
    async with browser(stage) as client:
        assert await sign_in(stage, client, "ann", "/cli/login?name=x") == "/cli/login?name=x"
        me = (await client.get("/api/v1/me")).json()
    assert (me["person"], me["role"], me["teams"]) == ("ann", "developer", ["payments"])


async def test_groups_of_the_provider_give_role_and_teams(stage: Stage) -> None:
    for person, role, team in (("bob", "developer", "search"), ("cleo", "admin", "platform")):
        async with browser(stage) as client:
            await sign_in(stage, client, person)
            me = (await client.get("/api/v1/me")).json()
        assert (me["person"], me["role"], me["teams"]) == (person, role, [team])


async def test_signing_in_again_is_the_same_person_in_another_session(stage: Stage) -> None:
    async with browser(stage) as client:
        await sign_in(stage, client, "ann")
        first = client.cookies["slipway_session"]
        action_token = client.cookies["slipway_signing_in"]
        started = await client.get("/sign-in/start")
        form = await client.get(started.headers["Location"])
        answered = await client.post(str(form.url), data={"name": "ann", "password": stage.provider.password("ann")})
        await client.get(answered.headers["Location"])
        assert client.cookies["slipway_session"] != first
        assert client.cookies["slipway_signing_in"] == action_token
        assert (await client.get("/api/v1/me")).json()["person"] == "ann"
        client.cookies.set("slipway_session", first, domain="127.0.0.1")
    async with browser(stage) as old:
        old.cookies.set("slipway_session", first)
        assert (await old.get("/api/v1/me")).status_code == 401


async def test_a_session_that_was_planted_never_opens_anything(stage: Stage) -> None:
    planted = "A" * 43
    async with browser(stage) as client:
        client.cookies.set("slipway_session", planted, domain="127.0.0.1", path="/")
        await sign_in(stage, client, "ann")
    async with browser(stage) as attacker:
        attacker.cookies.set("slipway_session", planted)
        assert (await attacker.get("/api/v1/me")).status_code == 401


async def test_a_wrong_password_gets_no_further_and_does_not_say_what_was_wrong(stage: Stage) -> None:
    async with browser(stage) as client:
        action = await to_the_form(client, "/cli/login")
        pages = [
            await client.post(action, data={"name": person, "password": "wrong"}) for person in ("bob", "nobody", "..")
        ]
    assert {page.status_code for page in pages} == {401}
    assert len({re.sub(r'value="\w*"| autofocus', "", page.text) for page in pages}) == 1


async def test_a_name_is_locked_after_five_wrong_passwords(stage: Stage) -> None:
    operator = stage.provider.bao
    async with httpx.AsyncClient(base_url=operator.url) as bao:
        password = operator.admin_password_file.read_text().strip()
        token = (await bao.post("/v1/auth/userpass/login/admin", json={"password": password})).json()
        headers = {"X-Vault-Token": token["auth"]["client_token"]}
        await bao.post("/v1/auth/userpass/users/dora", json={"password": "right-one"}, headers=headers)
    async with browser(stage) as client:
        action = await to_the_form(client, "/cli/login")
        for _ in range(6):
            await client.post(action, data={"name": "dora", "password": "wrong"})
        answer = await client.post(action, data={"name": "dora", "password": "right-one"})
    assert answer.status_code == 401


async def test_a_code_is_good_once_and_only_in_the_browser_that_set_out(stage: Stage) -> None:
    async with browser(stage) as client, browser(stage) as other:
        action = await to_the_form(client, "/cli/login")
        answered = await client.post(action, data={"name": "ann", "password": stage.provider.password("ann")})
        back = answered.headers["Location"]
        await other.get("/sign-in/start")
        assert (await other.get(back)).status_code == 401
        # The state was used up by the wrong browser: nobody finishes this sign-in any more.
        assert (await client.get(back)).status_code == 401
        assert "slipway_session" not in client.cookies
        await sign_in(stage, client, "ann")
        action = await to_the_form(other, "/cli/login")
        answered = await other.post(action, data={"name": "ann", "password": stage.provider.password("ann")})
        code = parse_qs(urlsplit(answered.headers["Location"]).query)["code"][0]
        assert (await other.get(answered.headers["Location"])).status_code == 303
        again = await client.get("/sign-in/start")
        state = parse_qs(urlsplit(again.headers["Location"]).query)["state"][0]
        stolen = await client.get("/sign-in/callback", params={"state": state, "code": code})
    assert stolen.status_code == 401


async def test_the_provider_sends_nobody_to_an_address_that_is_not_ours(stage: Stage) -> None:
    async with browser(stage) as client:
        action = await to_the_form(client, "/cli/login")
        elsewhere = re.sub(r"redirect_uri=[^&]*", "redirect_uri=http%3A%2F%2Fevil.test%2F", action)
        answer = await client.post(elsewhere, data={"name": "ann", "password": stage.provider.password("ann")})
    assert answer.status_code == 400
    assert "evil.test" not in answer.headers.get("Location", "")


async def test_the_page_has_no_way_into_openbao(stage: Stage) -> None:
    url = stage.provider.addresses.sign_in_url
    async with httpx.AsyncClient(base_url=url) as client:
        for path in ("/v1/sys/health", "/v1/auth/userpass/login/ann", f"{PROVIDER_PATH}/authorize", "/v1/kv/data/env"):
            assert (await client.post(path, json={"password": "x"})).status_code in {404, 405}
        page = await client.get(AUTHORIZE_PATH)
        assert "form-action 'self' " + stage.platform.url in page.headers["Content-Security-Policy"]
        foreign = await client.post(AUTHORIZE_PATH, data={"name": "ann"}, headers={"Sec-Fetch-Site": "cross-site"})
        assert foreign.status_code == 403


async def test_signing_out_ends_the_session_for_good(stage: Stage) -> None:
    async with browser(stage) as client:
        await sign_in(stage, client, "ann")
        session = client.cookies["slipway_session"]
        page = await client.get("/cli/login", params={"challenge": "a" * 43, "name": "laptop"})
        token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert token
        refused = await client.post("/sign-out", data={"csrf_token": "x"}, headers=origin(stage))
        assert refused.status_code == 403
        answer = await client.post("/sign-out", data={"csrf_token": token[1]}, headers=origin(stage))
        assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?signed-out=")
        assert "slipway_session" not in client.cookies
        client.cookies.set("slipway_session", session)
        assert (await client.get("/api/v1/me")).status_code == 401


async def test_another_teams_environment_is_not_there_for_a_session(stage: Stage) -> None:
    environment = name()
    async with browser(stage) as client:
        made = await client.post(
            "/api/v1/environments",
            json={"name": environment, "golden_path": "nodejs-api", "team": "payments"},
            headers={"Authorization": f"Bearer {stage.platform.admin_token}"},
        )
        assert made.status_code == 202, made.text
        run = made.json()["run"]["id"]
        await sign_in(stage, client, "bob")
        for address in (f"environments/{environment}", f"runs/{run}", f"runs/{run}/stream"):
            assert (await client.get(f"/api/v1/{address}")).status_code == 404
    async with browser(stage) as client:
        await sign_in(stage, client, "ann")
        assert (await client.get(f"/api/v1/environments/{environment}")).status_code == 200
        async with client.stream("GET", f"/api/v1/runs/{run}/stream") as stream:
            assert stream.status_code == 200


async def test_what_a_database_keeps_opens_nothing(stage: Stage) -> None:
    async with browser(stage) as client:
        await sign_in(stage, client, "ann")
        secret = client.cookies["slipway_session"]
    with stage.platform.postgres.connect() as connection:
        for table in ("sessions", "sign_ins", "people", "machine_codes"):
            rows = connection.execute(f"SELECT t::text FROM gateway.{table} t").fetchall()  # noqa: S608 - our own names
            assert not any(secret in row[0] for row in rows)
    assert secret not in stage.platform.logs()
    assert stage.provider.password("ann") not in stage.platform.logs()


async def test_everything_that_up_makes_again_is_made_as_it_was(stage: Stage) -> None:
    before = stage.provider.client_id_file.read_text(), stage.provider.password("ann")
    stage.provider.bao.vault.finish()
    async with browser(stage) as client:
        await sign_in(stage, client, "ann")
    assert before == (stage.provider.client_id_file.read_text(), stage.provider.password("ann"))


def remove(bao: Operator, path: str) -> None:
    answer = httpx.delete(f"{bao.url}/v1/{path}", headers={"X-Vault-Token": bao.token})
    assert answer.status_code == 204, answer.text


async def test_a_home_of_an_earlier_version_gets_people_and_keeps_what_was_changed(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("earlier")
    with (
        start_postgres(directory / "postgres") as postgres,
        start_provider(directory, postgres, stage.platform.url) as provider,
    ):
        vault, keys = provider.bao.vault, provider.bao.vault.keys
        password = provider.bao.admin_password_file.read_text().strip()
        with operator(vault.url, "admin", password) as bao:
            # As it was before there was any sign-in, but with somebody who has a login, and an entity that the secrets
            # service made for it.
            accessor = (bao.read("sys/auth") or {})["userpass/"]["accessor"]
            for path in (
                *(f"identity/entity/name/{person.name}" for person in PEOPLE),
                *(f"auth/userpass/users/{person.name}" for person in PEOPLE),
                *(f"identity/group/name/{group}" for person in PEOPLE for group in person.groups),
                "identity/oidc/provider/slipway",
                "identity/oidc/client/slipway-gateway",
                "identity/oidc/scope/groups",
                "identity/oidc/key/slipway",
            ):
                remove(bao, path)
            bao.write("auth/userpass/users/ann", password="her own")
            bao.write("identity/entity/name/person:ann")
            entity = (bao.read("identity/entity/name/person:ann") or {})["id"]
            bao.write("identity/entity-alias", name="ann", canonical_id=entity, mount_accessor=accessor)
            rules = {"auth/userpass/users/*": MANAGE, "identity/entity/*": MANAGE, "identity/group/*": MANAGE}
            old = {**rules, "sys/auth": ("read",), "sys/policies/acl/*": MANAGE, "identity/entity-alias": MANAGE}
            bao.write("sys/policies/acl/slipway-operator", policy=document(old))
        people_file(keys).unlink()

        vault.finish()

        with operator(vault.url, "admin", password) as bao:
            assert (bao.read("identity/group/name/team:payments") or {})["member_entity_ids"] == [entity]
            assert bao.read("identity/group/name/slipway-admins")
            remove(bao, "auth/userpass/users/bob")
        vault.finish()
        with operator(vault.url, "admin", password) as bao:
            assert bao.read("auth/userpass/users/bob") is None, "who left stays away"
        login = {"password": "her own"}
        async with httpx.AsyncClient(base_url=vault.url) as client:
            assert (await client.post("/v1/auth/userpass/login/ann", json=login)).status_code == 200

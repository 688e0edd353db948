"""Signing in: what an issuer must show before anybody is let in, and what becomes of whom it shows."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from structlog.testing import capture_logs

from chassis.failures import TransientError
from services.gateway.adapters.oidc import ALGORITHMS, Client, OpenIdProvider, ProviderSettings
from services.gateway.domain.identities import GroupRules, Identity, names_for
from services.gateway.domain.refusals import InvalidError
from services.gateway.domain.sessions import csrf_token
from services.gateway.domain.sign_ins import LASTS, local_path
from services.gateway.ports import IssuerRefusedError
from tests.unit.gateway.issuers import CALLBACK, CLIENT_ID, CLIENT_SECRET, ISSUER, LocalIssuer
from tests.unit.gateway.rig import Rig

NONCE, STATE, VERIFIER = "the-nonce", SecretStr("the-state"), SecretStr("v" * 43)


@pytest.fixture(scope="module")
def key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})


def provider_of(issuer: LocalIssuer, now: Callable[[], float] = lambda: 0.0) -> OpenIdProvider:
    settings = ProviderSettings(ISSUER, CALLBACK)
    client = Client(CLIENT_ID, SecretStr(CLIENT_SECRET))
    return OpenIdProvider(settings, lambda: client, issuer.clock, issuer.transport, now)


@pytest.fixture
def issuer(key: RSAKey) -> LocalIssuer:
    return LocalIssuer(Rig().clock, key)


@pytest.fixture
def provider(issuer: LocalIssuer) -> OpenIdProvider:
    return provider_of(issuer)


async def redeemed(provider: OpenIdProvider, issuer: LocalIssuer, **changes: Any) -> Identity:
    said = issuer.authorize(await provider.address(STATE, NONCE, VERIFIER))
    return await provider.redeem(
        SecretStr(said["code"]),
        changes.get("nonce", NONCE),
        changes.get("verifier", VERIFIER),
        changes.get("said_by"),
    )


# -- what the issuer must show


async def test_whom_the_issuer_vouches_for_is_known_by_issuer_and_subject(
    provider: OpenIdProvider, issuer: LocalIssuer
) -> None:
    issuer.claims = {"email": "boss@corp.test", "email_verified": True}
    assert await redeemed(provider, issuer) == Identity(ISSUER, "4711", "ann", ("team:payments",))


async def test_an_authorization_endpoint_keeps_its_own_parameters(
    provider: OpenIdProvider, issuer: LocalIssuer
) -> None:
    query = parse_qs(urlsplit(await provider.address(STATE, NONCE, VERIFIER)).query)
    assert query["kept"] == ["1"]
    assert query["scope"] == ["openid profile groups"]
    assert VERIFIER.get_secret_value() not in str(query)
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS512"])
async def test_a_token_that_nobody_signed_with_a_private_key_is_refused(
    provider: OpenIdProvider, issuer: LocalIssuer, algorithm: str
) -> None:
    issuer.algorithm = algorithm
    with pytest.raises(IssuerRefusedError, match="not signed"):
        await redeemed(provider, issuer)


def test_no_algorithm_is_taken_that_has_a_shared_secret_or_no_key() -> None:
    assert not {name for name in ALGORITHMS if name.startswith("HS") or name.lower() == "none"}


async def test_a_token_of_another_key_under_the_same_name_is_refused(
    provider: OpenIdProvider, issuer: LocalIssuer
) -> None:
    await provider.address(STATE, NONCE, VERIFIER)
    issuer.key = RSAKey.generate_key(2048, {"kid": "one"})
    with pytest.raises(IssuerRefusedError, match="not signed"):
        await redeemed(provider, issuer)


async def test_a_new_key_is_looked_up_once_it_is_used(provider: OpenIdProvider, issuer: LocalIssuer) -> None:
    await redeemed(provider, issuer)
    issuer.key = RSAKey.generate_key(2048, {"kid": "two"})
    assert (await redeemed(provider, issuer)).subject == "4711"
    assert issuer.asked.count("/keys") == 2


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "http://evil.test"}, "another issuer"),
        ({"iss": f"{ISSUER}/"}, "another issuer"),
        ({"aud": "somebody-else"}, "somebody else"),
        ({"aud": []}, "."),
        ({"aud": ["slipway", "other"]}, "given to somebody else"),
        ({"aud": ["slipway", "other"], "azp": "other"}, "given to somebody else"),
        ({"azp": "other"}, "given to somebody else"),
        ({"exp": 1}, "does not hold"),
        ({"exp": "tomorrow"}, "does not hold"),
        ({"exp": None}, "does not hold"),
        ({"iat": 99999999999}, "does not hold"),
        ({"iat": None}, "does not hold"),
        ({"nbf": 99999999999}, "does not hold"),
        ({"nonce": "another"}, "another sign-in"),
        ({"nonce": 7}, "another sign-in"),
        ({"nonce": None}, "does not hold"),
        ({"sub": None}, "does not hold"),
        ({"sub": ""}, "."),
        ({"sub": 4711}, "does not hold"),
        ({"sub": "x" * 300}, "names nobody"),
    ],
)
async def test_a_token_that_is_not_meant_for_this_sign_in_is_refused(
    provider: OpenIdProvider, issuer: LocalIssuer, claims: dict[str, Any], reason: str
) -> None:
    issuer.claims = claims
    with pytest.raises(IssuerRefusedError, match=reason):
        await redeemed(provider, issuer)


async def test_the_code_needs_the_verifier_of_its_sign_in(provider: OpenIdProvider, issuer: LocalIssuer) -> None:
    with pytest.raises(IssuerRefusedError, match="does not take the code"):
        await redeemed(provider, issuer, verifier=SecretStr("w" * 43))


async def test_a_code_is_taken_once(provider: OpenIdProvider, issuer: LocalIssuer) -> None:
    await redeemed(provider, issuer)
    with pytest.raises(IssuerRefusedError, match="does not take the code"):
        await provider.redeem(SecretStr("code-1"), NONCE, VERIFIER, None)


async def test_a_code_that_says_it_is_another_issuers_is_not_shown_to_ours(
    provider: OpenIdProvider, issuer: LocalIssuer
) -> None:
    with pytest.raises(IssuerRefusedError, match="another issuer"):
        await redeemed(provider, issuer, said_by="http://evil.test")
    assert "/token" not in issuer.asked
    assert (await redeemed(provider, issuer, said_by=ISSUER)).subject == "4711"


async def test_an_issuer_that_promises_its_name_with_every_code_must_keep_it(issuer: LocalIssuer) -> None:
    issuer.metadata = {"authorization_response_iss_parameter_supported": True}
    with pytest.raises(IssuerRefusedError, match="another issuer"):
        await redeemed(provider_of(issuer), issuer)


async def test_what_only_the_userinfo_endpoint_tells_is_asked_there(
    provider: OpenIdProvider, issuer: LocalIssuer
) -> None:
    issuer.claims, issuer.userinfo = {"groups": None}, {"groups": ["team:search"], "sub": "4711"}
    assert (await redeemed(provider, issuer)).groups == ("team:search",)
    issuer.userinfo = {"groups": ["slipway-admins"], "sub": "somebody else"}
    with pytest.raises(IssuerRefusedError, match="somebody else"):
        await redeemed(provider, issuer)


@pytest.mark.parametrize("groups", ["slipway-admins", {"a": 1}, [1, None, {}], None])
async def test_groups_that_are_no_list_of_names_are_none(
    provider: OpenIdProvider, issuer: LocalIssuer, groups: Any
) -> None:
    issuer.claims = {"groups": groups}
    assert (await redeemed(provider, issuer)).groups == ()


async def test_an_issuer_that_calls_itself_something_else_is_not_trusted(issuer: LocalIssuer) -> None:
    for metadata in ({"issuer": "http://evil.test"}, {"token_endpoint": None}, {"jwks_uri": 1}):
        issuer.metadata = metadata
        with pytest.raises(TransientError):
            await provider_of(issuer).address(STATE, NONCE, VERIFIER)


async def test_what_an_issuer_publishes_is_asked_again_after_an_hour(issuer: LocalIssuer) -> None:
    seconds = [0.0]
    provider = provider_of(issuer, lambda: seconds[0])
    for _ in range(3):
        await provider.address(STATE, NONCE, VERIFIER)
    assert issuer.asked.count("/keys") == 1
    seconds[0] = 3601.0
    await provider.address(STATE, NONCE, VERIFIER)
    assert issuer.asked.count("/keys") == 2


# -- who they are here


def test_groups_give_teams_and_the_greatest_role() -> None:
    rules = GroupRules("team:", {"slipway-admins": "admin", "slipway-viewers": "viewer"})
    assert rules.teams(["team:search", "team:Payments!", "env:x:developer", "team:payments", "team:", "other"]) == (
        "payments",
        "search",
    )
    assert rules.role(["team:search"]) == "developer"
    assert rules.role(["slipway-viewers"]) == "viewer"
    assert rules.role(["slipway-viewers", "slipway-admins"]) == "admin"
    assert GroupRules(roles={"slipway-admins": "admin"}).teams(["slipway-admins", "platform"]) == ("platform",)


def test_a_login_is_a_wish_and_nobody_gets_the_platforms_own_name() -> None:
    ann = Identity(ISSUER, "4711", "ann", ())
    assert names_for(ann)[0] == "ann"
    for login in ("admin", "Admin", "SYSTEM", "", "a b", "x" * 90, "<b>"):
        names = names_for(Identity(ISSUER, "4711", login, ()))
        assert login not in names
        assert all(len(name) <= 100 for name in names)
    assert names_for(ann)[1:] != names_for(Identity(ISSUER, "4712", "ann", ()))[1:]


@pytest.mark.parametrize(
    "address",
    [
        "/\\evil.test", "//evil.test", "\\\\evil.test", "https://evil.test", "javascript:alert(1)", "evil.test", "",
        "/x\\..\\evil.test", "/x\n", "/\t/evil.test", "/x y", "/é", "/" + "x" * 3000,
    ],
)  # fmt: skip
def test_nobody_is_sent_anywhere_but_to_an_address_of_ours(address: str) -> None:
    with pytest.raises(InvalidError):
        local_path(address)


@pytest.mark.parametrize("address", ["/", "/environments?q=a%20b&x=%2F", "/runs/1#step", "/a//b"])
def test_an_address_of_ours_is_kept_as_it_is(address: str) -> None:
    assert local_path(address) == address


# -- the pages


@pytest.fixture
def rig(key: RSAKey) -> Rig:
    found = Rig(issuer=None)
    local = LocalIssuer(found.clock, key)
    return Rig(clock=found.clock, issuer=provider_of(local))


def local_of(rig: Rig, key: RSAKey) -> LocalIssuer:
    local = LocalIssuer(rig.clock, key)
    assert isinstance(rig.issuer, OpenIdProvider)
    rig.issuer.transport = local.transport
    return local


@asynccontextmanager
async def browser(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    async with rig.client() as client:
        client.headers["Accept"] = "text/html"
        yield client


async def back_from(
    client: httpx.AsyncClient, local: LocalIssuer, code: str = "code-1", to: str = "/"
) -> dict[str, str]:
    started = await client.get("/sign-in/start", params={"next": to})
    assert started.status_code == 303, started.text
    return local.authorize(started.headers["Location"], code)


async def test_whoever_comes_back_is_signed_in_and_goes_where_they_wanted(rig: Rig, key: RSAKey) -> None:
    local = local_of(rig, key)
    async with browser(rig) as client:
        finished = await client.get("/sign-in/callback", params=await back_from(client, local, to="/runs?x=1"))
        assert (finished.status_code, finished.headers["Location"]) == (303, "/runs?x=1")
        cookie = next(text for text in finished.headers.get_list("set-cookie") if text.startswith("slipway_session="))
        assert "HttpOnly" in cookie
        assert "samesite=lax" in cookie.lower()
        me = (await client.get("/api/v1/me")).json()
        assert (me["person"], me["role"], me["teams"]) == ("ann", "developer", ["payments"])
        assert (await client.get("/sign-in", params={"next": "/runs"})).headers["Location"] == "/runs"


async def test_the_same_identity_is_the_same_person_whatever_its_login_becomes(rig: Rig, key: RSAKey) -> None:
    local = local_of(rig, key)

    async def person(code: str, **claims: Any) -> str:
        local.claims = claims
        async with browser(rig) as client:
            await client.get("/sign-in/callback", params=await back_from(client, local, code))
            return str((await client.get("/api/v1/me")).json()["person"])

    assert await person("1") == "ann"
    assert await person("2", preferred_username="ann-married") == "ann"
    other = await person("3", sub="4712", email="ann@corp.test")
    assert other.startswith("ann-")
    assert await person("4", sub="4712") == other
    assert (await person("5", sub="1", preferred_username="admin")).startswith("admin-")


@pytest.mark.parametrize(
    "change", ["no state", "wrong state", "no code", "error", "twice the state", "no cookie", "late"]
)
async def test_whoever_comes_back_in_another_way_is_refused(rig: Rig, key: RSAKey, change: str) -> None:
    local = local_of(rig, key)
    async with browser(rig) as client:
        said: dict[str, Any] = await back_from(client, local)
        if change == "no state":
            del said["state"]
        elif change == "wrong state":
            said["state"] = "A" * 43
        elif change == "no code":
            del said["code"]
        elif change == "error":
            said = {"state": said["state"], "error": "access_denied", "error_description": "<b>evil</b>"}
        elif change == "twice the state":
            said["state"] = [said["state"], "x"]
        elif change == "no cookie":
            client.cookies.clear()
        else:
            rig.clock.at += LASTS
        answer = await client.get("/sign-in/callback", params=said)
        assert answer.status_code == (422 if change == "twice the state" else 401)
        assert "evil" not in answer.text
        assert "slipway_session" not in client.cookies
        assert not rig.session_store.rows


async def test_a_return_counts_once(rig: Rig, key: RSAKey) -> None:
    local = local_of(rig, key)
    async with browser(rig) as client:
        said = await back_from(client, local)
        assert (await client.get("/sign-in/callback", params=said)).status_code == 303
        assert (await client.get("/sign-in/callback", params=said)).status_code == 401
    assert len(rig.session_store.rows) == 1


async def test_a_return_counts_only_in_the_browser_that_set_out(rig: Rig, key: RSAKey) -> None:
    local = local_of(rig, key)
    async with browser(rig) as attacker, browser(rig) as victim:
        said = await back_from(attacker, local)
        await back_from(victim, local, "code-2")
        assert (await victim.get("/sign-in/callback", params=said)).status_code == 401
        assert "slipway_session" not in victim.cookies


async def test_two_tabs_sign_in_side_by_side(rig: Rig, key: RSAKey) -> None:
    local = local_of(rig, key)
    async with browser(rig) as client:
        first, second = await back_from(client, local, "code-1"), await back_from(client, local, "code-2")
        assert (await client.get("/sign-in/callback", params=first)).status_code == 303
        assert (await client.get("/sign-in/callback", params=second)).status_code == 303
    assert len(rig.session_store.rows) == 1, "the second replaces the first"


async def test_signing_in_never_takes_up_a_session_that_was_there(rig: Rig, key: RSAKey) -> None:
    local, planted = local_of(rig, key), await rig.session(person="eve")
    async with browser(rig) as client:
        client.cookies.set("slipway_session", planted.get_secret_value(), domain="slipway.test", path="/")
        await client.get("/sign-in/callback", params=await back_from(client, local))
        assert client.cookies["slipway_session"] != planted.get_secret_value()
    async with rig.browser(planted) as old:
        assert (await old.get("/api/v1/me")).status_code == 401


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/start"])
async def test_a_next_address_elsewhere_is_refused_and_not_repeated(rig: Rig, path: str) -> None:
    async with browser(rig) as client:
        answer = await client.get(path, params={"next": "/\\evil.test"})
    assert answer.status_code == 422
    assert "evil" not in answer.text


async def test_an_issuer_that_is_away_is_said_to_be_away(rig: Rig, key: RSAKey) -> None:
    local = local_of(rig, key)
    async with browser(rig) as client:
        said = await back_from(client, local)
        local.away = True
        answer = await client.get("/sign-in/callback", params=said)
    assert answer.status_code == 503


async def test_without_an_issuer_the_page_says_so() -> None:
    rig = Rig(issuer=None)
    async with browser(rig) as client:
        page, start = await client.get("/sign-in"), await client.get("/sign-in/start")
        callback = await client.get("/sign-in/callback?state=x&code=y")
    assert (page.status_code, start.status_code, callback.status_code) == (503, 401, 401)
    assert "SLIPWAY_GATEWAY_ISSUER" in page.text


async def test_signing_out_takes_a_form_of_that_very_session() -> None:
    rig = Rig()
    secret = await rig.session()
    async with rig.browser(secret) as client:
        assert (await client.get("/sign-out")).status_code == 405
        foreign = await client.post("/sign-out", data={"csrf_token": "x"}, headers={"Origin": "http://evil.test"})
        wrong = await client.post("/sign-out", data={"csrf_token": "x"}, headers={"Origin": "http://slipway.test"})
        assert (foreign.status_code, wrong.status_code) == (403, 403)
        assert (await client.get("/api/v1/me")).status_code == 200
        form = {"csrf_token": csrf_token(secret)}
        right = await client.post("/sign-out", data=form, headers={"Origin": "http://slipway.test"})
        assert right.status_code == 303
        assert not rig.session_store.rows


async def test_no_secret_of_a_sign_in_is_written_to_the_log(rig: Rig, key: RSAKey) -> None:
    local = local_of(rig, key)
    with capture_logs() as lines:
        async with browser(rig) as client:
            said = await back_from(client, local)
            await client.get("/sign-in/callback", params=said)
            secrets = [client.cookies["slipway_session"], client.cookies["slipway_signing_in"], *said.values()]
    assert lines
    assert not [secret for secret in secrets if secret in str(lines)]
    assert timedelta(minutes=1) < LASTS <= timedelta(minutes=15)

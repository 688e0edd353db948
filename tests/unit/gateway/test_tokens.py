"""Tokens: their form, what is kept of them, and how far one reaches."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from chassis.clock import FixedClock
from services.gateway.adapters.memory import MemoryTokens
from services.gateway.domain.admission import CreateToken
from services.gateway.domain.refusals import ForbiddenError, UnauthenticatedError, UnknownThingError
from services.gateway.domain.tokens import ApiToken, digest, identity_of, mint
from services.gateway.handlers.tokens import REMEMBERED_SECONDS, Known, Tokens
from tests import samples
from tests.unit.gateway.rig import Rig, principal, secret


def ask(**values: Any) -> CreateToken:
    return CreateToken.model_validate({"name": "ci", **values})


def test_a_token_tells_its_id_and_keeps_its_secret() -> None:
    identity, token = mint()
    assert identity_of(token) == identity
    assert token.get_secret_value() not in f"{token} {token!r}"
    assert len({mint()[1].get_secret_value() for _ in range(100)}) == 100


@given(st.integers(min_value=0), st.sampled_from("0aZ_~é"))
def test_a_token_with_one_other_character_is_none_of_ours(position: int, character: str) -> None:
    text = mint()[1].get_secret_value()
    place = position % len(text)
    changed = text[:place] + character + text[place + 1 :]
    assert changed == text or identity_of(SecretStr(changed)) is None


@given(st.text(max_size=120))
def test_no_other_text_is_a_token(text: str) -> None:
    assert identity_of(SecretStr(text)) is None


async def test_only_a_hash_is_kept() -> None:
    rig = Rig()
    _, token = await rig.tokens.create(principal(), ask())
    [kept] = [kept for kept in rig.token_store.tokens.values() if kept.name == "ci"]
    assert kept.digest == digest(token)
    assert token.get_secret_value().encode() not in repr(kept).encode() + kept.digest


async def test_a_token_opens_until_it_expires_or_is_revoked() -> None:
    rig = Rig()
    kept, token = await rig.tokens.create(principal(), ask(expires_in_days=1))
    assert (await rig.tokens.authenticate(token)).person == "ada"
    rig.clock.at += timedelta(days=1)
    with pytest.raises(UnauthenticatedError):
        await rig.tokens.authenticate(token)
    rig.clock.at -= timedelta(hours=1)
    await rig.tokens.revoke(principal(), kept.id)
    with pytest.raises(UnauthenticatedError):
        await rig.tokens.authenticate(token)


async def test_a_valid_token_is_not_looked_up_again_for_two_seconds_and_a_revoked_one_is_forgotten_at_once() -> None:
    now = [0.0]
    store = _Counting()
    tokens = Tokens(store, FixedClock(samples.AT), Known(now=lambda: now[0]))
    kept, token = await tokens.create(principal(), ask())
    for seconds, asked in ((0.0, 1), (1.9, 1), (0.2, 2), (0.5, 2)):
        now[0] += seconds
        await tokens.authenticate(token)
        assert store.asked == asked
    await tokens.revoke(principal(), kept.id)
    with pytest.raises(UnauthenticatedError):
        await tokens.authenticate(token)


async def test_another_replicas_revocation_counts_after_two_seconds_and_expiry_at_once() -> None:
    now, clock, store = [0.0], FixedClock(samples.AT), MemoryTokens()
    here, there = Tokens(store, clock, Known(now=lambda: now[0])), Tokens(store, clock)
    kept, token = await here.create(principal(), ask())
    short, brief = await here.create(principal(), ask(expires_in_days=1))
    for presented in (token, brief):
        await here.authenticate(presented)
    await there.revoke(principal(), kept.id)
    clock.at += timedelta(days=1)
    with pytest.raises(UnauthenticatedError):
        await here.authenticate(brief)
    now[0] += REMEMBERED_SECONDS + 0.1
    with pytest.raises(UnauthenticatedError):
        await here.authenticate(token)
    assert short.id != kept.id


async def test_a_token_that_is_revoked_while_it_is_looked_up_is_not_remembered() -> None:
    store = _Counting()
    tokens = Tokens(store, FixedClock(samples.AT))
    kept, token = await tokens.create(principal(), ask())
    store.meanwhile = lambda: tokens.known.forget(kept.id)
    await tokens.authenticate(token)
    store.meanwhile = None
    await tokens.authenticate(token)
    assert store.asked == 2


async def test_no_more_tokens_are_remembered_than_fit() -> None:
    store = _Counting()
    tokens = Tokens(store, FixedClock(samples.AT), Known(most=1))
    first, second = (await tokens.create(principal(), ask()))[1], (await tokens.create(principal(), ask()))[1]
    for presented in (first, second, first):
        await tokens.authenticate(presented)
    assert store.asked == 3


class _Counting(MemoryTokens):
    """Counts how often it is asked for a token."""

    asked = 0
    meanwhile: Callable[[], None] | None = None

    async def find(self, token_id: str) -> ApiToken | None:
        self.asked += 1
        found = await super().find(token_id)
        if self.meanwhile is not None:
            self.meanwhile()
        return found


async def test_another_secret_under_a_known_id_opens_nothing() -> None:
    rig = Rig()
    known = await rig.token()
    other = mint()[1].get_secret_value()
    forged = known[:16] + "_" + other.split("_")[2]
    with pytest.raises(UnauthenticatedError):
        await rig.tokens.authenticate(secret(forged))


@pytest.mark.parametrize(
    "wanted",
    [{"role": "admin"}, {"teams": ["search"]}, {"teams": ["payments", "search"]}, {"person": "bob"}],
    ids=str,
)
async def test_nobody_makes_a_token_that_reaches_further_than_their_own(wanted: dict[str, Any]) -> None:
    rig = Rig()
    with pytest.raises(ForbiddenError):
        await rig.tokens.create(principal("developer"), ask(**wanted))
    assert rig.token_store.tokens == {}


async def test_a_token_made_by_a_token_does_not_outlive_it() -> None:
    rig = Rig()
    short = await rig.token(expires_at=samples.AT + timedelta(hours=1))
    holder = await rig.tokens.authenticate(secret(short))
    kept, _ = await rig.tokens.create(holder, ask(expires_in_days=300))
    assert kept.expires_at == samples.AT + timedelta(hours=1)


async def test_an_admin_makes_tokens_for_anybody() -> None:
    kept, _ = await Rig().tokens.create(
        principal("admin", "platform"), ask(role="viewer", teams=["search"], person="bob")
    )
    assert (kept.person, kept.role, kept.teams, kept.created_by) == ("bob", "viewer", ("search",), "ada")


async def test_one_sees_and_revokes_ones_own_tokens_only() -> None:
    rig = Rig()
    mine, _ = await rig.tokens.create(principal(), ask())
    eve = principal("developer", "search", person="eve")
    theirs, _ = await rig.tokens.create(eve, ask())
    assert [token.id for token in await rig.tokens.list(principal())] == [mine.id]
    with pytest.raises(UnknownThingError):
        await rig.tokens.revoke(principal(), theirs.id)
    with pytest.raises(UnknownThingError):
        await rig.tokens.revoke(principal(), "000000000000")
    await rig.tokens.revoke(principal("admin"), theirs.id)
    assert len(await rig.tokens.list(principal("admin"))) == 2


async def test_the_platforms_own_token_is_adopted_once_and_stays_revoked() -> None:
    rig = Rig()
    identity, token = mint()
    assert await rig.tokens.adopt_admin(token)
    assert (await rig.tokens.authenticate(token)).role == "admin"
    await rig.tokens.revoke(principal("admin"), identity)
    assert await rig.tokens.adopt_admin(token)
    with pytest.raises(UnauthenticatedError):
        await rig.tokens.authenticate(token)
    assert not await rig.tokens.adopt_admin(SecretStr("not a token"))


async def test_a_token_is_shown_once_and_never_again() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client:
        made = await client.post("/api/v1/tokens", json={"name": "ci", "teams": ["payments"]})
        assert made.status_code == 201
        token = made.json()["token"]
        listed = await client.get("/api/v1/tokens")
        assert token not in listed.text
        assert token.split("_")[2] not in listed.text
        me = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert me.json()["token"]["name"] == "ci"
        assert (await client.delete(f"/api/v1/tokens/{made.json()['id']}")).status_code == 204
        gone = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert gone.status_code == 401

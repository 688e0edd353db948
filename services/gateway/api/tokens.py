"""`/me` and `/tokens`: who one is, and the tokens one has."""

from typing import Annotated, Final

from fastapi import Path, Response
from pydantic import BaseModel

from contracts.envelope import Timestamp
from services.gateway.api.answers import API
from services.gateway.api.auth import DEVELOPER, VIEWER
from services.gateway.api.context import Deeds
from services.gateway.api.routing import Asker, Endpoint
from services.gateway.domain.admission import CreateToken
from services.gateway.domain.people import Role
from services.gateway.domain.tokens import ApiToken


class TokenAnswer(BaseModel):
    """A token, without the token."""

    id: str
    name: str
    person: str
    role: Role
    teams: list[str]
    created_at: Timestamp
    expires_at: Timestamp | None
    revoked_at: Timestamp | None


class NewToken(TokenAnswer):
    """A token that was made just now, and the token itself: it is shown this once."""

    token: str


class TokenList(BaseModel):
    """Tokens, newest first."""

    items: list[TokenAnswer]


class MyToken(BaseModel):
    """The token of this request."""

    id: str
    name: str
    expires_at: Timestamp | None


class Me(BaseModel):
    """Whoever asks."""

    person: str
    role: Role
    teams: list[str]
    token: MyToken


async def get_me(asker: Asker) -> Me:
    """Who you are, and what your token lets you do."""
    token = MyToken(id=asker.token_id, name=asker.token_name, expires_at=asker.expires_at)
    return Me(person=asker.person, role=asker.role, teams=list(asker.teams), token=token)


async def create_token(body: CreateToken, asker: Asker, gateway: Deeds) -> NewToken:
    """Make a token. It reaches no further than yours, and is shown in this answer only. An Idempotency-Key means
    nothing here: a token is not kept, so it cannot be shown again."""
    token, text = await gateway.tokens.create(asker, body)
    return NewToken(**answer_of(token).model_dump(), token=text.get_secret_value())


async def list_tokens(asker: Asker, gateway: Deeds) -> TokenList:
    """Your tokens; as an admin everybody's."""
    return TokenList(items=[answer_of(token) for token in await gateway.tokens.list(asker)])


async def revoke_token(
    token_id: Annotated[str, Path(alias="id", description="The token's id")], asker: Asker, gateway: Deeds
) -> Response:
    """End a token: from now on it opens nothing."""
    await gateway.tokens.revoke(asker, token_id)
    return Response(status_code=204)


def answer_of(token: ApiToken) -> TokenAnswer:
    """What is told of a token."""
    return TokenAnswer(
        id=token.id,
        name=token.name,
        person=token.person,
        role=token.role,
        teams=list(token.teams),
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
    )


ENDPOINTS: Final = (
    Endpoint("GET", f"{API}/me", get_me, VIEWER, 200, Me, "tokens"),
    Endpoint("POST", f"{API}/tokens", create_token, DEVELOPER, 201, NewToken, "tokens"),
    Endpoint("GET", f"{API}/tokens", list_tokens, VIEWER, 200, TokenList, "tokens"),
    Endpoint("DELETE", f"{API}/tokens/{{id}}", revoke_token, DEVELOPER, 204, None, "tokens"),
)

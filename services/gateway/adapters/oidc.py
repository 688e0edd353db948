"""An OpenID provider: its addresses and keys, the code for a token, and what the token says (OpenID Connect Core 1.0,
Discovery 1.0; RFC 6749, 7636, 9207).

Invariants
- A token counts only where the provider's own key signed it, by an algorithm of `ALGORITHMS`, none of which takes a
  shared secret: so neither `none` nor HS256 under a public key is ever tried.
- It must come from this very issuer, be meant for us, be in time, and repeat our nonce.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

import httpx
import structlog
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from pydantic import SecretStr

from chassis.clock import Clock
from chassis.failures import TransientError
from services.gateway.domain.identities import Identity
from services.gateway.ports import IssuerRefusedError

_log = structlog.get_logger(__name__)

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_REMEMBERED_SECONDS: Final = 3600.0
_TIMEOUT_SECONDS: Final = 10.0
_CLOCKS_AGREE_SECONDS: Final = 60
_MOST_SUBJECT: Final = 255
"""OpenID Connect Core 1.0, §2."""
_MOST_GROUPS: Final = 2000
_METADATA: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True)
class Client:
    """What the provider knows us by. No secret: a public client, whom PKCE alone protects."""

    client_id: str
    secret: SecretStr | None = None


@dataclass(frozen=True)
class ProviderSettings:
    """Which provider, and what we ask of it."""

    issuer: str
    redirect_uri: str
    identity_namespace: str = ""
    """What identities are kept under; by default the issuer."""
    scopes: str = "openid profile groups"
    login_claim: str = "preferred_username"
    groups_claim: str = "groups"


@dataclass
class _Provider:
    """What is known of it, and since when."""

    metadata: dict[str, Any]
    keys: KeySet
    at: float


@dataclass
class OpenIdProvider:
    """Fulfils `ports.Issuer`."""

    settings: ProviderSettings
    client: Callable[[], Client]
    """Read for each sign-in: the provider may make us known after we began, and may give us another secret."""
    clock: Clock
    transport: httpx.AsyncBaseTransport | None = None
    now: Callable[[], float] = monotonic
    _known: _Provider | None = field(default=None, init=False)

    async def address(self, state: SecretStr, nonce: str, verifier: SecretStr) -> str:
        """See the port."""
        provider = await self._provider()
        address: str = prepare_grant_uri(
            provider.metadata["authorization_endpoint"],
            client_id=self.client().client_id,
            response_type="code",
            redirect_uri=self.settings.redirect_uri,
            scope=self.settings.scopes,
            state=state.get_secret_value(),
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier.get_secret_value()),
            code_challenge_method="S256",
        )
        return address

    async def redeem(self, code: SecretStr, nonce: str, verifier: SecretStr, issuer: str | None) -> Identity:
        """See the port."""
        provider = await self._provider()
        announced = provider.metadata.get("authorization_response_iss_parameter_supported") is True
        if (issuer is not None or announced) and issuer != self.settings.issuer:
            raise IssuerRefusedError("the code comes from another issuer")
        client = self.client()
        answer = await self._exchange(provider, client, code, verifier)
        claims = await self._claims(provider, answer.get("id_token"))
        self._check(claims, client, nonce)
        if any(name not in claims for name in (self.settings.login_claim, self.settings.groups_claim)):
            claims = await self._more(provider, claims, answer.get("access_token"))
        login, groups = claims.get(self.settings.login_claim), claims.get(self.settings.groups_claim)
        return Identity(
            self.settings.identity_namespace or self.settings.issuer,
            claims["sub"],
            login if isinstance(login, str) else "",
            tuple(group for group in groups[:_MOST_GROUPS] if isinstance(group, str))
            if isinstance(groups, list)
            else (),
        )

    async def _provider(self, *, fresh: bool = False) -> _Provider:
        """What the provider publishes of itself: remembered for an hour, and asked again when its keys change."""
        known = self._known
        if not fresh and known is not None and self.now() - known.at < _REMEMBERED_SECONDS:
            return known
        metadata = await self._get(f"{self.settings.issuer}/.well-known/openid-configuration")
        if metadata.get("issuer") != self.settings.issuer:
            raise TransientError("the OpenID provider calls itself by another name than SLIPWAY_GATEWAY_ISSUER")
        if any(not isinstance(metadata.get(name), str) for name in _METADATA):
            raise TransientError("the OpenID provider does not say where its endpoints are")
        try:
            keys = KeySet.import_key_set(await self._get(metadata["jwks_uri"]))  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise TransientError("the OpenID provider publishes no key that can be read") from error
        self._known = _Provider(metadata, keys, self.now())
        return self._known

    async def _exchange(
        self, provider: _Provider, client: Client, code: SecretStr, verifier: SecretStr
    ) -> dict[str, Any]:
        fields = {
            "grant_type": "authorization_code",
            "code": code.get_secret_value(),
            "redirect_uri": self.settings.redirect_uri,
            "code_verifier": verifier.get_secret_value(),
        }
        credentials: httpx.BasicAuth | None = None
        methods = provider.metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if client.secret is None:
            fields["client_id"] = client.client_id
        elif "client_secret_basic" in methods:
            # RFC 6749 §2.3.1: each is form-encoded before it goes into the header.
            credentials = httpx.BasicAuth(
                quote(client.client_id, safe=""), quote(client.secret.get_secret_value(), safe="")
            )
        else:
            fields |= {"client_id": client.client_id, "client_secret": client.secret.get_secret_value()}
        response = await self._send("POST", provider.metadata["token_endpoint"], data=fields, auth=credentials)
        if 400 <= response.status_code < 500:
            raise IssuerRefusedError(f"the issuer does not take the code (HTTP {response.status_code})")
        return _object(response)

    async def _claims(self, provider: _Provider, token: object) -> dict[str, Any]:
        if not isinstance(token, str):
            raise IssuerRefusedError("the issuer sent no ID token")
        try:
            try:
                return jwt.decode(token, provider.keys, algorithms=ALGORITHMS).claims
            except InvalidKeyIdError:  # it may have a new key
                return jwt.decode(token, (await self._provider(fresh=True)).keys, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError) as error:
            raise IssuerRefusedError(f"the ID token is not signed as it must be ({type(error).__name__})") from error

    def _check(self, claims: dict[str, Any], client: Client, nonce: str) -> None:
        """OpenID Connect Core 1.0, §3.1.3.7."""
        required = {name: {"essential": True} for name in ("iss", "sub", "aud", "exp", "iat", "nonce")}
        registry = jwt.JWTClaimsRegistry(
            now=int(self.clock.now().timestamp()),
            leeway=_CLOCKS_AGREE_SECONDS,
            **required,  # type: ignore[arg-type]
        )
        try:
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise IssuerRefusedError(f"a claim of the ID token does not hold ({type(error).__name__})") from error
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if claims["iss"] != self.settings.issuer:
            raise IssuerRefusedError("the ID token is another issuer's")
        if client.client_id not in audience:
            raise IssuerRefusedError("the ID token is meant for somebody else")
        if (len(audience) > 1 or "azp" in claims) and claims.get("azp") != client.client_id:
            raise IssuerRefusedError("the ID token was given to somebody else")
        if not isinstance(claims["nonce"], str) or not hmac.compare_digest(claims["nonce"].encode(), nonce.encode()):
            raise IssuerRefusedError("the ID token belongs to another sign-in")
        if not claims["sub"] or len(claims["sub"]) > _MOST_SUBJECT:
            raise IssuerRefusedError("the ID token names nobody")

    async def _more(self, provider: _Provider, claims: dict[str, Any], access_token: object) -> dict[str, Any]:
        """What the provider tells only at its userinfo endpoint (§5.3), where it has one."""
        endpoint = provider.metadata.get("userinfo_endpoint")
        if not isinstance(endpoint, str) or not isinstance(access_token, str):
            return claims
        response = await self._send("GET", endpoint, headers={"Authorization": f"Bearer {access_token}"})
        if response.status_code != 200 or not response.headers.get("content-type", "").startswith("application/json"):
            raise IssuerRefusedError(f"the issuer does not tell who it is (HTTP {response.status_code})")
        told = _object(response)
        if told.get("sub") != claims["sub"]:
            raise IssuerRefusedError("the issuer tells of somebody else")
        return {**told, **claims}

    async def _get(self, address: str) -> dict[str, Any]:
        response = await self._send("GET", address)
        if response.status_code != 200:
            raise TransientError(f"the OpenID provider answered HTTP {response.status_code}")
        return _object(response)

    async def _send(self, method: str, address: str, **arguments: Any) -> httpx.Response:
        verify = self.settings.issuer.startswith("https://")
        try:
            async with httpx.AsyncClient(
                transport=self.transport, timeout=_TIMEOUT_SECONDS, verify=verify, trust_env=verify
            ) as http:
                response = await http.request(method, address, **arguments)
        except httpx.HTTPError as error:
            raise TransientError(f"the OpenID provider does not answer ({type(error).__name__})") from error
        if response.status_code >= 500:
            raise TransientError(f"the OpenID provider answered HTTP {response.status_code}")
        return response


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise TransientError("the OpenID provider's answer is no JSON object")
    return dict(found)

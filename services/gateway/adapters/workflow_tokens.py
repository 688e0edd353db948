"""Tokens that workflows show (OpenID Connect): GitHub's, and those of whoever issues them as GitHub does.

Invariants
- A token counts only where the issuer's own key signed it with RS256: neither `none` nor HS256 under a public key is
  ever tried.
- It comes from this very issuer, is meant for us, and is in time.
- Whoever sends tokens with keys that nobody has does not make us ask the issuer more often than every few seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import httpx
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from pydantic import SecretStr

from chassis.clock import Clock
from chassis.failures import TransientError
from services.gateway.domain.deployments import AUDIENCE
from services.gateway.ports import WorkflowRefusedError

_ALGORITHMS: Final = ["RS256"]
_REMEMBERED_SECONDS: Final = 3600.0
_REFRESH_SECONDS: Final = 5.0
_TIMEOUT_SECONDS: Final = 10.0
_CLOCKS_AGREE_SECONDS: Final = 30
_MOST_BYTES: Final = 16 * 1024
_TIMES: Final = ("exp", "iat")


@dataclass
class OidcWorkflowTokens:
    """Fulfils `ports.WorkflowTokens`."""

    issuer: str
    clock: Clock
    transport: httpx.AsyncBaseTransport | None = None
    _keys: KeySet | None = field(default=None, init=False)
    _asked_at: float = field(default=0.0, init=False)

    async def claims(self, token: SecretStr) -> Mapping[str, object]:
        """See the port."""
        text = token.get_secret_value()
        if not self.issuer or len(text) > _MOST_BYTES or text.count(".") != 2:
            raise WorkflowRefusedError("it is no signed token")
        try:
            try:
                claims = jwt.decode(text, await self._published(), algorithms=_ALGORITHMS).claims
            except InvalidKeyIdError:  # it may have a new key
                claims = jwt.decode(text, await self._published(anew=True), algorithms=_ALGORITHMS).claims
        except (JoseError, ValueError, TypeError) as error:
            raise WorkflowRefusedError(f"it is not signed as it must be ({type(error).__name__})") from error
        self._check(claims)
        return claims

    def _check(self, claims: Mapping[str, Any]) -> None:
        now = int(self.clock.now().timestamp())
        if claims.get("iss") != self.issuer:
            raise WorkflowRefusedError("another issuer made it")
        if claims.get("aud") not in (AUDIENCE, [AUDIENCE]):
            raise WorkflowRefusedError("it is meant for somebody else")
        if any(type(claims.get(name)) is not int for name in _TIMES):
            raise WorkflowRefusedError("it has no times")
        if type(claims.get("nbf", 0)) is not int:
            raise WorkflowRefusedError("its times are no times")
        begins = max(claims["iat"], claims.get("nbf", 0))
        if not begins - _CLOCKS_AGREE_SECONDS <= now < claims["exp"] + _CLOCKS_AGREE_SECONDS:
            raise WorkflowRefusedError("it is out of time")

    async def _published(self, *, anew: bool = False) -> KeySet:
        """The issuer's keys: remembered for an hour, and asked for again when one is not among them."""
        age_seconds = monotonic() - self._asked_at
        if self._keys is not None and age_seconds < (_REFRESH_SECONDS if anew else _REMEMBERED_SECONDS):
            return self._keys
        metadata = await self._get(f"{self.issuer}/.well-known/openid-configuration")
        if metadata.get("issuer") != self.issuer or not isinstance(metadata.get("jwks_uri"), str):
            raise TransientError("whoever issues workflows' tokens calls itself by another name")
        try:
            self._keys = KeySet.import_key_set(await self._get(metadata["jwks_uri"]))  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise TransientError("whoever issues workflows' tokens publishes no key that can be read") from error
        self._asked_at = monotonic()
        return self._keys

    async def _get(self, address: str) -> dict[str, Any]:
        verify = self.issuer.startswith("https://")
        try:
            async with httpx.AsyncClient(
                transport=self.transport, timeout=_TIMEOUT_SECONDS, verify=verify, trust_env=verify
            ) as http:
                response = await http.get(address)
            found = response.json() if response.status_code == httpx.codes.OK else None
        except (httpx.HTTPError, ValueError) as error:
            raise TransientError(
                f"whoever issues workflows' tokens does not answer ({type(error).__name__})"
            ) from error
        if not isinstance(found, Mapping):
            raise TransientError("whoever issues workflows' tokens gives no answer that can be read")
        return dict(found)

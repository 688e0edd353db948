"""An OpenID provider in this process: keys and tokens made with joserfc, served over httpx's own transport."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey

from chassis.clock import FixedClock

ISSUER = "http://issuer.test/realm"
CLIENT_ID = "slipway"
CLIENT_SECRET = "s3cr3t/+:%"
CALLBACK = "http://slipway.test/sign-in/callback"


@dataclass
class LocalIssuer:
    """Signs whatever a test wants signed. `claims` are laid over those of every ID token, and a claim of None is left
    out."""

    clock: FixedClock
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    away: bool = False
    asked: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def transport(self) -> httpx.MockTransport:
        """Speaks for the provider."""
        return httpx.MockTransport(self._answer)

    def authorize(self, address: str, code: str = "code-1") -> dict[str, str]:
        """What a person's sign-in at this address of the authorization endpoint brings back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["response_type"] == "code"
        assert asked["redirect_uri"] == CALLBACK
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT_ID
        self._codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def token(self, nonce: str) -> str:
        """An ID token."""
        now = self.clock.now()
        claims = {
            "iss": ISSUER,
            "sub": "4711",
            "aud": CLIENT_ID,
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=5)).timestamp()),
            "nonce": nonce,
            "preferred_username": "ann",
            "groups": ["team:payments"],
            **self.claims,
        }
        said = {name: value for name, value in claims.items() if value is not None}
        if self.algorithm == "none" or self.algorithm.startswith("HS"):
            return self._forged(said)
        header = {"alg": self.algorithm, "kid": str(self.key.kid)}
        return jwt.encode(header, said, self.key, algorithms=[self.algorithm])

    def _forged(self, claims: dict[str, Any]) -> str:
        """A token by hand, as no library makes it: unsigned, or with the public key for a shared secret."""
        parts = ({"alg": self.algorithm, "typ": "JWT", "kid": str(self.key.kid)}, claims)
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        if self.algorithm == "none":
            return f"{signed}."
        how = {"HS256": "sha256", "HS512": "sha512"}[self.algorithm]
        return f"{signed}.{_encoded(hmac.digest(self.key.as_pem(private=False), signed.encode(), how))}"

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/realm")
        self.asked.append(path)
        if self.away:
            raise httpx.ConnectError("nobody listens")
        if path == "/.well-known/openid-configuration":
            found = {
                "issuer": ISSUER,
                "authorization_endpoint": f"{ISSUER}/authorize?kept=1",
                "token_endpoint": f"{ISSUER}/token",
                "jwks_uri": f"{ISSUER}/keys",
                "userinfo_endpoint": f"{ISSUER}/userinfo",
            }
            return httpx.Response(200, json={**found, **self.metadata})
        if path == "/keys":
            return httpx.Response(200, json={"keys": [self.key.as_dict(private=False)]})
        if path == "/userinfo":
            return httpx.Response(200, json={"sub": self.claims.get("sub", "4711"), **self.userinfo})
        return self._token(request)

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        asked = self._codes.pop(form["code"], None)
        basic = base64.b64encode(b"slipway:s3cr3t%2F%2B%3A%25").decode()
        challenge = _encoded(hashlib.sha256(form["code_verifier"].encode()).digest())
        if asked is None or challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        if request.headers.get("authorization") != f"Basic {basic}":
            return httpx.Response(401, json={"error": "invalid_client"})
        return httpx.Response(200, json={"access_token": "opaque", "id_token": self.token(asked["nonce"])})


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

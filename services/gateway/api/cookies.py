"""What the browser keeps for us, and from where it speaks.

Invariants
- A cookie is readable by no script and travels with no request of another site but a plain navigation; where people
  come by https it never travels in clear, and no neighbouring host can plant one (`__Host-`, RFC 6265bis §4.1.3.2).
- A request that changes something comes from a page of our own, or is refused.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response
from pydantic import SecretStr

from services.gateway.domain.refusals import ForbiddenError

SESSION: Final = "slipway_session"
SIGNING_IN: Final = "slipway_signing_in"
_OURS: Final = frozenset({"same-origin", "none"})
"""`Sec-Fetch-Site` of a request that no other site caused (`none`: typed, or a bookmark)."""


@dataclass(frozen=True)
class Site:
    """Where people reach us."""

    public_url: str

    @property
    def origin(self) -> str:
        """Scheme, host and port, as browsers write them (RFC 6454)."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}".lower()

    @property
    def is_https(self) -> bool:
        """Whether they come by TLS."""
        return self.public_url.startswith("https://")

    def _name(self, name: str) -> str:
        return f"__Host-{name}" if self.is_https else name

    def cookie(self, request: Request, name: str) -> SecretStr | None:
        """What the browser shows under this name."""
        value = request.cookies.get(self._name(name))
        return SecretStr(value) if value else None

    def set_cookie(self, response: Response, name: str, value: SecretStr, seconds: int) -> None:
        """Let the browser keep a value for so long."""
        response.set_cookie(
            self._name(name),
            value.get_secret_value(),
            max_age=seconds,
            path="/",
            secure=self.is_https,
            httponly=True,
            samesite="lax",
        )

    def forget_cookie(self, response: Response, name: str) -> None:
        """Let the browser forget it."""
        response.delete_cookie(self._name(name), path="/", secure=self.is_https, httponly=True, samesite="lax")

    def session_of_reader(self, request: Request) -> SecretStr | None:
        """The session with which a browser reads the API in place of a token: only by GET, only without any other
        credential, and only where no other site caused the request."""
        if request.method != "GET" or "authorization" in request.headers:
            return None
        if request.headers.get("sec-fetch-site", "none") not in _OURS:
            return None
        return self.cookie(request, SESSION)

    def require_own_page(self, request: Request) -> None:
        """Raise `ForbiddenError` for a form that another site sent. Every browser says with a POST where it comes
        from; one that says nothing is refused."""
        origins, fetch_site = request.headers.getlist("origin"), request.headers.get("sec-fetch-site")
        from_us = origins == [self.origin] if origins else fetch_site == "same-origin"
        if not from_us or (fetch_site is not None and fetch_site != "same-origin"):
            raise ForbiddenError(
                f"This form was not sent by a page of {self.origin}. Open the page there and send it again."
            )


def site_of(request: Request) -> Site:
    """The site that the application serves."""
    return Site(request.app.state.gateway.links.public_url)

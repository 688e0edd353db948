"""Who we are on GitHub: a token, or a GitHub App that signs in for an hour at a time.

Invariant: a key or token is never in an error, a log line or a `repr`.
"""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from github import Auth, GithubException, GithubIntegration
from pydantic import SecretStr

from chassis.failures import PermanentError, TransientError
from services.cicd.adapters.github.answers import meaning

_RENEW_BEFORE: Final = timedelta(minutes=2)
"""An installation's token lives an hour; ours is replaced while it still has this long."""
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class AppCredentials:
    """A GitHub App installed in the organisations used (docs.github.com, "Authenticating as a GitHub App
    installation"). It needs the repository permissions Actions, Administration, Contents, Environments, Pull requests,
    Variables and Workflows (write), and Issues (read); with teams that review, the organisation's Members."""

    app_id: int
    installation_id: int
    private_key: SecretStr
    """RSA, in PEM, as GitHub hands it out."""


class InstallationAuth(Auth.Auth):
    """The installation's token, got when it is needed and shared by every client of this process."""

    def __init__(self, credentials: AppCredentials, base_url: str, **options: Any) -> None:
        """`options` are those of the clients. Raises ValueError for what is no private key."""
        app = Auth.AppAuth(credentials.app_id, credentials.private_key.get_secret_value())
        try:
            app.create_jwt()
        except Exception as error:  # noqa: BLE001 - the cryptography's own errors are many, and may quote the key
            raise ValueError(f"the GitHub App's key is not an RSA key in PEM ({type(error).__name__})") from None
        self._integration = GithubIntegration(auth=app, base_url=base_url, **options)
        self._installation_id = credentials.installation_id
        self._lock = threading.Lock()
        self._token = SecretStr("")
        self._expires_at = _LONG_AGO

    @property
    def token_type(self) -> str:
        """The word before the token in the header."""
        return "token"

    @property
    def token(self) -> str:
        """A token with some life in it. Raises `TransientError` and `PermanentError`."""
        with self._lock:
            if self._expires_at - _RENEW_BEFORE <= datetime.now(UTC):
                self._renew()
            return self._token.get_secret_value()

    def forget(self) -> None:
        """The forge does not take the token any more, whatever it said when it gave it out."""
        with self._lock:
            self._expires_at = _LONG_AGO

    def _renew(self) -> None:
        try:
            made = self._integration.get_access_token(self._installation_id)
        except GithubException as error:
            raise _refusal(error) from error
        self._token = SecretStr(made.token)
        self._expires_at = made.expires_at


def _refusal(error: GithubException) -> TransientError | PermanentError:
    what = meaning("sign in as the GitHub App", error)
    if isinstance(what, PermanentError):
        return PermanentError(
            "forge_credentials",
            f"the forge does not let the platform's GitHub App sign in ({error.status})",
            next_step="Tell the platform team: compare the App's id, its installation and its private key with GitHub.",
        )
    return what

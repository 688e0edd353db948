"""Calling GitHub from a few threads."""

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import anyio.to_thread
import requests
from github import Auth, Github, GithubException
from github.Repository import Repository as GithubRepository
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from pydantic import SecretStr
from urllib3.util import Retry

from chassis.failures import TransientError
from services.cicd.adapters.github.answers import meaning
from services.cicd.adapters.github.credentials import AppCredentials, InstallationAuth

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 15
_READ_RETRY: Final = Retry(
    total=2,
    backoff_factor=0.2,
    status_forcelist=(500, 502, 503, 504),
    allowed_methods=frozenset({"GET"}),
    respect_retry_after_header=False,
    raise_on_status=False,
)


class Connection:
    """A forge's REST API. `pause_seconds` slows requests down where the forge asks for manners: between any two
    requests, and between any two writes."""

    def __init__(
        self,
        base_url: str,
        credentials: SecretStr | AppCredentials,
        *,
        pause_seconds: tuple[float, float] = (0.25, 1.0),
        private: bool = True,
        concurrency: int = 4,
        timeout_seconds: int = TIMEOUT_SECONDS,
    ) -> None:
        """Raises ValueError for credentials that cannot be right. Nothing connects."""
        self.private = private
        self._options: dict[str, Any] = {
            "base_url": base_url,
            "timeout": timeout_seconds,
            "retry": _READ_RETRY,
            "per_page": 100,
            "seconds_between_requests": pause_seconds[0],
            "seconds_between_writes": pause_seconds[1],
            "user_agent": "slipway-cicd",
        }
        self._token = credentials if isinstance(credentials, SecretStr) else None
        self._app = InstallationAuth(credentials, **self._options) if isinstance(credentials, AppCredentials) else None
        self._limiter = anyio.CapacityLimiter(concurrency)
        self._check_limiter = anyio.CapacityLimiter(1)
        self._clients = threading.local()

    def _client(self) -> Github:
        client: Github | None = getattr(self._clients, "client", None)
        if client is None:
            auth = Auth.Token(self._token.get_secret_value()) if self._token else self._app
            client = Github(auth=auth, **self._options)
            self._clients.client = client
        return client

    async def call(self, what: str, call: Callable[[Github], T], limiter: anyio.CapacityLimiter | None = None) -> T:
        """Run a blocking call; `what` says for people what it does. Raises `TransientError` and `PermanentError`."""

        def in_thread() -> T:
            try:
                return call(self._client())
            except GithubException as error:
                if error.status == 401 and self._app is not None:
                    self._app.forget()
                    raise TransientError(f"the forge wants the platform to sign in anew: {what}") from error
                raise meaning(what, error) from error
            except requests.RequestException as error:
                raise TransientError(f"the forge did not answer: {what}") from error

        return await anyio.to_thread.run_sync(in_thread, limiter=limiter or self._limiter)

    async def on(self, repository: str, what: str, call: Callable[[GithubRepository], T]) -> T:
        """Run a blocking call on a repository, as `call`."""

        def on_it(client: Github) -> T:
            # Only its address: `get_repo` would ask for the repository first, each time.
            return call(GithubRepository(client.requester, url=f"/repos/{repository}", completed=False))

        return await self.call(f"{what} in {repository}", on_it)

    async def check(self) -> None:
        """Raise where the forge does not answer or does not take our credentials. Does not queue behind the work, and
        is in no trace: it belongs to no run."""

        def look(client: Github) -> None:
            with suppress_http_instrumentation():
                client.get_rate_limit()

        await self.call("look at the rate limit", look, self._check_limiter)

"""An application's secrets: a login of its own at OpenBao, kept alive while it runs and given back when it ends.

Invariants
- The runtime's own token can do one thing: get a single-use secret id for an environment's workload role. What an
  application is given is read with that workload's token, so no application gets what its policy does not say.
- Values are in memory, in the application's environment and nowhere else; an error names a path and a status.
- Whatever was leased ends with the login (leases are children of its token), and the login ends with the application.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

import httpx
import structlog
from pydantic import SecretStr

_log = structlog.get_logger(__name__)
_RENEW_AT: Final = 2 / 3
_TIMEOUT: Final = httpx.Timeout(10, connect=2)
_RETRY_SECONDS: Final = 5.0
_SHORTEST_PAUSE_SECONDS: Final = 0.5


class SecretsAwayError(Exception):
    """OpenBao is sealed, away or slow; trying again later may help."""


class SecretsRefusedError(Exception):
    """OpenBao does not let the application in: its role is gone, or was never made."""


class Login(Protocol):
    """An application's access to its secrets."""

    @property
    def environment(self) -> Mapping[str, SecretStr]:
        """The variables that the application is given."""
        ...

    async def keep(self, replace: Callable[[], Awaitable[None]]) -> None:
        """Renew until cancelled; call `replace` and return when that is not possible any longer."""
        ...

    async def give_back(self) -> None:
        """End it and everything that was leased by it."""
        ...


class Logins(Protocol):
    """Where applications get their secrets."""

    async def log_in(self, environment: str, *, with_database: bool) -> Login:
        """A new login. Raises `SecretsAwayError` and `SecretsRefusedError`."""
        ...


@dataclass(frozen=True)
class Database:
    """Where applications reach their database."""

    host: str
    port: int
    name: str

    def variables(self, user: str, password: SecretStr) -> dict[str, SecretStr]:
        """What clients of Postgres look for."""
        word = quote(password.get_secret_value(), safe="")
        url = f"postgresql://{quote(user, safe='')}:{word}@{self.host}:{self.port}/{self.name}?sslmode=disable"
        return {
            "DATABASE_URL": SecretStr(url),
            "PGHOST": SecretStr(self.host),
            "PGPORT": SecretStr(str(self.port)),
            "PGDATABASE": SecretStr(self.name),
            "PGUSER": SecretStr(user),
            "PGPASSWORD": password,
            "PGSSLMODE": SecretStr("disable"),
        }


@dataclass
class OpenBaoLogin:
    """One workload's token and lease."""

    http: httpx.AsyncClient
    token: SecretStr
    token_seconds: float
    lease_id: str = ""
    lease_seconds: float = 0.0
    environment: dict[str, SecretStr] = field(default_factory=dict)

    async def keep(self, replace: Callable[[], Awaitable[None]]) -> None:
        """See `Login`."""
        ends_at = time.monotonic() + self._shortest
        pause_seconds = self._shortest * _RENEW_AT
        while True:
            await asyncio.sleep(max(pause_seconds, _SHORTEST_PAUSE_SECONDS))
            try:
                granted = await self._renew()
            except SecretsAwayError as error:
                _log.warning("could not renew an application's login", error=str(error))
                pause_seconds = _RETRY_SECONDS
                if time.monotonic() < ends_at:
                    continue
                granted = 0.0
            except SecretsRefusedError as error:
                _log.info("an application's login has ended", error=str(error))
                granted = 0.0
            # Near its end a login is renewed for less and less.
            if granted < self._shortest * _RENEW_AT:
                await replace()
                return
            ends_at = time.monotonic() + granted
            pause_seconds = granted * _RENEW_AT

    @property
    def _shortest(self) -> float:
        return min(self.token_seconds, self.lease_seconds) if self.lease_id else self.token_seconds

    async def _renew(self) -> float:
        answer = await _request(self.http, "POST", "auth/token/renew-self", self.token, {})
        granted = float(answer["auth"]["lease_duration"])
        if self.lease_id:
            answer = await _request(self.http, "POST", "sys/leases/renew", self.token, {"lease_id": self.lease_id})
            granted = min(granted, float(answer["lease_duration"]))
        return granted

    async def give_back(self) -> None:
        """See `Login`. What cannot be given back ends by itself."""
        with contextlib.suppress(SecretsRefusedError):  # it has ended already
            try:
                await _request(self.http, "POST", "auth/token/revoke-self", self.token, {})
            except SecretsAwayError as error:
                _log.warning("could not give back an application's login; it ends by itself", error=str(error))


class OpenBaoLogins:
    """Logins at a real OpenBao, over the runtime's own AppRole."""

    def __init__(self, url: str, role_id_file: Path, secret_id_file: Path, database: Database) -> None:
        # A neighbour on this machine: no proxy, no ~/.netrc.
        self._http = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, trust_env=False)
        self._role_id_file = role_id_file
        self._secret_id_file = secret_id_file
        self._database = database
        self._token: SecretStr | None = None
        self._one_login = asyncio.Lock()

    async def log_in(self, environment: str, *, with_database: bool) -> OpenBaoLogin:
        """See `Logins`."""
        role = f"auth/approle/role/env-{environment}"
        role_id = (await self._ours("GET", f"{role}/role-id"))["data"]["role_id"]
        secret_id = (await self._ours("POST", f"{role}/secret-id", {}))["data"]["secret_id"]
        body = {"role_id": role_id, "secret_id": secret_id}
        auth = (await _request(self._http, "POST", "auth/approle/login", None, body))["auth"]
        token = SecretStr(auth["client_token"])
        login = OpenBaoLogin(self._http, token, float(auth["lease_duration"]))
        try:
            kept = await _request(self._http, "GET", f"kv/data/env/{environment}/app", token)
            values = {str(name): SecretStr(str(value)) for name, value in kept["data"]["data"].items()}
            if with_database:
                leased = await _request(self._http, "GET", f"database/creds/env-{environment}", token)
                login.lease_id, login.lease_seconds = leased["lease_id"], float(leased["lease_duration"])
                found = leased["data"]
                values |= self._database.variables(found["username"], SecretStr(found["password"]))
        except BaseException:
            await login.give_back()
            raise
        login.environment = values
        return login

    async def close(self) -> None:
        """Give the runtime's own token back."""
        if self._token is not None:
            with contextlib.suppress(SecretsAwayError, SecretsRefusedError):  # it ends by itself
                await _request(self._http, "POST", "auth/token/revoke-self", self._token, {})
        await self._http.aclose()

    async def _ours(self, method: str, path: str, body: object = None) -> Any:
        """A request with the runtime's own token; logs in first, and once more where the token has ended."""
        stale = self._token
        if stale is not None:
            with contextlib.suppress(SecretsRefusedError):
                return await _request(self._http, method, path, stale, body)
        async with self._one_login:
            if self._token is stale:
                login = {"role_id": _content(self._role_id_file), "secret_id": _content(self._secret_id_file)}
                answer = await _request(self._http, "POST", "auth/approle/login", None, login)
                self._token = SecretStr(answer["auth"]["client_token"])
        return await _request(self._http, method, path, self._token, body)


async def _request(
    http: httpx.AsyncClient, method: str, path: str, token: SecretStr | None, body: object = None
) -> Any:
    headers = {"X-Vault-Token": token.get_secret_value()} if token is not None else {}
    try:
        answer = await http.request(method, f"/v1/{path}", json=body, headers=headers)
    except httpx.TransportError as error:
        raise SecretsAwayError(f"OpenBao does not answer ({type(error).__name__})") from None
    if answer.is_success:
        return answer.json() if answer.content else None
    # Its words may repeat what was sent, so they end here.
    if answer.status_code in {429, 473} or answer.status_code >= 500:
        raise SecretsAwayError(f"OpenBao answered {answer.status_code} to {method} {path}")
    raise SecretsRefusedError(f"OpenBao answered {answer.status_code} to {method} {path}")


def _content(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


@dataclass(frozen=True)
class NoLogin:
    """The login of an application without secrets."""

    environment: Mapping[str, SecretStr] = field(default_factory=dict)

    async def keep(self, replace: Callable[[], Awaitable[None]]) -> None:  # noqa: ARG002 - it never ends
        """Nothing to renew."""
        await asyncio.Event().wait()

    async def give_back(self) -> None:
        """Nothing to end."""


class NoSecrets:
    """Where there is no OpenBao: applications run without secrets."""

    async def log_in(self, environment: str, *, with_database: bool) -> NoLogin:  # noqa: ARG002 - the same for all
        """See `Logins`."""
        return NoLogin()

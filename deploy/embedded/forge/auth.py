"""Who is calling: tokens, of which only hashes are kept, in a file that the platform writes.

Invariant: every comparison looks at every known hash and takes the same time for each. A token is 256 random bits, so
a plain SHA-256 is enough: there is nothing to guess and no reason to be slow.
"""

import base64
import binascii
import hashlib
import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, RootModel, StringConstraints, ValidationError
from structlog import get_logger

from deploy.embedded.forge.accounts import Accounts, LoginTakenError, Principal
from deploy.embedded.forge.names import is_login

_log = get_logger(__name__)
_LONGEST_HEADER = 4096


class TokensFileError(Exception):
    """The tokens file cannot be used."""


class TokenEntry(BaseModel):
    """What the file says about one login."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    admin: bool = False
    name: str | None = None


class TokensDocument(RootModel[dict[str, TokenEntry]]):
    """The whole file: login to entry."""


@dataclass(frozen=True)
class _Known:
    digest: str
    principal: Principal


def hash_token(token: str) -> str:
    """What stands in the tokens file for `token`."""
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """The tokens of `path`, read again whenever the file changes. Raises TokensFileError at the start only; later a
    broken file is logged and the last good one stays in force."""

    def __init__(self, path: Path, accounts: Accounts, jobs: Callable[[str], Principal | None]) -> None:
        """`jobs` knows the tokens of jobs that are under way."""
        self._path = path
        self._jobs = jobs
        self._accounts = accounts
        self._lock = threading.Lock()
        self._stamp = self._file_stamp()
        self._known = self._read()

    def _file_stamp(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise TokensFileError(f"cannot read the tokens file {self._path}: {error.strerror}") from error
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> tuple[_Known, ...]:
        try:
            document = TokensDocument.model_validate_json(self._path.read_bytes())
            entries = document.root
            if bad := [login for login in entries if not is_login(login)]:
                raise TokensFileError(f"the tokens file has logins that are none: {bad!r}")
            return tuple(
                _Known(
                    entry.token_sha256,
                    Principal(self._accounts.ensure(login, "User", name=entry.name), entry.admin),
                )
                for login, entry in entries.items()
            )
        except OSError as error:
            raise TokensFileError(f"cannot read the tokens file {self._path}: {error.strerror}") from error
        except (ValidationError, LoginTakenError) as error:
            shape = '{"<login>": {"token_sha256": "<64 hex digits>", "admin": false}}'
            raise TokensFileError(f"the tokens file {self._path} must be JSON like {shape}: {error}") from error

    def _current(self) -> tuple[_Known, ...]:
        with self._lock:
            try:
                stamp = self._file_stamp()
                if stamp != self._stamp:
                    self._stamp = stamp
                    self._known = self._read()
            except TokensFileError as error:
                _log.error("tokens_file_unusable", reason=str(error))
            return self._known

    def principal(self, authorization: str | None) -> Principal | None:
        """Whom an Authorization header speaks for: `Bearer` or `token` with a token, or `Basic` with any user name
        and a token as the password, as on GitHub. None when it speaks for nobody."""
        token = _token(authorization)
        if token is None:
            return None
        digest = hash_token(token)
        found: Principal | None = None
        for known in self._current():
            if hmac.compare_digest(known.digest, digest):
                found = known.principal
        return found or self._jobs(token)


def _token(authorization: str | None) -> str | None:
    if not authorization or len(authorization) > _LONGEST_HEADER:
        return None
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "bearer" | "token":
            return rest.strip() or None
        case "basic":
            try:
                pair = base64.b64decode(rest.strip(), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return None
            return pair.partition(":")[2] or None
        case _:
            return None

"""Who a job is, said in a way that others can check: OpenID Connect tokens as GitHub's Actions issue them.

Invariant: a token speaks of the job that asked and of nothing it chose itself but the audience. A job asks with a
request token of its own (256 random bits, kept as a hash in memory): it is made when the job starts and gone when it
ends, so it survives neither the job nor the forge. Identity tokens are valid for ten minutes (RS256, RFC 7519).
"""

import hashlib
import hmac
import os
import secrets
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import RSAKey

ISSUER_PATH: Final = "/_services/token"
LIFETIME_SECONDS: Final = 600
_KEY_BITS: Final = 2048
_LONGEST_AUDIENCE: Final = 512


class IdentityError(ValueError):
    """A token cannot be issued; the message says why."""


@dataclass(frozen=True)
class JobIdentity:
    """What is claimed about a job. Ids never change, names may."""

    job_id: int
    repository: str
    repository_id: int
    repository_owner: str
    repository_owner_id: int
    private: bool
    ref: str
    sha: str
    environment: str | None
    actor: str
    actor_id: int
    run_id: int
    run_number: int
    run_attempt: int
    workflow: str
    workflow_path: str
    event_name: str
    head_ref: str
    base_ref: str

    @property
    def subject(self) -> str:
        """GitHub's default `sub`: the environment, else the pull request, else the ref."""
        if self.environment is not None:
            # A colon would let one environment speak for something else.
            return f"repo:{self.repository}:environment:{self.environment.replace(':', '%3A')}"
        if self.event_name == "pull_request":
            return f"repo:{self.repository}:pull_request"
        return f"repo:{self.repository}:ref:{self.ref}"

    def claims(self) -> dict[str, str]:
        """Everything but the registered claims. All values are text, as GitHub's are."""
        workflow_ref = f"{self.repository}/{self.workflow_path}@{self.ref}"
        found = {
            "repository": self.repository,
            "repository_id": str(self.repository_id),
            "repository_owner": self.repository_owner,
            "repository_owner_id": str(self.repository_owner_id),
            "repository_visibility": "private" if self.private else "internal",
            "ref": self.ref,
            "ref_type": "tag" if self.ref.startswith("refs/tags/") else "branch",
            "ref_protected": "false",
            "sha": self.sha,
            "actor": self.actor,
            "actor_id": str(self.actor_id),
            "run_id": str(self.run_id),
            "run_number": str(self.run_number),
            "run_attempt": str(self.run_attempt),
            "workflow": self.workflow,
            "workflow_ref": workflow_ref,
            "workflow_sha": self.sha,
            "job_workflow_ref": workflow_ref,
            "job_workflow_sha": self.sha,
            "event_name": self.event_name,
            "head_ref": self.head_ref,
            "base_ref": self.base_ref,
            "runner_environment": "self-hosted",
        }
        return found | ({"environment": self.environment} if self.environment is not None else {})


class SigningKey:
    """The key in `path`, made when it does not exist; readable by its owner only."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            _write_private(path, RSAKey.generate_key(_KEY_BITS).as_pem(private=True))
        self._key = RSAKey.import_key(path.read_bytes(), {"use": "sig", "alg": "RS256"})
        self.kid = self._key.thumbprint()

    def public(self) -> dict[str, Any]:
        """As it stands in a key set (RFC 7517)."""
        return {**self._key.as_dict(private=False), "kid": self.kid}

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWT with these claims."""
        return jwt.encode(
            {"alg": "RS256", "typ": "JWT", "kid": self.kid}, dict(claims), self._key, algorithms=["RS256"]
        )


def _write_private(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    new.rename(path)


class Identities:
    """The jobs that may ask, and the tokens they get. `public_url` is the forge's."""

    def __init__(self, public_url: str, key: SigningKey) -> None:
        self._public_url = public_url
        self._key = key
        self._lock = threading.Lock()
        self._asking: dict[int, tuple[bytes, JobIdentity]] = {}
        self._issued: dict[int, list[str]] = {}

    @property
    def issuer(self) -> str:
        """`iss`, and where discovery begins."""
        return self._public_url + ISSUER_PATH

    def request_url(self, job_id: int) -> str:
        """`ACTIONS_ID_TOKEN_REQUEST_URL` of a job; `&audience=…` is put after it."""
        return f"{self.issuer}/jobs/{job_id}?api-version=2.0"

    def admit(self, identity: JobIdentity) -> str:
        """Let a job ask until `dismiss`; the answer is its request token."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._asking[identity.job_id] = (_digest(token), identity)
            self._issued[identity.job_id] = []
        return token

    def dismiss(self, job_id: int) -> None:
        """The job has ended."""
        with self._lock:
            self._asking.pop(job_id, None)
            self._issued.pop(job_id, None)

    def issued(self, job_id: int) -> tuple[str, ...]:
        """The tokens that a job under way was given: what must not stand in its log."""
        with self._lock:
            return tuple(self._issued.get(job_id, ()))

    def issue(self, job_id: int, request_token: str, audience: str | None) -> str | None:
        """An identity token for the job whose request token this is; None where it is nobody's. Raises
        IdentityError for an audience that cannot be one."""
        with self._lock:
            digest, identity = self._asking.get(job_id, (b"", None))
        if identity is None or not hmac.compare_digest(digest, _digest(request_token)):
            return None
        if audience is not None and not (0 < len(audience) <= _LONGEST_AUDIENCE and audience.isprintable()):
            raise IdentityError(f"audience must be 1 to {_LONGEST_AUDIENCE} printable characters")
        now = int(time.time())
        token = self._key.sign(
            {
                "iss": self.issuer,
                "sub": identity.subject,
                "aud": audience or f"{self._public_url}/{identity.repository_owner}",
                "iat": now,
                "nbf": now,
                "exp": now + LIFETIME_SECONDS,
                "jti": str(uuid.uuid4()),
                **identity.claims(),
            }
        )
        with self._lock:
            if job_id not in self._issued:
                return None  # it ended in between
            self._issued[job_id].append(token)
        return token

    def configuration(self) -> dict[str, Any]:
        """OpenID Connect Discovery 1.0 §3, as far as there is something to discover."""
        claims = ["sub", "aud", "exp", "iat", "iss", "jti", "nbf", "environment", *_CLAIM_NAMES]
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/.well-known/jwks",
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "claims_supported": claims,
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        }

    def key_set(self) -> dict[str, Any]:
        """The public keys (RFC 7517 §5)."""
        return {"keys": [self._key.public()]}


_CLAIM_NAMES: Final = sorted(
    JobIdentity(0, "", 0, "", 0, False, "", "", None, "", 0, 0, 0, 0, "", "", "", "", "").claims()
)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()

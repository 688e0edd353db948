"""A forge of one's own for a test: the real process on a free port, with tokens made for the occasion."""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from github import Auth, Github, GithubException

from deploy.embedded.local_http import answers
from deploy.embedded.ports import free_port
from tests.stand_ins import Child, start_module, wait_until


@dataclass
class ForgeProcess:
    """A forge at `url`; `tokens` holds each login's token in clear."""

    directory: Path
    port: int
    tokens: dict[str, str]
    extra: Mapping[str, str]
    child: Child | None = field(default=None, repr=False)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False), repr=False)
    """For requests that no library would make; one for all, since a new one costs more than its request."""

    @property
    def url(self) -> str:
        """What stands in every address it prints."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> str:
        """What PyGithub takes as `base_url`."""
        return f"{self.url}/api/v3"

    @property
    def data(self) -> Path:
        """Where it keeps its repositories and its database."""
        return self.directory / "data"

    def headers(self, login: str = "slipway") -> dict[str, str]:
        """For plain HTTP as `login`."""
        return {"Authorization": f"Bearer {self.tokens[login]}"}

    def clone_url(self, full_name: str, login: str = "slipway") -> str:
        """For `git clone` as `login`."""
        return f"http://{login}:{self.tokens[login]}@127.0.0.1:{self.port}/{full_name}.git"

    def client(self, login: str = "slipway", per_page: int = 30) -> Github:
        """PyGithub without its pauses between requests."""
        return Github(
            base_url=self.api,
            auth=Auth.Token(self.tokens[login]),
            per_page=per_page,
            seconds_between_requests=0,
            seconds_between_writes=0,
            retry=None,
        )

    def write_tokens(self, admins: set[str]) -> None:
        """Write the tokens file; a running forge reads it at the next request."""
        entries = {
            login: {"token_sha256": hashlib.sha256(token.encode()).hexdigest(), "admin": login in admins}
            for login, token in self.tokens.items()
        }
        path = self.directory / "tokens.json"
        path.with_suffix(".new").write_text(json.dumps(entries))
        path.with_suffix(".new").rename(path)

    def start(self) -> None:
        """Start, and wait until it is ready."""
        environment = {
            "SLIPWAY_FORGE_PORT": str(self.port),
            "SLIPWAY_FORGE_URL": self.url,
            "SLIPWAY_FORGE_DATA": str(self.data),
            "SLIPWAY_FORGE_TOKENS_FILE": str(self.directory / "tokens.json"),
            # Most tests push for another reason than to see something run.
            "SLIPWAY_FORGE_ACTIONS_ENABLED": "false",
            **self.extra,
        }
        self.child = start_module("deploy.embedded.forge", environment, self.directory)
        wait_until(lambda: answers(f"{self.url}/readyz"), self.child)

    def kill(self) -> None:
        """As a power cut would."""
        if self.child is not None:
            self.child.kill()

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.directory / "child.log").read_text(encoding="utf-8", errors="replace")


@contextmanager
def forge_process(directory: Path, extra: Mapping[str, str] | None = None) -> Iterator[ForgeProcess]:
    """A forge until the block ends, with the admin `slipway` and the users `dev` and `other`."""
    tokens = {login: secrets.token_urlsafe(32) for login in ("slipway", "dev", "other")}
    forge = ForgeProcess(directory, free_port(), tokens, extra or {})
    forge.write_tokens({"slipway"})
    try:
        forge.start()
        yield forge
    finally:
        forge.http.close()
        forge.kill()


def refused(call: Callable[[], object]) -> GithubException:
    """The error with which a call is refused."""
    with pytest.raises(GithubException) as caught:
        call()
    return caught.value

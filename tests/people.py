"""A gateway that people sign in to: what its tests need, with OpenBao as the OpenID provider."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.local_http import answers
from deploy.embedded.ports import free_port
from deploy.embedded.testing import RunningProvider, start_nats, start_provider
from deploy.embedded.testing_postgres import start_postgres
from tests.gateways import Platform

_READY_SECONDS = 60.0


@dataclass(frozen=True)
class Stage:
    """A gateway, and the provider it trusts."""

    platform: Platform
    provider: RunningProvider


@contextmanager
def start_stage(directory: Path) -> Iterator[Stage]:
    """Both, with everything below them, ready."""
    with start_nats(directory / "nats") as nats, start_postgres(directory / "postgres") as postgres:
        platform = Platform(nats, postgres, directory, free_port(), free_port())
        with start_provider(directory / "provider", postgres, platform.url) as provider:
            platform.start_catalog()
            platform.start_gateway(
                SLIPWAY_GATEWAY_PUBLIC_URL=platform.url,
                SLIPWAY_GATEWAY_ISSUER=provider.issuer,
                SLIPWAY_GATEWAY_IDENTITY_NAMESPACE="embedded",
                SLIPWAY_GATEWAY_CLIENT_ID_FILE=str(provider.client_id_file),
                SLIPWAY_GATEWAY_CLIENT_SECRET_FILE=str(provider.client_secret_file),
                SLIPWAY_GATEWAY_SCOPES="openid groups",
                SLIPWAY_GATEWAY_TEAM_GROUP_PREFIX="team:",
            )
            try:
                _wait_until_ready(platform)
                yield Stage(platform, provider)
            finally:
                for child in platform.children:
                    child.kill()


def _wait_until_ready(platform: Platform) -> None:
    """Without an event loop: a browser's tests have one of their own already."""
    deadline = time.monotonic() + _READY_SECONDS
    while not answers(f"http://127.0.0.1:{platform.health_port}/readyz"):
        if time.monotonic() > deadline:
            raise AssertionError(f"the gateway did not become ready:\n{platform.logs()}")
        time.sleep(0.05)

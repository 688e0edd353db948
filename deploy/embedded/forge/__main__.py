"""`python -m deploy.embedded.forge`: serves until SIGTERM or SIGINT."""

import sys

import uvicorn
from pydantic import ValidationError

from chassis import logs, tracing
from deploy.embedded.forge.app import build
from deploy.embedded.forge.auth import TokensFileError
from deploy.embedded.forge.git import GitError
from deploy.embedded.forge.settings import ForgeSettings
from deploy.embedded.forge.store import StoreError


def main() -> None:
    """Exit code 2 when the settings, the tokens file or the data cannot be used."""
    try:
        settings = ForgeSettings()
    except ValidationError as error:
        fields = "; ".join(f"SLIPWAY_FORGE_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        print(f"the forge cannot start: {fields}", file=sys.stderr)
        sys.exit(2)
    logs.configure("forge", settings.log_level)
    provider = tracing.configure("forge", settings.otlp_endpoint)
    try:
        app = build(settings)
    except (TokensFileError, StoreError, GitError, OSError) as error:
        print(f"the forge cannot start: {error}", file=sys.stderr)
        sys.exit(2)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    if provider is not None:
        provider.shutdown()


if __name__ == "__main__":
    main()

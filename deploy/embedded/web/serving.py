"""Runs one stand-in's ASGI application until SIGTERM or SIGINT."""

import uvicorn
from starlette.applications import Starlette

_GRACE_SECONDS = 5
_KEEP_ALIVE_SECONDS = 75


def serve(app: Starlette, host: str, port: int) -> None:
    """Blocks. Ends the process with code 1 when the port is taken (uvicorn's own message says so)."""
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        # Longer than the idle time of usual client pools, so that they close first and see no reset.
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )

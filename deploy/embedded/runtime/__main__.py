"""`python -m deploy.embedded.runtime`: serves until SIGTERM or SIGINT, and then ends every application."""

import sys

import uvicorn

from chassis import logs
from deploy.embedded.runtime.app import TokenFileError, create_app
from deploy.embedded.runtime.settings import RuntimeSettings


def main() -> None:
    """Exit code 1 with the reason when it cannot start."""
    logs.configure("runtime")
    settings = RuntimeSettings()
    try:
        app = create_app(settings)
    except (TokenFileError, OSError) as error:
        sys.exit(f"the runtime cannot start: {error}")
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        # Applications are told apart by the thread that started them, and asyncio's own loop starts them in this one.
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        # Whoever follows a log does not hold up the end.
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()

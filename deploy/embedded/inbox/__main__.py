"""`python -m deploy.embedded.inbox`: serves until SIGTERM or SIGINT."""

import sys

from chassis import logs
from deploy.embedded.inbox.app import TokenFileError, create_app
from deploy.embedded.inbox.settings import InboxSettings
from deploy.embedded.web.serving import serve


def main() -> None:
    """Exit code 1 with the reason when it cannot start."""
    logs.configure("inbox")
    settings = InboxSettings()
    try:
        app = create_app(settings)
    except TokenFileError as error:
        sys.exit(f"the inbox cannot start: {error}")
    serve(app, settings.host, settings.port)


if __name__ == "__main__":
    main()

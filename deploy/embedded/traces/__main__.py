"""`python -m deploy.embedded.traces`: serves until SIGTERM or SIGINT."""

from chassis import logs
from deploy.embedded.traces.app import create_app
from deploy.embedded.traces.settings import TraceSettings
from deploy.embedded.web.serving import serve


def main() -> None:
    """Blocks until told to stop."""
    logs.configure("traces")
    settings = TraceSettings()
    serve(create_app(settings), settings.host, settings.port)


if __name__ == "__main__":
    main()

"""`python -m deploy.embedded.people`: serves until SIGTERM or SIGINT."""

from chassis import logs
from deploy.embedded.people.app import create_app
from deploy.embedded.people.settings import PeopleSettings
from deploy.embedded.web.serving import serve


def main() -> None:
    """Run the page."""
    logs.configure("people")
    settings = PeopleSettings()
    serve(create_app(settings), settings.host, settings.port)


if __name__ == "__main__":
    main()

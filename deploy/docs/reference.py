"""The pages of the reference, each written from what it is about."""

from deploy.docs.api import api_page, errors_page
from deploy.docs.commands import commands_page
from deploy.docs.events import events_page
from deploy.docs.settings import settings_page


def pages() -> dict[str, str]:
    """Markdown by the name of the file."""
    return {
        "commands.md": commands_page(),
        "api.md": api_page(),
        "errors.md": errors_page(),
        "events.md": events_page(),
        "settings.md": settings_page(),
    }

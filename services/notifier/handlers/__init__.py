"""The deeds: `announcing` tells a team in its channel, `hearing` is told of everything that means something outside and
passes it on, `subscribing` and `delivering` are the webhooks."""

from services.notifier.handlers.announcing import Handlers

__all__ = ["Handlers"]

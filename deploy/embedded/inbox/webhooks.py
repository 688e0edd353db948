"""Incoming webhooks: a secret address that posts to one channel.

Invariant: the address follows from the bot's token by HMAC, so it needs no storage and changes with the token; like
Slack's, it answers in plain text.
"""

import hashlib
import hmac

from pydantic import SecretStr

from deploy.embedded.inbox import validation
from deploy.embedded.inbox.errors import SlackError
from deploy.embedded.inbox.store import Draft, Store
from deploy.embedded.inbox.web_api import BOT_ID, TEAM_ID, Arguments

_SECRET_CHARACTERS = 24
_AUTHOR = "incoming-webhook"


def webhook_path(token: SecretStr) -> str:
    """The path of the webhook's address for the bot whose token this is."""
    return f"/services/{TEAM_ID}/{BOT_ID}/{webhook_secret(token)}"


def webhook_secret(token: SecretStr) -> str:
    """The last part of the address: whoever knows it may post."""
    digest = hmac.digest(token.get_secret_value().encode(), b"incoming-webhook", hashlib.sha256)
    return digest.hex()[:_SECRET_CHARACTERS]


class IncomingWebhook:
    """Posts to one channel for whoever knows the address; blocks on the store."""

    def __init__(self, store: Store, token: SecretStr, channel_id: str) -> None:
        self._store = store
        self._secret = webhook_secret(token)
        self._channel_id = channel_id

    def accept(self, team: str, bot: str, secret: str, arguments: Arguments) -> tuple[int, str]:
        """The HTTP status and Slack's text for one post."""
        if (team, bot) != (TEAM_ID, BOT_ID):
            return 404, "no_team"
        if not hmac.compare_digest(secret.encode(), self._secret.encode()):
            return 403, "invalid_token"
        try:
            text, blocks = validation.content(arguments.get("text"), arguments.get("blocks"))
        except SlackError as error:
            return 400, error.code
        author = str(arguments.get("username") or _AUTHOR)[:80]
        self._store.post(self._channel_id, Draft(author, text, blocks))
        return 200, "ok"

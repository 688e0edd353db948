"""The bus's configuration for the chart: what the embedded platform's own code says, with names where keys belong.

Invariant: users, permissions, accounts, exports and limits are the embedded server's to the letter. The chart adds what
only it knows: public keys, readers, the domain, the cluster.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Final

from contracts import readers as feeds
from deploy.embedded import nats
from deploy.embedded.keys import Keys, public_user_key

CLIENT_PORT: Final = 4222
MONITOR_PORT: Final = 8222
STORE: Final = Path("/srv/slipway/data/nats")
READER: Final = "<reader>"
"""In `reader.json`: where a reader's name belongs."""


def server() -> dict[str, Any]:
    """nats-server's configuration, in which `nkey` is the name of a user."""
    with tempfile.TemporaryDirectory() as directory:
        keys = Keys(Path(directory))
        text = nats.configuration(
            keys,
            nats.topology_users(),
            port=CLIENT_PORT,
            monitor_port=MONITOR_PORT,
            store=STORE,
            host="0.0.0.0",
        )
        for user in (*nats.USERS, nats.SYSTEM_USER):
            text = text.replace(public_user_key(nats.seed_file(keys, user).read_text()), user)
    found: dict[str, Any] = json.loads(text)
    # Every pod has its own, which it is told as an argument.
    del found["server_name"]
    return found


def reader() -> dict[str, Any]:
    """What a reader may publish and subscribe, with READER for its name."""
    allowed = feeds.permissions_of(READER)
    return {
        "publish": {"allow": list(allowed.publish)},
        "subscribe": {"allow": list(allowed.subscribe)},
        "allow_responses": allowed.allow_responses,
    }

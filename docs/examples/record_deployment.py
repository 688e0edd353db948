"""Tell Slipway that something was deployed to an environment: over HTTP, or with `--bus` over NATS.

    SLIPWAY_URL=... SLIPWAY_TOKEN_FILE=... python record_deployment.py demo-api build-7 succeeded 0123abc [TIME]

Over HTTP it needs `slipway/client.py`; over NATS `nats-py[nkeys]`, NATS_URL and NATS_SEED_FILE. TIME is when it came
about (RFC 3339), by default now. A deployment's state that is told again counts once, whichever way it takes.
"""

import argparse
import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import nats

from slipway.client import Client, TellFact


def over_http(name: str, told: TellFact) -> str:
    """The fact's id. Raises SlipwayError."""
    with Client() as slipway:
        return str(slipway.tell_fact(name, **told).id)


async def over_the_bus(name: str, told: TellFact, token: str) -> str:
    """The fact's id."""
    seed = os.environ["NATS_SEED_FILE"]
    bus = await nats.connect(os.environ["NATS_URL"], nkeys_seed=seed, inbox_prefix=b"_INBOX.client")
    body = json.dumps({"name": name, **told}, default=datetime.isoformat).encode()
    headers = {"Authorization": f"Bearer {token}"}
    answer = await bus.request("request.gateway.tell_fact", body, timeout=30, headers=headers)
    await bus.close()
    said = json.loads(answer.data)
    if int((answer.headers or {})["Slipway-Status"]) >= 400:
        sys.exit(f"{said['title']}: {said['detail']}")
    return str(said["id"])


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--bus", action="store_true")
    words.add_argument("environment")
    words.add_argument("deployment_id")
    words.add_argument("state", choices=["queued", "started", "succeeded", "failed"])
    words.add_argument("commit")
    words.add_argument("time", nargs="?", type=datetime.fromisoformat, default=datetime.now(UTC))
    given = words.parse_args()
    fact: TellFact = {
        "deployment": {
            "deployment_id": given.deployment_id,
            "state": given.state,
            "commit": given.commit,
            "branch": "main",
            "author": "ci",
        },
        "time": given.time,
        "source": "our-ci",
    }
    if given.bus:
        shown = Path(os.environ["SLIPWAY_TOKEN_FILE"]).read_text(encoding="utf-8").strip()
        print(asyncio.run(over_the_bus(given.environment, fact, shown)))
    else:
        print(over_http(given.environment, fact))

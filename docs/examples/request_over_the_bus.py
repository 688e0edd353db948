"""Ask for an environment over the bus and wait until it is decided. Needs `nats-py[nkeys]`.

    NATS_URL=... NATS_SEED_FILE=... SLIPWAY_TOKEN_FILE=... python request_over_the_bus.py demo-api nodejs-api

The credential `client` may send requests and hear its own inbox, and nothing else; what a request may do follows from
the API token that comes with it. The names, bodies and answers are those of the API over HTTP.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import nats
from nats.aio.client import Client


class RefusedError(Exception):
    """What was asked is not done; the text says why and what to do next."""


async def ask(bus: Client, request: str, body: dict[str, str], **headers: str) -> dict[str, Any]:
    """What the gateway answers. A request that is sent again under the same Idempotency-Key is still one request."""
    sent = {"Authorization": f"Bearer {TOKEN}", **headers}
    answer = await bus.request(f"request.gateway.{request}", json.dumps(body).encode(), timeout=30, headers=sent)
    said: dict[str, Any] = json.loads(answer.data)
    if int((answer.headers or {})["Slipway-Status"]) >= 400:
        raise RefusedError(f"{said['title']}: {said['detail']}")
    return said


async def main(name: str, golden_path: str) -> bool:
    """Whether it became ready."""
    seed = os.environ["NATS_SEED_FILE"]
    bus = await nats.connect(os.environ["NATS_URL"], nkeys_seed=seed, inbox_prefix=b"_INBOX.client")
    wish = {"name": name, "golden_path": golden_path}
    begun = await ask(bus, "create_environment", wish, **{"Idempotency-Key": str(uuid4())})
    run = begun["run"]
    print("asked for", name, "run", run["id"], flush=True)
    while run.get("state", "running") in {"running", "undoing"}:
        await asyncio.sleep(0.5)
        run = await ask(bus, "get_run", {"id": run["id"]})
    print(name, run["state"])
    await bus.close()
    return bool(run["state"] == "succeeded")


if __name__ == "__main__":
    TOKEN = Path(os.environ["SLIPWAY_TOKEN_FILE"]).read_text(encoding="utf-8").strip()
    sys.exit(not asyncio.run(main(*sys.argv[1:3])))

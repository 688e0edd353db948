"""Print what happens to a team's environments, and go on after a restart where it stopped. Needs `nats-py[nkeys]`.

An operator makes the reader (`slipway admin readers add NAME --team TEAM`) and says what the variables are. An event
that is not acknowledged within 30 seconds comes again, so one may come twice: its `id` tells.
"""

import asyncio
import contextlib
import json
import os

import nats


async def main() -> None:
    name, url, seed = os.environ["READER"], os.environ["NATS_URL"], os.environ["NATS_SEED_FILE"]
    bus = await nats.connect(url, nkeys_seed=seed, inbox_prefix=f"_INBOX_{name}".encode())
    feed = await bus.jetstream().pull_subscribe_bind(name, stream="FEEDS")
    while True:
        with contextlib.suppress(nats.errors.TimeoutError):
            for message in await feed.fetch(10, timeout=30):
                event = json.loads(message.data)
                print(event["type"], event["subject"], event["time"], event["id"], flush=True)
                await message.ack()


asyncio.run(main())

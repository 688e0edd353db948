"""Make an environment, use it, and take it away, whatever happens in between. Needs `slipway/client.py`.

SLIPWAY_URL=... SLIPWAY_TOKEN_FILE=... python environment_for_a_test.py load-test nodejs-api
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from slipway.client import Client, Message, Verdict


@contextmanager
def environment(slipway: Client, name: str, golden_path: str) -> Iterator[Verdict]:
    """An environment that is ready. Raises RunFailedError where it does not become so: then it has undone itself."""
    asked = slipway.create_environment(name=name, golden_path=golden_path, ttl="1d")
    ready = slipway.wait(asked, told=say)
    try:
        yield ready
    finally:
        slipway.wait(slipway.delete_environment(name))


def say(message: Message) -> None:
    """A line for each step that got somewhere."""
    for step in message.data.get("steps", ()):
        print(step["step"], step["state"], flush=True)


if __name__ == "__main__":
    with Client() as client, environment(client, *sys.argv[1:3]) as ready:
        print("ready at", ready.url)

"""`python -m deploy.image.health`: asks the process in this container whether it may be given work.

Exit code 0 for yes, 1 for no. It asks `SLIPWAY_HEALTH_URL`, by default /readyz at `SLIPWAY_HEALTH_PORT`, on this
container's own loopback. Standard library only: it runs every few seconds.
"""

import os
import sys
import urllib.error
import urllib.request

_TIMEOUT_SECONDS = 4.0


def url() -> str:
    """What is asked. Raises KeyError where nothing says it."""
    return os.environ.get("SLIPWAY_HEALTH_URL") or f"http://127.0.0.1:{os.environ['SLIPWAY_HEALTH_PORT']}/readyz"


def main() -> int:
    """Ask once, and print what came back for `docker inspect`."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url(), timeout=_TIMEOUT_SECONDS) as answer:
            sys.stdout.write(answer.read(2000).decode(errors="replace"))
    except urllib.error.HTTPError as refusal:
        sys.stdout.write(refusal.read(2000).decode(errors="replace"))
        return 1
    except OSError as error:
        sys.stdout.write(f"{url()} does not answer: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

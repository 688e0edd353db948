"""`python -m deploy.helm.readers FILE`: makes the durables of the readers in FILE, and removes those of nobody.

FILE is the list that the notifier reads, too. Where the bus is and who asks it is said as for `deploy.streams`, which
runs before this. It may be run at any time and any number of times.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pydantic import ValidationError

from contracts.readers import ReaderList
from deploy.readers import provision_readers
from deploy.streams import BusAccess, StreamsError


def main() -> int:
    """0 when the bus matches the list, 1 with the reason on stderr when it does not."""
    try:
        listed = ReaderList.model_validate_json(Path(sys.argv[1]).read_bytes())
        changes = asyncio.run(provision_readers(BusAccess.from_environment(), listed.readers))
    except (OSError, ValidationError, StreamsError) as error:
        sys.stderr.write(f"the readers' durables could not be made: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in changes or ["nothing to change"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

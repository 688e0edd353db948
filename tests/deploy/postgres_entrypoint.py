"""What the official image of Postgres does before its command: initialise the data directory, once.

Run in a container: `postgres_entrypoint.py COMMAND...`. It reads the same variables.
"""

import os
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Initialise where there is nothing, then become the command."""
    data = Path(os.environ["PGDATA"])
    if not (data / "PG_VERSION").exists():
        user = f"--username={os.environ['POSTGRES_USER']}"
        password = f"--pwfile={os.environ['POSTGRES_PASSWORD_FILE']}"
        options = os.environ["POSTGRES_INITDB_ARGS"].split()
        subprocess.run(["initdb", "-D", str(data), user, password, *options], check=True)
        with (data / "pg_hba.conf").open("a", encoding="utf-8") as file:
            file.write("\nhost all all all scram-sha-256\n")
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()

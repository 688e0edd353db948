"""`python -m deploy.image.requirements SERVICE`: what pip installs for it, one a line. Used by the Dockerfile."""

import sys

from deploy.image.processes import PROCESSES, requirements


def main() -> int:
    """0, or 2 where there is no such service."""
    if len(sys.argv) != 2 or sys.argv[1] not in PROCESSES:
        sys.stderr.write(f"name one of: {', '.join(PROCESSES)}\n")
        return 2
    sys.stdout.write("".join(f"{line}\n" for line in requirements(sys.argv[1])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

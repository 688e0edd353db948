"""`python -m deploy.image [ARGUMENT...]`: becomes the process that the image was built for."""

import os
import runpy
import sys

from deploy.image.processes import PROCESSES, SERVICE_VARIABLE


def main() -> None:
    """Run it as `python -m` would. Exit code 2 where the environment does not say which."""
    service = os.environ.get(SERVICE_VARIABLE, "")
    if service not in PROCESSES:
        sys.stderr.write(f"{SERVICE_VARIABLE} must be one of: {', '.join(PROCESSES)}\n")
        raise SystemExit(2)
    runpy.run_module(PROCESSES[service].module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

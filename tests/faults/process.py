"""A service with a deliberate bug: `SLIPWAY_FAULTS_BUG=<name> python -m tests.faults.process services.secrets`.

What follows the module is given to it as its arguments.
"""

import os
import runpy
import sys

from tests.faults.bugs import VARIABLE
from tests.faults.wrong import INSTALLERS


def main() -> None:
    """Put the bug in, and become the module."""
    INSTALLERS[os.environ[VARIABLE]]()
    _, module, *arguments = sys.argv
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

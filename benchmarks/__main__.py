"""`python -m benchmarks [--only saga,creation] [--full] [--json]`: every figure the project claims, measured here
and now.

Nothing is compared with a figure from another machine: floors are measured in the same run, and ratios printed.
Exits with 1 where a target is missed.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import catalog, creation, deploy, memory, population, projection, restore_log, saga, scaling
from benchmarks.report import Figure, as_json, as_table
from benchmarks.traces import trace_store


def _saga() -> Sequence[Figure]:
    figures = saga.measure(traced=False)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as directory, trace_store(Path(directory)) as endpoint:
        return [*figures, *saga.measure(traced=True, otlp_endpoint=endpoint)]


BENCHMARKS: dict[str, Callable[[], Sequence[Figure]]] = {
    "creation": creation.measure,
    "deploy": deploy.measure,
    "saga": _saga,
    "scaling": scaling.measure,
    "population": population.measure,
    "projection": projection.measure,
    "catalog": catalog.measure,
    "restore-log": restore_log.measure,
    "memory": memory.measure,
}
FULL: dict[str, Callable[[], Sequence[Figure]]] = {
    "catalog": catalog.measure_full,
    "restore-log": restore_log.measure_full,
}
"""What is measured on a larger scale with `--full`."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="which, separated by commas")
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--full", action="store_true", help="on the largest scale too: twenty minutes more")
    arguments = parser.parse_args()
    figures: list[Figure] = []
    for name in arguments.only.split(","):
        print(f"measuring: {name}", file=sys.stderr)
        figures += (FULL if arguments.full and name in FULL else BENCHMARKS)[name]()
    print(as_json(figures) if arguments.json else as_table(figures))
    return 1 if any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())

"""What a benchmark found, for people and for programs."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One measured value beside what it should be. `target` is None where the figure only informs."""

    name: str
    value: float
    unit: str
    target: float | None = None
    better: Literal["lower", "higher"] = "lower"
    detail: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie, the nearest one."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


def as_table(figures: Sequence[Figure]) -> str:
    """One line a figure."""
    signs = {True: "met", False: "MISSED", None: ""}
    rows = [("figure", "value", "target", "", "detail")]
    for figure in figures:
        relation = "≤" if figure.better == "lower" else "≥"
        target = f"{relation} {figure.target:g} {figure.unit}" if figure.target is not None else ""
        rows.append((figure.name, f"{figure.value:,.1f} {figure.unit}", target, signs[figure.met], figure.detail))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def as_json(figures: Sequence[Figure]) -> str:
    """A list of objects."""
    return json.dumps([asdict(figure) | {"met": figure.met} for figure in figures], indent=2)

"""Creations beside many that exist, and a herd of them at once; twins for the outside effects, the rest real.

The same stage is filled further and further, and each time somebody creates one environment after another. How fast the
machine is at that moment is told by the floor beside it, so what counts is the ratio of the two.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from benchmarks.floor import Floor, floor
from benchmarks.report import Figure, percentile
from benchmarks.saga import Driver
from benchmarks.stage import stage

PRESENT = (0, 300, 1_000, 10_000)
ONE_AT_A_TIME = 100
HERD = 300
_FILLING = 100
_WARM_UP = 50
"""Without these the first would pay for connections and caches; they are there when nobody else is."""


def measure() -> list[Figure]:
    """Creation with so many environments present, and a herd."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as directory:
        root = Path(directory)
        with floor(root / "floor") as base, stage(root / "stage") as on:
            return uvloop.run(_measure(Driver(on), base))


async def _measure(driver: Driver, base: Floor) -> list[Figure]:
    await driver.start()
    try:
        await driver.crowd(_WARM_UP, 10)
        there = _WARM_UP
        figure, ratio = await _alone(driver, base, 0)
        figures, ratios = [figure], [ratio]
        herd = (await driver.crowd(HERD, HERD))[1]
        there += ONE_AT_A_TIME + HERD
        for present in PRESENT[1:]:
            if present > there:
                await driver.crowd(present - there, _FILLING)
                there = present
            figure, ratio = await _alone(driver, base, present)
            there += ONE_AT_A_TIME
            figures.append(figure)
            ratios.append(ratio)
    finally:
        await driver.stop()
    return [*figures, _flatness(ratios), *_herd(herd)]


async def _alone(driver: Driver, base: Floor, present: int) -> tuple[Figure, float]:
    floors = (await base.measure(ONE_AT_A_TIME, 1))[1]
    seconds = [await driver.create() for _ in range(ONE_AT_A_TIME)]
    floors += (await base.measure(ONE_AT_A_TIME, 1))[1]
    p50, floor_p50 = percentile(seconds, 0.5) * 1000, percentile(floors, 0.5) * 1000
    detail = f"p99 {percentile(seconds, 0.99) * 1000:.1f} ms; floor p50 {floor_p50:.1f} ms"
    return Figure(f"creation with {present:,} present, p50", p50, "ms", detail=detail), p50 / floor_p50


def _flatness(ratios: Sequence[float]) -> Figure:
    """How much dearer, in floors, a creation is at the end than at the beginning."""
    growth = (ratios[-1] / ratios[0] - 1) * 100
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return Figure("creation dearer with most present than with fewest", growth, "%", 10, detail=f"in floors: {shown}")


def _herd(seconds: Sequence[float]) -> list[Figure]:
    return [
        Figure(
            f"herd of {HERD} creations at once, p50",
            percentile(seconds, 0.5) * 1000,
            "ms",
            detail=f"p95 {percentile(seconds, 0.95) * 1000:.0f} ms, p99 {percentile(seconds, 0.99) * 1000:.0f} ms",
        ),
        Figure(f"herd of {HERD}, all done", max(seconds), "s"),
    ]

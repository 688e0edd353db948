"""Watching a run: on a terminal a view that redraws itself, elsewhere a line for each thing that happens."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.gateway import Gateway, Json, ServerEvent
from cli.output import Output, moment, seconds, state

STEPS = ("infrastructure", "secrets", "pipeline")
_LINES_SHOWN = 6
_MOVING = frozenset({"running", "undoing", "waiting"})


@dataclass
class Step:
    """What is known of one step."""

    state: str = "pending"
    started: datetime | None = None
    ended: datetime | None = None
    note: str = ""


@dataclass
class Progress:
    """A run as its events tell it."""

    environment: str
    usual: dict[str, float]
    steps: dict[str, Step] = field(default_factory=lambda: {name: Step() for name in STEPS})
    lines: list[str] = field(default_factory=list)
    verdict: Json | None = None

    def apply(self, event: ServerEvent) -> list[str]:
        """Take an event in; returns what to print where nothing is redrawn."""
        if event.event == "step":
            return [line for change in event.data.get("steps", ()) if (line := self._change(change, event.data))]
        if event.event == "log":
            return self._log(event.data)
        if event.event == "stalled":
            return [f"{event.data.get('step')} has made no progress for {seconds(event.data.get('waiting_seconds'))}"]
        if event.event == "verdict":
            self.verdict = event.data
        return []

    def _change(self, change: Json, data: Json) -> str:
        step = self.steps.setdefault(change["step"], Step())
        at = moment(data.get("time"))
        step.state, step.note = change["state"], ""
        if step.state in _MOVING:
            step.started, step.ended = at, None
            return f"{change['step']}: {step.state}"
        step.ended = at
        took = f" after {seconds((at - step.started).total_seconds())}" if at and step.started else ""
        return f"{change['step']}: {step.state}{took}"

    def _log(self, data: Json) -> list[str]:
        step = self.steps.setdefault(data["step"], Step())
        if waiting := data.get("waiting"):
            at = moment(waiting["retry_at"])
            clock = at.astimezone().strftime("%H:%M:%S") if at else "soon"
            step.note = f"waiting, retry at {clock}, attempt {waiting['attempt'] + 1} of {waiting['attempts']}"
            return [f"{data['step']}: {step.note}: {data['text']}"]
        self.lines.append(f"{data['step']}: {data['text']}")
        return [self.lines[-1]]

    def elapsed(self, step: Step) -> float | None:
        """Seconds a step has taken so far."""
        if step.started is None:
            return None
        end = step.ended or datetime.now(UTC)
        return max(0.0, (end - step.started).total_seconds())

    def view(self) -> RenderableType:
        """The steps with elapsed and usual time, and the last lines of output."""
        table = Table.grid(padding=(0, 2))
        for _ in range(5):
            table.add_column()
        for name, step in self.steps.items():
            usual = self.usual.get(name)
            table.add_row(
                state(step.state),
                name,
                Text(seconds(self.elapsed(step)), style="bold"),
                Text(f"usually {seconds(usual)}" if usual else "", style="dim"),
                Text(step.note, style="yellow"),
            )
        lines = [
            Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in self.lines[-_LINES_SHOWN:]
        ]
        return Group(table, *lines)


def watch(gateway: Gateway, output: Output, run: Json, *, usual: dict[str, float]) -> Progress:
    """Follow a run to its verdict, showing it as it goes."""
    progress = Progress(run["environment"], usual)
    if output.progress.is_terminal and not output.for_programs:
        with Live(progress.view(), console=output.progress, refresh_per_second=8, transient=False) as live:
            live.get_renderable = progress.view  # type: ignore[method-assign]  # redraws with the clock, not per event
            for event in gateway.stream(run["id"]):
                progress.apply(event)
            progress.lines.clear()
    else:
        for event in gateway.stream(run["id"]):
            for line in progress.apply(event):
                output.progress.print(Text(line))
    return progress


def usual_seconds(gateway: Gateway, golden_path: str) -> dict[str, float]:
    """The median seconds of each step of a golden path, from the platform's own history."""
    durations: list[dict[str, Any]] = gateway.get(f"/api/v1/golden-paths/{golden_path}").get("durations") or []
    return {item["step"]: item["p50_seconds"] for item in durations if item.get("count")}

"""Watching a run: on a terminal a view that redraws itself, elsewhere a line for each thing that happens."""

from collections.abc import Iterable
from datetime import datetime

from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from cli.event_stream import ServerEvent
from cli.gateway import Gateway
from cli.output import Output, Words
from cli.progress import Line, Progress
from cli.wording import clock, one_line, seconds, state

_REDRAWS_A_SECOND = 8
_STEP_WIDTH = 14
_LONGEST_NOTE = 300
"""Characters of it in the view; `slipway logs` shows it whole."""


def watch(gateway: Gateway, output: Output, run_id: str, progress: Progress, title: str) -> None:
    """Follow a run to its verdict, showing it on standard error as it goes."""
    events = gateway.follow(run_id)
    if output.redraws:
        _redraw(gateway, output, events, progress, title)
        return
    output.note(f"{title}{_usually(progress.usual.get('total'))}. Ctrl-C stops watching; the run goes on.")
    for event in events:
        for line in progress.apply(event):
            output.note(*line_words(line))


def _redraw(gateway: Gateway, output: Output, events: Iterable[ServerEvent], progress: Progress, title: str) -> None:
    with Live(
        console=output.progress,
        get_renderable=lambda: view(progress, title, gateway.now()),  # with the clock, not only when something happens
        refresh_per_second=_REDRAWS_A_SECOND,
        vertical_overflow="crop",
    ):
        for event in events:
            progress.apply(event)


def line_words(line: Line) -> tuple[Words, Words]:
    """A line of a log: when, which step, what."""
    head = Text.assemble((f"{clock(line.time):<8}", "dim"), f"  {one_line(line.step):<{_STEP_WIDTH}}  ")
    return head, (one_line(line.text), line.style)


def view(progress: Progress, title: str, now: datetime) -> RenderableType:
    """The steps with elapsed and usual time, what a step waits for, and the last lines of output."""
    return Group(_head(progress, title, now), *_steps(progress, now), *_tail(progress))


def _head(progress: Progress, title: str, now: datetime) -> Text:
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append(one_line(title), style="bold").append(f"  {seconds(progress.elapsed_seconds(now))}")
    head.append(_usually(progress.usual.get("total")), style="dim")
    return head


def _steps(progress: Progress, now: datetime) -> Iterable[RenderableType]:
    """A line a step, aligned, and below it what it waits for."""
    rows = []
    for name, step in progress.steps.items():
        usual = progress.usual.get(name) if progress.kind != "delete" else None
        rows.append(
            (
                state(step.state),
                Text(name),
                Text(seconds(step.elapsed_seconds(now)), style="bold"),
                Text(f"usually {seconds(usual)}" if usual else "", style="dim"),
            )
        )
    widths = [max(row[column].cell_len for row in rows) for column in range(4)]
    for row, step in zip(rows, progress.steps.values(), strict=True):
        line = Text("  ", no_wrap=True, overflow="ellipsis")
        for place, cell in enumerate(row):
            padding = " " * (widths[place] - cell.cell_len)
            line.append_text(Text(padding).append_text(cell) if place == 2 else cell.append(padding)).append("  ")
        line.rstrip()
        yield line
        if step.note:
            yield _note(step.note, "yellow", indent=4)


def _tail(progress: Progress) -> Iterable[RenderableType]:
    if progress.verdict is not None:
        return
    if progress.failure is not None:
        yield _note(f"Failed, and being undone: {progress.failure['message']}", "red", indent=2)
    for line in tuple(progress.log):
        yield Text(f"  {line.step}  {one_line(line.text)}", style="dim", no_wrap=True, overflow="ellipsis")
    if not progress.connected:
        yield _note("The connection is lost; connecting again …", "yellow", indent=2)
    yield _note("Ctrl-C stops watching; the run goes on.", "dim", indent=2)


def _note(text: str, style: str, *, indent: int) -> RenderableType:
    """Prose, folded; what is longer than a view can hold is cut."""
    line = one_line(text)
    line = line if len(line) <= _LONGEST_NOTE else f"{line[:_LONGEST_NOTE]}…"
    return Padding(Text(line, style=style, no_wrap=False, overflow="fold"), (0, 0, 0, indent), expand=False)


def _usually(usual_seconds: float | None) -> str:
    return f", usually {seconds(usual_seconds)}" if usual_seconds else ""

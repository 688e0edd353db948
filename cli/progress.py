"""A run as its events tell it: a fold over the stream, with no terminal and no clock of its own.

Invariant: the same events give the same progress however often the connection broke between them.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from cli.event_stream import LOST, ServerEvent
from cli.gateway import Json
from cli.wording import clock, moment, seconds, seconds_between

STEPS = ("infrastructure", "secrets", "pipeline")
_MOVING = frozenset({"running", "undoing"})
_LINES_KEPT = 6
_LOST = "The connection to the gateway is lost; the run goes on. Connecting again …"


@dataclass(frozen=True)
class Line:
    """One thing that happened, for where nothing is redrawn. `style` is Rich's; the text says as much without it."""

    time: str | None
    step: str
    text: str
    style: str = ""


@dataclass
class Step:
    """What is known of one step. `note` says what it waits for."""

    state: str = "pending"
    started_at: str | None = None
    ended_at: str | None = None
    note: str = ""
    moving: str = "running"
    """What it does while it does not wait: running or undoing."""

    def elapsed_seconds(self, now: datetime) -> float | None:
        """How long it has taken so far; None before it began."""
        began = moment(self.started_at)
        if began is None:
            return None
        return max(0.0, ((moment(self.ended_at) or now) - began).total_seconds())


@dataclass
class Progress:
    """A run under way."""

    environment: str
    kind: str
    requested_at: str
    usual: dict[str, float] = field(default_factory=dict)
    steps: dict[str, Step] = field(init=False)
    log: deque[Line] = field(default_factory=lambda: deque(maxlen=_LINES_KEPT))
    connected: bool = True
    failure: Json | None = None
    """Why it is being undone."""
    verdict: Json | None = None

    def __post_init__(self) -> None:
        # A deletion walks the road back.
        self.steps = {step: Step() for step in (reversed(STEPS) if self.kind == "delete" else STEPS)}

    def elapsed_seconds(self, now: datetime) -> float:
        """How long the run has taken so far, or took."""
        took = seconds_between(self.requested_at, (self.verdict or {}).get("time"))
        began = moment(self.requested_at)
        return max(0.0, took if took is not None else (now - began).total_seconds() if began else 0.0)

    def apply(self, event: ServerEvent) -> list[Line]:
        """Take an event in; returns what it tells, line by line."""
        if event is LOST:
            self.connected = False
            return [Line(None, "", _LOST, "yellow")]
        self.connected = True
        data = event.data
        match event.event:
            case "step":
                return [self._change(change, data) for change in data.get("steps", ())]
            case "log":
                return [self._log(data)]
            case "stalled":
                step = self._step(data["step"])
                step.note = f"no progress for {seconds(data.get('waiting_seconds'))}"
                return [Line(data.get("time"), data["step"], step.note, "yellow")]
            case "verdict":
                self._end(data)
        return []

    def _end(self, verdict: Json) -> None:
        self.verdict = verdict
        end = "undone" if self.kind == "delete" and verdict["state"] == "succeeded" else verdict["state"]
        for step in self.steps.values():
            if step.state in _MOVING or step.state == "waiting":
                # Nothing more is said of a step that failed, cleaned up or not: the verdict tells it.
                step.state, step.note, step.ended_at = end, "", verdict.get("time")

    def _change(self, change: Json, data: Json) -> Line:
        step, at = self._step(change["step"]), data.get("time")
        step.state, step.note = change["state"], ""
        text, style = step.state, "bold"
        if step.state in _MOVING:
            step.moving, step.started_at, step.ended_at = step.state, at, None
        else:
            # Whatever a failed step does from now on is to clean up.
            step.moving, step.ended_at = "undoing", at
            took = seconds_between(step.started_at, at)
            text = f"{step.state} after {seconds(took)}" if took is not None else step.state
        if step.state == "failed" and (failure := data.get("failure")):
            self.failure = failure
            text, style = f"{text}: {failure['message']}", "red"
        return Line(at, change["step"], text, style)

    def _log(self, data: Json) -> Line:
        step = self._step(data["step"])
        if waiting := data.get("waiting"):
            step.state = "waiting"
            retry = f"retry at {clock(waiting['retry_at'])}, attempt {waiting['attempt'] + 1} of {waiting['attempts']}"
            step.note = f"{retry if self.failure is None else f'cleaning up, {retry}'}: {data['text']}"
            return Line(data["time"], data["step"], f"waiting, {step.note}", "yellow")
        if step.state == "waiting":
            # It speaks again, so its next attempt has begun.
            step.state, step.note = step.moving, ""
        level = data.get("level", "info")
        text = f"{level}: {data['text']}" if level in {"warning", "error"} else data["text"]
        line = Line(data["time"], data["step"], text, {"warning": "yellow", "error": "red"}.get(level, "dim"))
        self.log.append(line)
        return line

    def _step(self, name: str) -> Step:
        if name not in self.steps:
            self.steps = {**self.steps, name: Step()}  # replaced, not changed: the view reads it from another thread
        return self.steps[name]

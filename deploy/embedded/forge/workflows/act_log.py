"""What `act --json` prints, as steps and lines of a log.

Invariant: a line reaches the log without control sequences and without any value that is known to be secret, whatever
`act` itself has masked.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

_CONTROL: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")
_SHORTEST_SECRET: Final = 4
_ANNOTATIONS: Final = ("error", "warning", "notice", "debug")
_OWN_MESSAGES: Final = (
    "⭐ Run",
    "  ✅  Success",
    "  ❌  Failure",
    "  ⚙",
    "  ❓",
    "🏁",
    "Cleaning up container",
)
Conclusion = Literal["success", "failure", "skipped"]


@dataclass(frozen=True)
class StepStarted:
    """A step begins. `key` tells it from others: its stage and place, and its matrix leg."""

    key: str
    name: str


@dataclass(frozen=True)
class StepEnded:
    """A step has ended, after so many seconds."""

    key: str
    conclusion: Conclusion
    seconds: float


@dataclass(frozen=True)
class Line:
    """A line of output, or of the runner's own."""

    text: str


@dataclass(frozen=True)
class JobEnded:
    """A job, or one leg of its matrix, has ended."""

    key: str
    conclusion: str


Event = StepStarted | StepEnded | Line | JobEnded


def plain(text: str) -> str:
    """A line without control sequences; carriage returns overwrite what stood before them, as on a terminal."""
    text = text.rstrip("\r\n").rsplit("\r", 1)[-1]
    return _CONTROL.sub("", text)


class Redaction:
    """Takes known values out of text; `values` is asked at each line, since more become known on the way."""

    def __init__(self, values: Callable[[], Iterable[str]]) -> None:
        self._values = values
        self._masked: set[str] = set()

    def add(self, value: str) -> None:
        """A value that a step has declared secret; each of its lines is."""
        self._masked |= {line.strip() for line in value.splitlines() if len(line.strip()) >= _SHORTEST_SECRET}

    def clean(self, text: str) -> str:
        """`text` with every known value replaced by `***`."""
        for value in sorted({*self._masked, *self._values()}, key=len, reverse=True):
            text = text.replace(value, "***")
        return text


class Reader:
    """Turns lines of `act --json` into events of one job; those of its neighbours in the file are passed over."""

    def __init__(self, job_key: str, redaction: Redaction) -> None:
        self._job_key = job_key
        self._redaction = redaction

    def read(self, raw: bytes) -> list[Event]:
        """The events in one line; none in one that is about another job."""
        try:
            found = json.loads(raw)
        except ValueError:
            return []
        if not isinstance(found, dict) or found.get("jobID") != self._job_key:
            return []
        return self._events(found)

    def _events(self, found: dict[str, Any]) -> list[Event]:
        message = str(found.get("msg", ""))
        key = self._key(found)
        if found.get("jobResult"):
            return [JobEnded(key, str(found["jobResult"]))]
        if found.get("stepResult"):
            seconds = float(found.get("executionTime") or 0) / 1e9
            conclusion = str(found["stepResult"])
            return [StepEnded(key, conclusion if conclusion in ("success", "skipped") else "failure", seconds)]  # type: ignore[arg-type]
        if message.startswith("⭐ Run"):
            return [StepStarted(key, self._clean(_step_name(found)))]
        if found.get("command"):
            return self._command(found)
        if found.get("raw_output") or not message.startswith(_OWN_MESSAGES):
            prefix = "##[error]" if found.get("level") == "error" else ""
            return [Line(prefix + self._clean(line)) for line in message.rstrip("\n").split("\n")]
        return []

    def _command(self, found: dict[str, Any]) -> list[Event]:
        """Workflow commands, in the words that GitHub's log has for them."""
        command, argument = str(found["command"]), str(found.get("arg") or "")
        if command == "add-mask":
            self._redaction.add(argument)
            return [Line("::add-mask::***")]
        if command in _ANNOTATIONS:
            place = found.get("kvPairs") or {}
            where = f"{place['file']}:{place.get('line', 1)}: " if isinstance(place, dict) and "file" in place else ""
            return [Line(f"##[{command}]{self._clean(where + argument)}")]
        if command in ("group", "endgroup"):
            return [Line(f"##[{command}]{self._clean(argument)}")]
        return []

    def _key(self, found: dict[str, Any]) -> str:
        steps = found.get("stepID") or found.get("stepid") or []
        leg = json.dumps(found.get("matrix") or {}, sort_keys=True)
        return f"{leg}/{found.get('stage', '')}/{'/'.join(map(str, steps))}"

    def _clean(self, text: str) -> str:
        return self._redaction.clean(plain(text))


def _step_name(found: dict[str, Any]) -> str:
    """As GitHub names steps: what has no name is called by what it runs; of a long script the first line."""
    name = str(found.get("step") or "").strip().split("\n", 1)[0][:120]
    stage = str(found.get("stage") or "")
    prefix = {"Pre": "Pre ", "Post": "Post "}.get(stage, "")
    legs = found.get("matrix") or {}
    suffix = f" ({', '.join(map(str, legs.values()))})" if isinstance(legs, dict) and legs else ""
    # `Run` goes in front of a command or an action, not of a name somebody gave.
    return f"{prefix}{name}{suffix}"

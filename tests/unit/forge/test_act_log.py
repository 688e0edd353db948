"""What `act` prints, as steps and lines, without control sequences and without secrets."""

import json
from typing import Any

from deploy.embedded.forge.workflows.act_log import (
    Event,
    JobEnded,
    Line,
    Reader,
    Redaction,
    StepEnded,
    StepStarted,
    plain,
)

TOKEN = "header.payload.signature"


def reader() -> Reader:
    return Reader("test", Redaction(lambda: (TOKEN,)))


def read(found: Reader, message: str, **more: Any) -> list[Event]:
    fields = {"jobID": "test", "msg": message, "stepID": ["0"], "stage": "Main", "step": "Try", "matrix": {}}
    return found.read(json.dumps(fields | more).encode())


def test_a_step_begins_says_something_and_ends() -> None:
    found = reader()
    (began,) = read(found, "⭐ Run Main Try")
    (line,) = read(found, "hello\n", raw_output=True)
    (ended,) = read(found, "  ✅  Success - Main Try", stepResult="success", executionTime=1_500_000_000)
    (over,) = read(found, "🏁  Job failed", jobResult="failure")
    assert isinstance(began, StepStarted)
    assert isinstance(ended, StepEnded)
    assert isinstance(over, JobEnded)
    assert (began.name, line) == ("Try", Line("hello"))
    assert (ended.key, ended.conclusion, ended.seconds, over.conclusion) == (began.key, "success", 1.5, "failure")


def test_other_jobs_and_other_things_are_passed_over() -> None:
    found = reader()
    assert read(found, "hello\n", raw_output=True, jobID="other") == []
    assert [found.read(raw) for raw in (b"", b"no json", b"[]", b"null", b'{"msg": "x"}')] == [[]] * 5


def test_known_secrets_and_declared_ones_are_taken_out_everywhere() -> None:
    found = reader()
    assert read(found, f"token {TOKEN}\n", raw_output=True) == [Line("token ***")]
    assert read(found, "⭐ Run", step=f"echo {TOKEN}") == [StepStarted("{}/Main/0", "echo ***")]
    assert read(found, "x", command="add-mask", arg="hunter22\nsecond line") == [Line("::add-mask::***")]
    assert read(found, "it is hunter22, second line\n", raw_output=True) == [Line("it is ***, ***")]
    assert read(found, "x", command="error", arg=f"bad {TOKEN}") == [Line("##[error]bad ***")]


def test_control_sequences_do_not_reach_the_log() -> None:
    assert plain("\x1b[31mred\x1b[0m \x1b]0;title\x07x\x00\n") == "red x"
    assert plain("10%\r50%\r100%\r\n") == "100%"


def test_annotations_are_in_githubs_words() -> None:
    found = reader()
    place = {"file": "a.js", "line": "3"}
    assert read(found, "x", command="warning", arg="careful", kvPairs=place) == [Line("##[warning]a.js:3: careful")]
    assert read(found, "x", command="group", arg="Build") == [Line("##[group]Build")]
    assert read(found, "x", command="set-output", arg="secretish") == []


def test_of_a_long_script_the_first_line_names_the_step() -> None:
    (began,) = read(reader(), "⭐ Run Main", step="echo one\necho two", matrix={"os": "linux", "n": 2})
    assert isinstance(began, StepStarted)
    assert began.name == "echo one (linux, 2)"

"""Terraform's words, and what they mean."""

import json

import pytest

from chassis.failures import PermanentError, TransientError
from contracts.values import Resource
from services.provisioner.adapters.terraform_failures import failure_of
from services.provisioner.adapters.terraform_output import Diagnostic, Transcript
from services.provisioner.adapters.terraform_process import Finished
from services.provisioner.adapters.terraform_provider.resource import BUSY, FOREIGN

RESOURCE = {
    "addr": "module.environment.module.dns.slipway_dns_record.this",
    "resource": "slipway_dns_record.this",
    "resource_type": "slipway_dns_record",
}


def told(kind: str, **fields: object) -> str:
    return json.dumps({"@level": "info", "@message": f"about {kind}", "type": kind} | fields)


def ended(code: int = 1, stderr: str = "", *, timed_out: bool = False, cancelled: bool = False) -> Finished:
    return Finished(code, stderr, timed_out, cancelled)


def error(summary: str, detail: str = "", address: str = "") -> Diagnostic:
    return Diagnostic("error", summary, detail, address)


def test_a_transcript_knows_what_was_planned_done_and_found() -> None:
    transcript = Transcript()
    change = {"resource": RESOURCE, "action": "create"}
    assert transcript.add(told("planned_change", change=change)) is None
    transcript.add(told("planned_change", change={"resource": RESOURCE | {"addr": "b"}, "action": "noop"}))
    line = transcript.add(told("apply_complete", hook={"resource": RESOURCE, "action": "create", "id_value": "x/A"}))
    assert line is not None
    assert line.text == "about apply_complete"
    assert transcript.planned == {RESOURCE["addr"]: "create"}
    assert transcript.of("create") == (Resource(kind="dns_record", id="x/A"),)
    assert transcript.of("delete") == ()


def test_data_sources_are_no_resources() -> None:
    transcript = Transcript()
    data = RESOURCE | {"resource": "data.aws_region.current", "addr": "data.aws_region.current"}
    transcript.add(told("refresh_complete", hook={"resource": data, "id_value": "eu"}))
    assert transcript.found == {}


def test_a_sensitive_output_does_not_leave_the_transcript() -> None:
    transcript = Transcript()
    outputs = {"url": {"sensitive": False, "value": "u"}, "key": {"sensitive": True, "value": "hunter2"}}
    assert transcript.add(told("outputs", outputs=outputs)) is None
    assert transcript.outputs == {"url": "u"}


def test_a_diagnostic_is_told_without_the_code_around_it() -> None:
    transcript = Transcript()
    snippet = {"code": "password = hunter2", "values": [{"traversal": "var.x", "statement": 'is "hunter2"'}]}
    line = transcript.add(
        told("diagnostic", diagnostic={"severity": "error", "summary": "No", "detail": "why", "snippet": snippet})
    )
    assert line is not None
    assert line.text == "No. why"


@pytest.mark.parametrize("text", ["", "  ", "[]", "7", "null", '"x"', "{", '{"type": "version"}', '{"type": 7}', "{}"])
def test_lines_of_other_kinds_are_passed_over(text: str) -> None:
    transcript = Transcript()
    transcript.add(text)
    assert transcript.found == {}
    assert transcript.errors == []


@pytest.mark.parametrize(
    "detail",
    [
        "dial tcp 127.0.0.1:1: connect: connection refused",
        "Throttling: Rate exceeded",
        "Error acquiring the state lock",
        "read: connection reset by peer",
    ],
)
def test_what_may_pass_is_transient(detail: str) -> None:
    assert isinstance(failure_of("apply", ended(), [error("Could not", detail), error(BUSY)]), TransientError)


def test_one_lasting_error_makes_the_whole_permanent() -> None:
    failure = failure_of("apply", ended(), [error(BUSY), error("Invalid value", "timed out? no: wrong type")])
    assert isinstance(failure, TransientError)
    failure = failure_of("apply", ended(), [error(BUSY), error("Invalid value", "wrong type", "module.x")])
    assert isinstance(failure, PermanentError)
    assert str(failure) == "module.x: Invalid value. wrong type"


def test_a_foreign_thing_is_never_transient_whatever_its_name() -> None:
    failure = failure_of("apply", ended(), [error(FOREIGN, "DNS record connection refused exists")])
    assert isinstance(failure, PermanentError)
    assert failure.code == "foreign_resource"


@pytest.mark.parametrize(
    "finished", [ended(cancelled=True), ended(timed_out=True), ended(-9), ended(1, "Error: connection refused")]
)
def test_an_end_from_outside_is_transient(finished: Finished) -> None:
    assert isinstance(failure_of("apply", finished, []), TransientError)


def test_an_error_without_a_diagnostic_is_told_without_colours() -> None:
    failure = failure_of("init", ended(1, "\x1b[31mError:\x1b[0m Module not found\n"), [])
    assert isinstance(failure, PermanentError)
    assert str(failure) == "terraform init failed (1). Error: Module not found"


def test_a_long_error_is_cut() -> None:
    assert len(str(failure_of("apply", ended(), [error("x" * 10_000)]))) == 1500

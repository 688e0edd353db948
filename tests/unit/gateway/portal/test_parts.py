"""The parts of pages that work something out: words, links, forms, pictures, waterfalls, time travel."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import uuid4

import httpx
import pytest

from chassis.failures import TransientError
from contracts.insights import AuditAction
from contracts.queries import DeploymentState, EnvironmentState, RunningState, RunState, StepState
from contracts.signals import FeedbackGiven, SurveyAnswered
from services.gateway.adapters.jaeger import JaegerTraces
from services.gateway.domain.graphs import Drawn, Edge, Health, ResourceNode, environment_id
from services.gateway.portal import forms, words
from services.gateway.portal.audit import ACTIONS
from services.gateway.portal.graph import picture
from services.gateway.portal.rendering import safe_link
from services.gateway.portal.waterfall import MOST_BARS, waterfall
from services.gateway.ports import TraceSpan
from tests.unit.gateway.portal.test_rendering import made
from tests.unit.gateway.rig import Rig, path, principal

NOW = datetime(2026, 11, 23, 13, 16, tzinfo=UTC)


# -- words


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        ("environment", get_args(EnvironmentState)),
        ("deployment", get_args(DeploymentState)),
        ("running", get_args(RunningState)),
        ("run", get_args(RunState)),
        ("step", get_args(StepState)),
    ],
)
def test_every_state_has_a_word_and_no_two_of_a_kind_have_the_same(kind: str, states: tuple[str, ...]) -> None:
    told = [words.told(kind, state) for state in states]
    assert len({one.word for one in told}) == len(states)
    bad = [one for one in told if one.shape == "bad"]
    assert all(one.tone == "bad" for one in bad)


def test_what_waits_is_not_told_as_what_failed() -> None:
    waiting, failed = words.told("step", "waiting"), words.told("step", "failed")
    assert (waiting.word, waiting.shape) != (failed.word, failed.shape)
    assert waiting.tone != "bad"


def test_every_action_of_the_audit_has_words() -> None:
    assert set(ACTIONS) == set(get_args(AuditAction))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "now"), (60, "1 minute ago"), (7200, "2 hours ago"), (-90_000, "in 1 day"), (777_600, "9 days ago")],
)  # fmt: skip
def test_times_are_told_in_their_largest_unit(seconds: int, text: str) -> None:
    assert words.ago(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, words.UNKNOWN), (0, "0 s"), (4.25, "4.2 s"), (59, "59 s"), (65, "1 min 5 s"), (3700, "1 h 1 min")],
)
def test_durations_are_as_precise_as_they_are_interesting(seconds: float | None, text: str) -> None:
    assert words.took(seconds) == text


# -- links


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "http://169.254.169.254/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://0x7f.1/",
        "http://evil.test/?x=.localhost",
        "//evil.test",
        r"/\evil.test",
        "https://ours@evil.test/",
        "https://",
        "http://[",
        "ftp://forge.test/",
        " https://forge.test/",
        "",
    ],
)
def test_a_link_to_anywhere_else_is_no_link(address: str) -> None:
    assert safe_link(address, Rig().gateway) is None


@pytest.mark.parametrize(
    "address",
    [
        "https://grafana.example/d/1",
        "/runs",
        "http://demo-api.slipway.localhost:8015",
        "http://forge.test/acme/demo-api",
    ],
)
def test_a_link_to_https_or_a_part_of_the_platform_is_one(address: str) -> None:
    assert safe_link(address, Rig().gateway) == address


# -- forms


def test_a_form_has_a_field_for_each_parameter_that_may_be_set() -> None:
    schema = path().form("preview")
    fields = {field.label: field for field in forms.fields(schema, {})}
    assert {label: field.widget for label, field in fields.items()} == {
        "Instances": "number",
        "Database": "checkbox",
        "Ratio": "number",
    }
    assert fields["Database"].is_on
    assert dict(fields["Instances"].limits) == {"min": "1", "max": "5"}


def test_what_was_typed_means_what_it_says_and_what_cannot_be_read_stays_text() -> None:
    schema = path().form("preview")
    typed = forms.read(
        {"parameters.instances": " 3 ", "parameters.ratio": "a half", "parameters.region": "us"}, (), schema
    )
    assert forms.parameters(schema, typed) == {"instances": 3, "database": False, "ratio": "a half"}
    [instances, _, ratio] = forms.fields(schema, typed)
    assert (instances.value, ratio.value) == ("3", "a half")


def test_a_number_of_many_digits_is_not_read() -> None:
    schema = path().form("preview")
    digits = "9" * 1000
    assert forms.parameters(schema, {"parameters.instances": digits})["instances"] == digits


# -- pictures


def drawn(*edges: tuple[str, str], root: str = "a") -> Drawn:
    """A graph of environments that nobody has seen anything of."""
    names = {name for edge in edges for name in edge} | {root}
    return Drawn(
        root=root,
        environments=(),
        health={name: Health("unknown", None, None, None) for name in names},
        resources=(ResourceNode("database:x", "database", "x", root),),
        missing=tuple(sorted(names)),
        edges=(
            *(Edge(environment_id(one), environment_id(other), "depends_on") for one, other in edges),
            Edge(environment_id(root), "database:x", "has"),
        ),
        affected=(),
        affected_unseen=0,
        complete=True,
    )


def test_who_depends_stands_left_of_what_it_depends_on() -> None:
    shown = {box.name: box for box in picture(drawn(("caller", "a"), ("a", "called"))).boxes}
    assert shown["caller"].x < shown["a"].x < shown["called"].x == shown["x"].x


def test_a_circle_ends_and_no_two_boxes_lie_upon_each_other() -> None:
    found = picture(drawn(("a", "b"), ("b", "c"), ("c", "a"), ("a", "a")))
    places = [(box.x, box.y) for box in found.boxes]
    assert len(set(places)) == len(places) == 4
    assert all(0 <= x < found.width and 0 <= y < found.height for x, y in places)


# -- waterfalls


def span(name: str, parent: str | None = None, begun: int = 0, lasted: int = 10) -> TraceSpan:
    """A span of the gateway."""
    return TraceSpan(name, parent, "gateway", name, begun, lasted, failed=False)


def test_every_span_is_drawn_once_below_its_parent() -> None:
    spans = [span("child", "root", 5), span("root"), span("lost", "nobody", 7), span("loop", "loop", 8)]
    found = waterfall(spans)
    assert found is not None
    assert [(bar.operation, bar.depth) for bar in found.bars] == [("root", 0), ("child", 1), ("lost", 0), ("loop", 0)]
    assert all(bar.x >= 0 and bar.x < 1000 and bar.width >= 1 for bar in found.bars)


def test_of_a_long_trace_the_first_spans_are_drawn_and_the_others_counted() -> None:
    found = waterfall([span(str(number), begun=number) for number in range(MOST_BARS + 7)])
    assert found is not None
    assert (len(found.bars), found.hidden) == (MOST_BARS, 7)
    assert waterfall(()) is None


def jaeger(answer: Any, status: int = 200) -> JaegerTraces:
    """A store that answers this."""

    def handle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json=answer)

    return JaegerTraces("http://traces.test", httpx.MockTransport(handle))


async def test_spans_are_read_from_jaegers_answer() -> None:
    answer = {
        "data": [
            {
                "processes": {"p1": {"serviceName": "gateway"}},
                "spans": [
                    {
                        "spanID": "b",
                        "operationName": "provision",
                        "references": [
                            {"refType": "FOLLOWS_FROM", "spanID": "x"},
                            {"refType": "CHILD_OF", "spanID": "a"},
                        ],
                        "startTime": 5,
                        "duration": 7,
                        "tags": [{"key": "error", "value": True}],
                        "processID": "p1",
                    }
                ],
            }
        ]
    }
    assert await jaeger(answer).spans("0" * 32) == (TraceSpan("b", "a", "gateway", "provision", 5, 7, failed=True),)


async def test_a_trace_that_is_not_known_has_no_spans() -> None:
    assert await jaeger({"data": None}, 404).spans("0" * 32) == ()
    assert await jaeger({}).spans("../../etc") == ()


@pytest.mark.parametrize("answer", [[], {"data": [{}]}, {"data": "x"}, None])
async def test_an_answer_that_is_none_is_as_no_answer(answer: Any) -> None:
    with pytest.raises(TransientError):
        await jaeger(answer).spans("0" * 32)
    with pytest.raises(TransientError):
        await jaeger(answer, 500).spans("0" * 32)


# -- time travel and feedback


async def test_a_position_that_is_none_is_the_first_or_the_last() -> None:
    rig = Rig()
    await made(rig)
    async with rig.browser(await rig.session()) as client:
        for asked in ({"from": "0", "to": "99"}, {"from": "x", "to": "-1"}, {}):
            text = (await client.get("/environments/demo-api", params=asked)).text
            assert 'name="from" min="1" max="2" value="1"' in text
            assert 'name="to" min="1" max="2" value="2"' in text
        turned = (await client.get("/environments/demo-api", params={"from": "2", "to": "1"})).text
        assert 'name="from" min="1" max="2" value="1"' in turned


async def test_feedback_is_said_once_for_its_key_and_a_survey_once_a_quarter() -> None:
    rig = Rig()
    session = await rig.session("viewer")
    headers = {"Origin": "http://slipway.test"}
    async with rig.browser(session) as client:
        text = (await client.get("/feedback")).text
        token = text.partition('name="csrf_token" value="')[2].partition('"')[0]
        sent = {"csrf_token": token, "request_key": str(uuid4()), "text": "More golden paths", "page": "/create"}
        for _ in "12":
            assert (await client.post("/feedback", data=sent, headers=headers)).status_code == 303
        for score in ("5", "1"):
            answered = {"csrf_token": token, "score": score, "why": ""}
            assert (await client.post("/feedback/survey", data=answered, headers=headers)).status_code == 303
        wrong = await client.post("/feedback", data={**sent, "page": "https://evil.test"}, headers=headers)
    assert wrong.status_code == 422
    assert "More golden paths" in wrong.text
    kinds = [type(signal) for signal in rig.signals.said.values()]
    assert kinds == [FeedbackGiven, SurveyAnswered]
    survey = list(rig.signals.said.values())[1]
    assert isinstance(survey, SurveyAnswered)
    assert (survey.data.score, survey.data.person) == (5, principal().person)

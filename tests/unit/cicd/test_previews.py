"""Hearing of previews: what is looked at, and what the bus is answered."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from chassis.failures import PermanentError, TransientError
from chassis.reading import ACK
from contracts.events import EnvironmentReady, EnvironmentReadyData
from contracts.signals import PreviewNoted
from contracts.values import PullRequest
from services.cicd.adapters.previews import hear_note, hear_verdict
from services.cicd.domain.previews import Said, Verdict, plain, read, text_of
from tests import samples
from tests.every_message import every_signal
from tests.unit.cicd.events import KEY, NOON, secrets_stored

BEFORE, LATER, LATEST = (NOON + timedelta(minutes=minutes) for minutes in (-1, 1, 2))
IDENTITY = KEY.derive("acme/shop#7", "preview_comment")


def ready(pull: PullRequest | None) -> bytes:
    """The verdict over a creation."""
    wanted = samples.spec("shop", pull_request=pull)
    data = EnvironmentReadyData(
        spec=wanted,
        infrastructure=samples.infrastructure("shop"),
        secrets=samples.secrets("shop"),
        pipeline=samples.pipeline("shop"),
        duration_seconds=3,
    )
    return samples.follows(KEY, EnvironmentReady, data, secrets_stored(wanted), source="catalog").to_json()


def failing(error: Exception) -> Callable[[object], Awaitable[None]]:
    async def deed(_: object) -> None:
        raise error

    return deed


async def test_only_verdicts_over_previews_are_looked_at() -> None:
    heard: list[Verdict] = []

    async def deed(verdict: Verdict) -> None:
        heard.append(verdict)

    for body in (ready(None), b'{"pull_request": 1}', b"\xff", ready(PullRequest(number=7))):
        assert await hear_verdict(deed, body) == ACK
    assert [one.data.spec.pull_request for one in heard] == [PullRequest(number=7)]


async def test_what_is_no_note_changes_nothing() -> None:
    heard: list[PreviewNoted] = []

    async def deed(note: PreviewNoted) -> None:
        heard.append(note)

    bodies = [signal.to_json() for signal in every_signal()]
    for body in (*bodies, b"null", b"[]"):
        assert await hear_note(deed, body) == ACK
    assert [type(one) for one in heard] == [PreviewNoted]


@pytest.mark.parametrize("delay", [None, 30.0])
async def test_what_cannot_be_said_now_is_said_later_and_what_never_can_is_let_go(delay: float | None) -> None:
    body = ready(PullRequest(number=7))
    away = failing(TransientError("the forge is away", delay_seconds=delay))
    assert (await hear_verdict(away, body)).startswith(b"-NAK")
    gone = failing(PermanentError("forge_not_found", "it is gone", next_step="Nothing."))
    assert await hear_verdict(gone, body) == ACK


def test_a_comment_says_what_it_was_made_from() -> None:
    for said in (Said(NOON, "### Preview\n\n- x"), Said(NOON, "### Preview", "Not done.\nReally.", LATER)):
        assert read(IDENTITY, text_of(IDENTITY, said)) == said
        assert read(IDENTITY, text_of(IDENTITY, said).replace("\n", "\r\n")) == said
        assert read(KEY.derive("acme/shop#8", "preview_comment"), text_of(IDENTITY, said)) is None


def test_whichever_comes_first_what_was_said_last_counts() -> None:
    ready, note, newer = Said(NOON, "ready"), Said(LATER, "", "moved"), Said(LATEST, "deleted")
    made = Said(BEFORE, "made")
    both = Said(NOON, "ready", "moved", LATER)
    assert note.over(ready) == both
    noted = note.over(made)
    assert noted is not None
    assert ready.over(noted) == both
    assert newer.over(both) == newer
    assert note.over(newer) is None
    assert made.over(both) is None
    assert Said(NOON, "", "older").over(both) is None
    first = note.over(None)
    assert first is not None
    assert "none" in first.main


@pytest.mark.parametrize(
    "text", ["@all", "see #1", "<!-- slipway note -->", "a\n# b", "[x](javascript:alert(1))", "`x`"]
)
def test_what_a_person_wrote_is_text(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    for sign in ("@a", "#1", "<!", "]("):
        assert sign not in shown.replace("\\", "") or f"\\{sign[0]}" in shown

"""How a run ended: made, updated, repaired, failed, put back, deleted; or that it does not end."""

import json

from contracts.events import EnvironmentDeleted, EnvironmentFailed, EnvironmentReady, RunStalled
from contracts.values import EnvironmentSpec
from services.notifier.domain.announcements import Announcement, Fact, Items, Link, Piece, Told
from services.notifier.domain.words import (
    duration,
    facts,
    items,
    moment,
    resources,
    run_link,
    with_reasons,
    without_scheme,
)

_MAY_STAY = "Kept on purpose"


def ready(event: EnvironmentReady, platform_url: str) -> Announcement:
    """An environment is as it was asked for."""
    data = event.data
    spec, pipeline, url = data.spec, data.pipeline, data.infrastructure.url
    took = f"It took {duration(data.duration_seconds)}."
    address: tuple[Piece, ...] = (Link(without_scheme(url), url), f" answers. {took}") if url else (took,)
    to_do = "to deploy it" if data.previous is None else "to deploy that way"
    merge: tuple[Piece, ...] = ("Merge ", Link("the pull request", pipeline.pull_request_url or ""), f" {to_do}.")
    return Announcement(
        tone="good",
        title=f"{event.subject} is {_became(spec, data.previous)}",
        paragraphs=(address, merge) if pipeline.pull_request_url else (address,),
        facts=(
            *facts(spec),
            Fact("Repository", (Link(pipeline.repository, pipeline.html_url), " on ", Told(pipeline.branch))),
        ),
        items=_changes(spec, data.previous),
        links=(*((Link("Open", url),) if url else ()), *run_link(event, platform_url)),
    )


def _became(spec: EnvironmentSpec, previous: EnvironmentSpec | None) -> str:
    if previous is None:
        return "ready"
    # A run towards what was wanted already is a repair.
    return "repaired" if spec == previous else "updated"


def _changes(spec: EnvironmentSpec, previous: EnvironmentSpec | None) -> tuple[Items, ...]:
    """What an update changed, in the order of the desired state."""
    if previous is None:
        return ()
    before, after = _told(previous), _told(spec)
    names = dict.fromkeys((*after, *before))  # a dict keeps their order
    lines = tuple(
        (Told(name), ": ", Told(before.get(name, "not set")), " → ", Told(after.get(name, "not set")))
        for name in names
        if before.get(name) != after.get(name)
    )
    return items("Changed", lines)


def _told(spec: EnvironmentSpec) -> dict[str, str]:
    known = {
        "golden path": f"{spec.golden_path} {spec.golden_path_version}",
        "branch": spec.branch,
        "owner": f"{spec.owner.person} ({spec.owner.team})",
        "end": moment(spec.expires_at) if spec.expires_at else "none",
    }
    chosen = {name: value if isinstance(value, str) else json.dumps(value) for name, value in spec.parameters.items()}
    return chosen | known


def failed(event: EnvironmentFailed, platform_url: str) -> Announcement:
    """A run failed, or was called off, and its road back has ended."""
    data = event.data
    updating, called_off = data.previous is not None, data.failure.code == "called_off"
    attempts = f" after {data.failure.attempts} attempts" if data.failure.attempts > 1 else ""
    reason: tuple[Piece, ...] = (f"The {data.failure.step} step failed{attempts}: ", Told(data.failure.message))
    next_step: tuple[Piece, ...] = ("Next step: ", Told(data.failure.next_step))
    closing: tuple[Piece, ...] = (f"{_state_after(event)} It took {duration(data.duration_seconds)}.",)
    return Announcement(
        tone="gone" if called_off else "bad",
        title=f"{event.subject} {_what_failed(event)}",
        paragraphs=(closing,) if called_off else (reason, next_step, closing),
        facts=facts(data.spec if data.previous is None else data.previous),
        items=(
            *resources("Taken away again" if updating else "Undone", data.undone),
            *with_reasons("Left behind", data.left_behind),
            *with_reasons(_MAY_STAY, data.kept),
        ),
        links=run_link(event, platform_url),
    )


def _what_failed(event: EnvironmentFailed) -> str:
    data = event.data
    if data.failure.code == "called_off":
        return "was called off" if data.previous is None else "is not updated: the run was called off"
    if data.previous is None:
        return "failed"
    return "could not be repaired" if data.previous == data.spec else "could not be updated"


def _state_after(event: EnvironmentFailed) -> str:
    data = event.data
    if data.previous is not None:
        return "Not everything could be put back as it was." if data.left_behind else "It is put back as it was."
    if data.left_behind:
        return "Not everything could be undone."
    return "Nothing is left behind." if data.created else "Nothing had been created."


def deleted(event: EnvironmentDeleted, platform_url: str) -> Announcement:
    """An environment is gone."""
    data = event.data
    state = "Nothing is left of it."
    if data.left_behind:
        state = "Not everything could be removed."
    elif data.kept:
        state = "Nothing is left of it but what was kept on purpose."
    return Announcement(
        tone="gone",
        title=f"{event.subject} is deleted",
        paragraphs=((f"{state} It took {duration(data.duration_seconds)}.",),),
        facts=facts(data.spec),
        items=(
            *resources("Removed", data.removed),
            *with_reasons("Left behind", data.left_behind),
            *with_reasons(_MAY_STAY, data.kept),
        ),
        links=run_link(event, platform_url),
    )


def stalled(event: RunStalled, platform_url: str) -> Announcement:
    """A run makes no progress."""
    waited = duration(event.data.waiting_seconds)
    return Announcement(
        tone="waiting",
        title=f"{event.subject} is stuck",
        paragraphs=(
            (f"The {event.data.step} step has made no progress for {waited}.",),
            ("Next step: look at the run, then cancel or retry it.",),
        ),
        facts=facts(event.data.spec),
        links=run_link(event, platform_url),
    )

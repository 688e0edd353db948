"""What is said under a pull request about its preview: one comment, found again by its mark and kept up to date. Pure.

Invariants
- The mark follows from the platform's own key, so nobody can write our comment before we do.
- What is older never replaces what is newer, and what is as it should be is not written again.
- Nothing that a person wrote, or a branch is called, can mention anybody or end what it stands in.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from contracts.events import EnvironmentDeleted, EnvironmentFailed, EnvironmentReady
from contracts.values import EnvironmentSpec, PullRequest
from services.cicd.domain.marks import Mark
from services.cicd.domain.things import File

KIND: Final = "preview_comment"
CALLED_OFF: Final = "called_off"
"""The code of the failure of a run that somebody called off (`chassis.consuming`)."""
WORKFLOWS: Final = ".github/workflows"
Verdict = EnvironmentReady | EnvironmentFailed | EnvironmentDeleted
_NOTE: Final = re.compile(r"\n<!-- slipway note (\S{1,40}) -->\n")
_MENTION: Final = re.compile(r"[@#](?=\w)")
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>!|])")
_COMMANDS: Final = (
    "Every push is deployed to it. Delete it by closing this pull request, by removing the label `preview`, or with"
    " the comment `/slipway preview delete`."
)
_OF_A_FORK: Final = (
    "It shows the commit that a member agreed to, and no newer one until a member writes `/slipway preview` again, best"
    " with the commit that they looked at: `/slipway preview <commit>`."
    " Delete it by closing this pull request, or with the comment `/slipway preview delete`."
)


@dataclass(frozen=True)
class Comment:
    """A comment on the forge."""

    id: int
    body: str


@dataclass(frozen=True)
class Said:
    """What our comment says: how the preview is, and what was noted beside; each with when that was said. What is only
    a note has no `main`."""

    at: datetime
    main: str
    note: str = ""
    noted_at: datetime | None = None

    def over(self, before: "Said | None") -> "Said | None":
        """The comment once this is said as well; None where it was said too late to count."""
        if self.main:
            if before is None or before.noted_at is None or before.noted_at <= self.at:
                return None if before is not None and before.at > self.at else self
            return None if before.at > self.at else replace(self, note=before.note, noted_at=before.noted_at)
        if before is None:
            return Said(self.at, none_yet(self.at), self.note, self.at)
        if before.noted_at is not None and before.noted_at > self.at:
            return None
        # What is newer says how the preview is by now.
        return None if before.at > self.at else replace(before, note=self.note, noted_at=self.at)


def mark(identity: UUID) -> str:
    """What our comment on one pull request begins with; it is not shown."""
    return f"<!-- slipway preview {identity} "


def identity_of(derive: Callable[[UUID | str, str], UUID], repository: str, number: int) -> UUID:
    """By what our comment on a pull request is known."""
    return derive(f"{repository.lower()}#{number}", KIND)


def text_of(identity: UUID, said: Said) -> str:
    """The whole comment."""
    head = f"{mark(identity)}{_moment(said.at)} -->"
    if said.noted_at is None:
        return f"{head}\n{said.main}"
    return f"{head}\n{said.main}\n<!-- slipway note {_moment(said.noted_at)} -->\n\n{said.note}"


def read(identity: UUID, body: str) -> Said | None:
    """What a comment of ours says; None for one that is none, or that somebody has changed beyond reading."""
    first, _, rest = body.replace("\r\n", "\n").partition("\n")
    if not first.startswith(mark(identity)):
        return None
    main, noted_at, note = [*_NOTE.split(rest, maxsplit=1), "", ""][:3]
    try:
        at = datetime.fromisoformat(first.removeprefix(mark(identity)).removesuffix(" -->").strip())
        return Said(at, main, note.strip(), datetime.fromisoformat(noted_at) if noted_at else None)
    except ValueError:
        return None


def being_made(environment: str, at: datetime, commit: str | None) -> Said:
    """It was asked for."""
    what = "the newest commit" if commit is None else f"commit `{commit[:12]}`"
    return Said(at, _lines(environment, "being created", at, f"It will show {what}."))


def being_deleted(environment: str, at: datetime) -> Said:
    """It is being taken away."""
    return Said(at, _lines(environment, "being deleted", at))


def after(verdict: Verdict, platform_url: str) -> Said:
    """How a preview is after a verdict; a change of it that failed only leaves a note."""
    spec, at, data = verdict.data.spec, verdict.time, verdict.data
    if isinstance(verdict, EnvironmentDeleted):
        return Said(at, _lines(spec.name, "deleted", at, "For a new one, write `/slipway preview`."))
    if isinstance(verdict, EnvironmentFailed):
        why = f"{plain(verdict.data.failure.message)} {plain(verdict.data.failure.next_step)}"
        page = f"[What happened]({platform_url}/runs/{verdict.run_id})"
        if data.previous is None and verdict.data.failure.code == CALLED_OFF:
            return Said(at, _lines(spec.name, "deleted", at, f"Its creation was called off and undone. {page}"))
        if data.previous is not None:
            return Said(at, "", f"A change of it failed and was undone: {why} {page}")
        return Said(at, _lines(spec.name, "failed", at, f"{why} {page}"))
    return Said(at, _ready(spec, verdict.data.infrastructure.url, at, platform_url))


def none_yet(at: datetime) -> str:
    """What stands where there is no preview."""
    return f"### Preview\n\n- **State:** none\n- **Updated:** {_for_people(at)}"


def commit_message(owner: Mark, number: int, commit: str, file: File) -> str:
    """Of the commit of ours that has a commit of a pull request deployed."""
    return (
        f"Preview {commit[:12]} of pull request {number}\n\nThe same files, and the one workflow that deploys them to"
        f" {owner.environment}.\n\nSlipway-Workflow: {file.digest}\n{owner.trailers}"
    )


def plain(text: str) -> str:
    """Text that Markdown leaves as it is, on one line, in which nobody is mentioned and nothing referred to."""
    line = " ".join(text.split())
    return _MENTION.sub(lambda found: f"{found.group()}\u200b", _SPECIAL.sub(r"\\\1", line))


def _ready(spec: EnvironmentSpec, url: str | None, at: datetime, platform_url: str) -> str:
    pull = spec.pull_request or PullRequest(number=1)
    more = [f"- **URL:** {url}"] if url else []
    more.append(f"- **Expires:** {_for_people(spec.expires_at)}; each deployment renews it" if spec.expires_at else "")
    more.append(f"- **More:** [{spec.name}]({platform_url}/environments/{spec.name})")
    advice = _COMMANDS if pull.approved_commit is None else _OF_A_FORK
    return _lines(spec.name, "ready", at, advice, [line for line in more if line])


def _lines(environment: str, state: str, at: datetime, below: str = "", more: list[str] | None = None) -> str:
    listed = [f"- **State:** {state}", *(more or []), f"- **Updated:** {_for_people(at)}"]
    return "\n".join([f"### Preview `{environment}`", "", *listed, *(["", below] if below else [])])


def _for_people(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%-d %b %Y, %H:%M:%S UTC")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()

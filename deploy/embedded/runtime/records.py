"""What the runtime remembers of a slot, on disk: which releases are kept, which one is live, how deployments went.

Invariant: replaced whole at each change, so a kill leaves the state before or after; no secret is in it. It lives in
the slot's directory and goes with it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from contracts.deployments import DeploymentOutcome, ReleaseOrder, ReleaseView
from contracts.envelope import Value
from deploy.embedded.home import write_file

MARKER_FILE: Final = ".slipway.json"
"""The provisioner's, which says whose the slot is (`slipway_namespace`)."""
RECORD_FILE: Final = "runtime.json"
KEPT_OUTCOMES: Final = 30
_MARK: Final = re.compile(r"slipway environment=([a-z0-9-]{1,63}) incarnation=([0-9a-f-]{36})")


class KeptRelease(ReleaseOrder, ReleaseView):
    """A release on disk, and how it is run."""


class Record(Value):
    """What is remembered of a slot."""

    live: str | None = None
    """The deployment id of the live release."""
    releases: tuple[KeptRelease, ...] = ()
    """The newest first."""
    lived: tuple[str, ...] = ()
    """Ids of releases in the order in which they were live last, the latest first."""
    outcomes: tuple[DeploymentOutcome, ...] = ()
    """The newest first."""

    def release(self, deployment_id: str | None) -> KeptRelease | None:
        """The kept release of this id."""
        return next((one for one in self.releases if one.deployment_id == deployment_id), None)

    def outcome(self, deployment_id: str) -> DeploymentOutcome | None:
        """What became of a deployment."""
        return next((one for one in self.outcomes if one.deployment_id == deployment_id), None)

    def to_go_back_to(self, to: str | None) -> KeptRelease | None:
        """The release that `to` means: a deployment's id, a commit or its beginning, None for the one that was live
        before; None where there is none."""
        if to is None:
            earlier = (self.release(one) for one in self.lived if one != self.live)
            return next((one for one in earlier if one is not None), None)
        wanted = to.lower()
        by_commit = (one for one in self.releases if len(wanted) >= 7 and one.commit.startswith(wanted))
        return self.release(to) or next(by_commit, None)

    def with_outcome(self, outcome: DeploymentOutcome) -> "Record":
        """With one more deployment told."""
        return self.model_copy(update={"outcomes": (outcome, *self.outcomes)[:KEPT_OUTCOMES]})

    def with_live(self, release: KeptRelease, kept: int) -> "Record":
        """With this release live and the latest; `kept` releases remain, those that were live last."""
        lived = (release.deployment_id, *(one for one in self.lived if one != release.deployment_id))[:kept]
        known = {one.deployment_id: one for one in (*self.releases, release)}
        releases = tuple(known[one] for one in lived if one in known)
        newest_first = tuple(sorted(releases, key=lambda one: one.received_at, reverse=True))
        return self.model_copy(update={"live": release.deployment_id, "lived": lived, "releases": newest_first})


@dataclass(frozen=True)
class Mark:
    """Whose a slot is, and what the environment's parameters say of it."""

    environment: str
    incarnation: UUID
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, slot: Path) -> "Mark | None":
        """The mark in a slot's directory; None where it is no slot."""
        try:
            content: Any = json.loads((slot / MARKER_FILE).read_text(encoding="utf-8"))
            found = _MARK.fullmatch(str(content["mark"]))
            labels = {str(key): str(value) for key, value in (content.get("labels") or {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        if found is None or found[1] != slot.name:
            return None
        return cls(found[1], UUID(found[2]), labels)

    @property
    def copies(self) -> int:
        """How many copies run."""
        return max(1, min(self._number("instances") or 1, 10))

    @property
    def memory_mib(self) -> int | None:
        """The most memory that one copy may use."""
        return self._number("memory_mib")

    def _number(self, label: str) -> int | None:
        text = self.labels.get(label, "")
        return int(text) if text.isascii() and text.isdigit() else None


def load(slot: Path) -> Record:
    """What is remembered of a slot; nothing of a new one, or where the file is not ours to read."""
    try:
        return Record.model_validate_json((slot / RECORD_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return Record()


def save(slot: Path, record: Record) -> None:
    """Remember it. Raises FileNotFoundError where the slot is gone."""
    if not slot.is_dir():
        raise FileNotFoundError(slot)
    write_file(slot / RECORD_FILE, record.model_dump_json(indent=1))

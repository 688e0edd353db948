"""`slipway_namespace`: a slot in the local runtime, one directory with a marker file.

The directory appears with its marker in one rename and disappears from its name in one rename, so a killed run
leaves either a whole slot or none under the environment's name.

Invariant: a slot that is gone has no process left. The runtime holds a lock (flock(2)) on `.running` in the slot for as
long as anything of it runs, and ends that as soon as the slot has lost its name; its files go after that. The kernel
lets go of the lock of a runtime that was killed, whose applications die with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
import uuid
from pathlib import Path
from typing import Any, Final

from tf.schema import Attribute
from tf.types import Map, String

from .marks import Busy, Mark, check_ours
from .resource import MarkedResource, State

MARKER_FILE: Final = ".slipway.json"
LOCK_FILE: Final = ".running"
STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class NamespaceResource(MarkedResource):
    """Directory `name` below the runtime's root, with `labels` that say whose it is."""

    NAME = "namespace"

    @classmethod
    def attributes(cls) -> list[Attribute]:
        """`path` is where it is on this machine."""
        return [
            Attribute("name", String(), required=True, requires_replace=True),
            Attribute("labels", Map(String()), required=True),
            Attribute("path", String(), computed=True),
        ]

    @classmethod
    def key(cls, state: State) -> str:
        """The directory's name."""
        return str(state["name"])

    @classmethod
    def from_key(cls, key: str) -> State:
        """The directory's name."""
        return {"name": key}

    def check(self, known: State) -> None:
        """One path component that is also a DNS label."""
        if not _NAME.fullmatch(known.get("name", "x")):
            raise ValueError("name must be a DNS label: a-z, 0-9 and '-', at most 63 characters")

    def ensure(self, mark: Mark, wanted: State) -> State:
        """Make the slot with its marker, or write our slot's labels anew."""
        slot = self._slot(wanted["name"])
        marker = json.dumps({"mark": str(mark), "labels": wanted["labels"]}, sort_keys=True)
        if not slot.exists():
            fresh = slot.with_name(f".making-{slot.name}-{uuid.uuid4().hex}")
            fresh.mkdir(mode=0o700, parents=True)
            _write(fresh / MARKER_FILE, marker)
            try:
                fresh.rename(slot)
            except OSError:
                shutil.rmtree(fresh)
                if not slot.exists():
                    raise
        check_ours(f"directory {slot}", mark, _marker(slot).get("mark"))
        if _marker(slot).get("labels") != wanted["labels"]:
            _write(slot / MARKER_FILE, marker)
        return {"name": slot.name, "labels": wanted["labels"], "path": str(slot)}

    def look(self, mark: Mark, known: State) -> State | None:
        """The slot with the labels that its marker has; None when it is gone."""
        slot = self._slot(known["name"])
        if not slot.exists():
            return None
        marker = _marker(slot)
        check_ours(f"directory {slot}", mark, marker.get("mark"))
        labels = {str(key): str(value) for key, value in (marker.get("labels") or {}).items()}
        return {"name": slot.name, "labels": labels, "path": str(slot)}

    def remove(self, mark: Mark, known: State) -> None:
        """Move the slot out of its name, then delete it with everything in it, and what killed runs left."""
        slot = self._slot(known["name"])
        if slot.exists():
            check_ours(f"directory {slot}", mark, _marker(slot).get("mark"))
            slot.rename(slot.with_name(f".removing-{slot.name}-{uuid.uuid4().hex}"))
        for pattern in (f".removing-{slot.name}-*", f".making-{slot.name}-*"):
            # The suffix is 32 hex digits: `a` must not match what belongs to `a-b`.
            for left in slot.parent.glob(pattern):
                if re.fullmatch(r"[0-9a-f]{32}", left.name.removeprefix(pattern[:-1])):
                    _await_end(left)
                    shutil.rmtree(left)

    def _slot(self, name: str) -> Path:
        if self._access.runtime is None:
            raise ValueError("this machine offers no runtime: set SLIPWAY_PROVISIONER_RUNTIME_DIRECTORY")
        if not _NAME.fullmatch(name):
            raise ValueError("name must be a DNS label")
        return self._access.runtime / name


def _await_end(slot: Path) -> None:
    """Wait until nothing of the slot runs. Raises `Busy` where the runtime does not end it."""
    try:
        descriptor = os.open(slot / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # nothing was ever deployed there
    deadline = time.monotonic() + STOP_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy(f"what runs in the slot {slot.name} has not ended yet") from None
                time.sleep(_POLL_SECONDS)
            else:
                return
    finally:
        os.close(descriptor)


def _marker(slot: Path) -> dict[str, Any]:
    """What the marker file says; empty when there is none or it is not ours to read."""
    try:
        content = json.loads((slot / MARKER_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, text: str) -> None:
    """Replace `path` whole: a reader sees the old content or the new."""
    fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    with fresh.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)

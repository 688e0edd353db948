"""The golden paths on disk: one directory each, with its manifest `golden_path.yaml`.

Invariant: what is offered is what the directory holds now; a manifest that does not load is left out and logged, and
the others stay on offer.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio.to_thread
import structlog
import yaml
from pydantic import ValidationError

from contracts.golden_path import GoldenPath

_log = structlog.get_logger(__name__)

MANIFEST: Final = "golden_path.yaml"
_Stamp = tuple[int, int]


@dataclass
class DirectoryOfGoldenPaths:
    """Fulfils `ports.GoldenPaths`. A manifest is read again only when its file has changed."""

    directory: Path
    _read: dict[Path, tuple[_Stamp, GoldenPath | None]] = field(default_factory=dict)

    async def all(self) -> list[GoldenPath]:
        """See the port."""
        return await anyio.to_thread.run_sync(self._all)

    async def find(self, name: str) -> GoldenPath | None:
        """See the port."""
        return next((path for path in await self.all() if path.name == name), None)

    async def check(self) -> None:
        """Raise where there is no golden path to offer."""
        if not await self.all():
            raise LookupError(f"no golden path loads from {self.directory.name}/: see this service's log")

    def _all(self) -> list[GoldenPath]:
        found = (self._one(manifest) for manifest in sorted(self.directory.glob(f"*/{MANIFEST}")))
        return [path for path in found if path is not None]

    def _one(self, manifest: Path) -> GoldenPath | None:
        status = manifest.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        known = self._read.get(manifest)
        if known is None or known[0] != stamp:
            known = (stamp, _load(manifest))
            self._read[manifest] = known
        return known[1]


def _load(manifest: Path) -> GoldenPath | None:
    try:
        path = GoldenPath.model_validate(yaml.safe_load(manifest.read_text(encoding="utf-8")))
        if path.name != manifest.parent.name:
            raise ValueError(f"it says the name {path.name}")
    except (yaml.YAMLError, ValidationError, ValueError, OSError) as error:
        _log.error("a golden path does not load", golden_path=manifest.parent.name, error=str(error)[:1000])
        return None
    return path

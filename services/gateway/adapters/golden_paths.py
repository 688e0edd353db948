"""The golden paths on disk: one directory each, with its manifest `golden_path.yaml`.

Invariant: what is offered is what the directory held a second ago at most; a manifest that does not load is left out
and logged, and the others stay on offer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

import anyio.to_thread
import structlog
import yaml
from pydantic import ValidationError

from contracts.golden_path import GoldenPath

_log = structlog.get_logger(__name__)

MANIFEST: Final = "golden_path.yaml"
LOOKED_UP_SECONDS: Final = 1.0
"""How long a look at the directory counts: it costs a thread, and many ask at once."""
CACHE: Final = "cache"
"""The parameter of golden paths that asks for a cache."""
_Stamp = tuple[int, int]


@dataclass
class DirectoryOfGoldenPaths:
    """Fulfils `ports.GoldenPaths`. A manifest is read again only when its file has changed."""

    directory: Path
    now: Callable[[], float] = monotonic
    has_caches: bool = False
    """Whether the platform can give an environment a cache; where it cannot, nobody may ask for one."""
    _read: dict[Path, tuple[_Stamp, GoldenPath | None]] = field(default_factory=dict)
    _offered: tuple[float, dict[str, GoldenPath]] | None = None
    _looking: asyncio.Task[dict[str, GoldenPath]] | None = None

    async def all(self) -> list[GoldenPath]:
        """See the port."""
        return list((await self._by_name()).values())

    async def find(self, name: str) -> GoldenPath | None:
        """See the port."""
        return (await self._by_name()).get(name)

    async def _by_name(self) -> dict[str, GoldenPath]:
        if self._offered is not None and self.now() - self._offered[0] <= LOOKED_UP_SECONDS:
            return self._offered[1]
        if self._looking is None or self._looking.done():  # else one look is enough for all who wait
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> dict[str, GoldenPath]:
        began = self.now()
        found = await anyio.to_thread.run_sync(self._all)
        offered = {path.name: path for path in found}
        self._offered = (began, offered)
        return offered

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
            path = _load(manifest)
            if path is not None and not self.has_caches:
                path = path.model_copy(update={"overridable": tuple(n for n in path.overridable if n != CACHE)})
            known = (stamp, path)
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

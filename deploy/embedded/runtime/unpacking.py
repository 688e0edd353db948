"""A release's archive becomes its directory, by a process that can do no harm (`unpack.py`), in one rename."""

import asyncio
import json
import shutil
import sys
import uuid
from pathlib import Path
from typing import Final

_UNPACK: Final = Path(__file__).with_name("unpack.py")
_MOST_SECONDS: Final = 180.0
_PREFIX: Final = ".making-"


class UnusableReleaseError(Exception):
    """The archive is not one that is unpacked; the message says why."""


async def unpack_release(archive: Path, slot: Path, deployment_id: str) -> Path:
    """The directory of a new release. Raises `UnusableReleaseError`."""
    releases = slot / "releases"
    releases.mkdir(mode=0o700, exist_ok=True)
    target, draft = releases / deployment_id, releases / f"{_PREFIX}{uuid.uuid4().hex}"
    draft.mkdir(mode=0o700)
    try:
        await _unpack(archive, draft)
        # An attempt that a kill of the runtime cut short may have left one: nobody was told of it.
        await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
        draft.rename(target)
    except BaseException:
        await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
        raise
    return target


async def _unpack(archive: Path, draft: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(_UNPACK), str(archive), str(draft),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        raise UnusableReleaseError("it takes too long to unpack") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return
    try:
        reason = json.loads(output)["refused"]
    except (ValueError, KeyError, TypeError):
        reason = "it takes more memory or time to unpack than a release may"
    raise UnusableReleaseError(f"the release cannot be unpacked: {reason}")

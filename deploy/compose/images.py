"""The images that the platform stands on, pinned by digest, and how the pins are renewed.

Invariant: a reference is `name:version@sha256:…`: the version is for people, the digest is what runs. A version that is
built again gets another digest; `python -m deploy.compose pin` asks the registry, on a machine that may.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.errors import PlatformError
from deploy.embedded.home import write_file
from deploy.image.processes import PROJECT

COMPOSE_FILE = PROJECT / "docker-compose.yml"
DOCKERFILE = PROJECT / "deploy" / "image" / "Dockerfile"
_REFERENCE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9./-]*[a-z0-9]):(?P<tag>[A-Za-z0-9][A-Za-z0-9._-]*)@(?P<digest>sha256:[0-9a-f]{64})"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, order=True)
class Image:
    """One pinned image."""

    name: str
    tag: str
    digest: str

    @property
    def version(self) -> str:
        """What a registry is asked for."""
        return f"{self.name}:{self.tag}"


def pinned(text: str) -> list[Image]:
    """Every pinned image in a file's text."""
    return sorted({Image(found["name"], found["tag"], found["digest"]) for found in _REFERENCE.finditer(text)})


def resolve(version: str) -> str:
    """The digest that a registry has for `name:tag` now, by Docker's own client. Raises PlatformError."""
    command = ["docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", version]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlatformError(
            f"cannot ask a registry for {version}: {type(error).__name__}",
            remedy="install Docker with buildx, where a registry can be reached",
        ) from error
    found = done.stdout.strip()
    if done.returncode != 0 or not _DIGEST.fullmatch(found):
        raise PlatformError(f"no registry says what {version} is", details=done.stderr)
    return found


def renew(files: tuple[Path, ...], ask: Callable[[str], str] = resolve, *, write: bool) -> Mapping[Image, str]:
    """The images of `files` whose version has another digest by now, with that digest; written into the files where
    `write`. Raises PlatformError before anything is written."""
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    images = sorted({image for text in texts.values() for image in pinned(text)})
    digests = {version: ask(version) for version in sorted({image.version for image in images})}
    changed = {image: digests[image.version] for image in images if digests[image.version] != image.digest}
    for path, text in texts.items():
        renewed = text
        for image, digest in changed.items():
            renewed = renewed.replace(f"{image.version}@{image.digest}", f"{image.version}@{digest}")
        if write and renewed != text:
            write_file(path, renewed, mode=path.stat().st_mode & 0o777)
    return changed

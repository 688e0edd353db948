"""Renewing the digests of images: what is written, and when nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.compose.images import Image, pinned, renew
from deploy.embedded.errors import PlatformError

OLD, NEW = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    compose, dockerfile = tmp_path / "docker-compose.yml", tmp_path / "Dockerfile"
    compose.write_text(
        f"image: nats:2.15.0-alpine@{OLD}\nimage: registry.example/some/bao:1@{OLD}\nimage: slipway/gateway:dev\n"
    )
    dockerfile.write_text(f"FROM python:3.11@{OLD} AS python\n")
    return compose, dockerfile


def test_a_version_that_was_built_again_gets_its_new_digest(files: tuple[Path, Path]) -> None:
    now = {"nats:2.15.0-alpine": NEW, "registry.example/some/bao:1": OLD, "python:3.11": NEW}
    changed = renew(files, now.__getitem__, write=True)
    assert changed == {Image("nats", "2.15.0-alpine", OLD): NEW, Image("python", "3.11", OLD): NEW}
    assert f"nats:2.15.0-alpine@{NEW}" in files[0].read_text()
    assert f"registry.example/some/bao:1@{OLD}" in files[0].read_text()
    assert pinned(files[1].read_text()) == [Image("python", "3.11", NEW)]
    assert not renew(files, now.__getitem__, write=True)


def test_looking_changes_nothing(files: tuple[Path, Path]) -> None:
    before = [path.read_bytes() for path in files]
    assert len(renew(files, lambda _: NEW, write=False)) == 3
    assert [path.read_bytes() for path in files] == before


def test_a_registry_that_does_not_answer_leaves_the_pins_alone(files: tuple[Path, Path]) -> None:
    before = [path.read_bytes() for path in files]

    def ask(version: str) -> str:
        if version.startswith("registry"):
            raise PlatformError("no registry")
        return NEW

    with pytest.raises(PlatformError):
        renew(files, ask, write=True)
    assert [path.read_bytes() for path in files] == before

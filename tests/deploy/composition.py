"""`docker-compose.yml` and the Dockerfile as data, resolved as Compose resolves them where no variable is set."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from deploy.compose.images import COMPOSE_FILE, DOCKERFILE

_DEFAULT = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")
OURS = "slipway/"


def composition() -> dict[str, Any]:
    """The Compose file with each `${NAME:-default}` as its default."""
    text = _DEFAULT.sub(lambda found: found[1], COMPOSE_FILE.read_text(encoding="utf-8"))
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@dataclass(frozen=True)
class Instruction:
    """One instruction of the Dockerfile."""

    word: str
    value: str

    @property
    def argv(self) -> list[str]:
        """The value of one in exec form; an AssertionError where it is in shell form."""
        assert self.value.startswith("["), f"{self.word} {self.value} needs a shell"
        found: list[str] = json.loads(self.value)
        return found


def dockerfile() -> list[Instruction]:
    """The Dockerfile's instructions, continued lines joined."""
    lines = (line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(None, 1)) for line in joined.splitlines() if line.strip()]


@dataclass(frozen=True)
class Image:
    """What a container of ours has from its image."""

    instructions: list[Instruction] = field(default_factory=dockerfile)

    @cached_property
    def last_stage(self) -> list[Instruction]:
        """The instructions after the last FROM."""
        begins = max(index for index, one in enumerate(self.instructions) if one.word == "FROM")
        return self.instructions[begins + 1 :]

    def one(self, word: str) -> Instruction:
        """The only instruction `word` of the last stage."""
        (found,) = (one for one in self.last_stage if one.word == word)
        return found

    def environment(self, service: str) -> dict[str, str]:
        """Its ENV, for a value of the argument SERVICE; without PATH."""
        pairs = (pair.split("=", 1) for one in self.last_stage if one.word == "ENV" for pair in shlex.split(one.value))
        return {name: value.replace("${SERVICE}", service) for name, value in pairs if name != "PATH"}

    @property
    def healthcheck(self) -> list[str]:
        """What its HEALTHCHECK runs."""
        found: list[str] = json.loads(self.one("HEALTHCHECK").value.partition("CMD ")[2])
        return found


@dataclass(frozen=True)
class Container:
    """One service of the Compose file."""

    name: str
    told: Mapping[str, Any]

    @property
    def is_ours(self) -> bool:
        """Whether its image is built here."""
        return str(self.told["image"]).startswith(OURS)

    @property
    def service(self) -> str:
        """The value of its image's argument SERVICE."""
        return str(self.told["build"]["args"]["SERVICE"])

    @property
    def environment(self) -> dict[str, str]:
        """What it is told by variables, its image's own among them."""
        own = Image().environment(self.service) if self.is_ours else {}
        return own | {name: str(value) for name, value in self.told.get("environment", {}).items()}

    @property
    def argv(self) -> list[str]:
        """What it runs."""
        image = Image().one("ENTRYPOINT").argv if self.is_ours else []
        return [*self.told.get("entrypoint", image), *self.told.get("command", [])]

    @property
    def directory(self) -> str:
        """Where it runs."""
        return str(self.told.get("working_dir") or (Image().one("WORKDIR").value if self.is_ours else "/"))

    @property
    def volumes(self) -> list[Mapping[str, Any]]:
        """Its mounts of named volumes."""
        return [mount for mount in self.told.get("volumes", []) if mount["type"] == "volume"]

    @property
    def healthcheck(self) -> list[str] | None:
        """The command that says whether it is healthy; None where there is none."""
        told = self.told.get("healthcheck")
        if told is None:
            return Image().healthcheck if self.is_ours else None
        return None if told.get("disable") else list(told["test"][1:])

    @property
    def needs(self) -> dict[str, str]:
        """By the name of a container: in which condition it must be before this one starts."""
        return {name: how["condition"] for name, how in self.told.get("depends_on", {}).items()}

    @property
    def networks(self) -> dict[str, Mapping[str, Any]]:
        """By the name of a network: what is said of this container there."""
        told = self.told.get("networks", {})
        return {name: {} for name in told} if isinstance(told, list) else {name: told[name] or {} for name in told}

    @property
    def names(self) -> list[str]:
        """By which others find it on the inner network."""
        return [self.name, *self.networks["platform"].get("aliases", [])] if "platform" in self.networks else []


def containers() -> dict[str, Container]:
    """Every service of the Compose file."""
    return {name: Container(name, told) for name, told in composition()["services"].items()}

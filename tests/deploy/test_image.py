"""The image: linted by hadolint, and holding what each process imports, by names that the lock has."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.compose.images import DOCKERFILE, pinned
from deploy.compose.shares import SHARES
from deploy.embedded.processes import PROJECT, binary
from deploy.image.directories import DIRECTORIES
from deploy.image.processes import PROCESSES, requirements
from tests.deploy.composition import Image, containers, dockerfile

_OURS = ("contracts", "chassis", "services", "cli", "deploy")


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([binary("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_base_is_pinned_by_digest() -> None:
    stages = {one.value.split()[-1] for one in dockerfile() if one.word == "FROM" and " AS " in one.value}
    bases = [one.value.split()[0] for one in dockerfile() if one.word == "FROM"]
    for base in bases:
        assert base in stages or base == "with-${TOOLS}" or pinned(base), base


def test_the_container_is_nobody_needs_no_shell_and_says_how_it_is() -> None:
    image = Image()
    assert image.one("USER").value == "10001:10001"
    assert image.one("ENTRYPOINT").argv == ["python", "-m", "deploy.image"]
    assert image.healthcheck == ["python", "-m", "deploy.image.health"]
    after_user = image.last_stage[[one.word for one in image.last_stage].index("USER") :]
    assert not {"RUN", "COPY", "ADD"} & {one.word for one in after_user}


def test_the_tools_that_compose_asks_for_are_stages() -> None:
    stages = {one.value.split()[-1] for one in dockerfile() if one.word == "FROM"}
    asked = {one.told["build"]["args"]["TOOLS"] for one in containers().values() if one.is_ours}
    assert {f"with-{tools}" for tools in asked} <= stages


def test_everything_that_is_copied_exists_and_is_in_the_context() -> None:
    ignored = (DOCKERFILE.with_name("Dockerfile.dockerignore")).read_text(encoding="utf-8").splitlines()
    for one in dockerfile():
        if one.word == "COPY" and "--from=" not in one.value:
            for source in one.value.split()[:-1]:
                assert (PROJECT / source).exists(), source
                assert f"!{source.split('/')[0]}" in ignored, source


def test_each_share_and_each_volume_has_its_directory() -> None:
    assert {f"shares/{name}" for name in SHARES} == {name for name in DIRECTORIES if name.startswith("shares/")}


@pytest.mark.parametrize("name", PROCESSES)
def test_the_image_has_every_package_that_its_process_imports(name: str) -> None:
    installed = _closure(requirements(name))
    assert installed <= _locked(), "a package that the lock does not have"
    provided = {module for module, distributions in _modules().items() if distributions & installed}
    process = PROCESSES[name]
    imported = _imported_by(f"{process.module}.__main__")
    assert {one for one in imported if one not in provided} == set()


@cache
def _modules() -> dict[str, set[str]]:
    """By the name of a module that can be imported here: the canonical names of what brings it."""
    found = metadata.packages_distributions()
    return {module: {str(canonicalize_name(name)) for name in names} for module, names in found.items()}


def _locked() -> set[str]:
    text = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    return {
        str(canonicalize_name(name)) for name in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==", text, re.MULTILINE)
    }


def _closure(names: list[str]) -> set[str]:
    """The canonical names of what pip installs for `names` here, extras included."""
    found: set[str] = set()
    waiting = [(Requirement(name), "") for name in names]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, _ = waiting.pop()
        name = str(canonicalize_name(requirement.name))
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            found.add(name)
            for line in metadata.requires(name) or ():
                needed = Requirement(line)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append((needed, extra))
    return found


def _imported_by(module: str) -> set[str]:
    """The names of foreign modules that `module` and everything of ours below it import when they are loaded."""
    foreign: set[str] = set()
    waiting, seen = [module], set[str]()
    while waiting:
        name = waiting.pop()
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            one = ".".join(parts[:length])
            path = _file_of(one)
            if path is None or one in seen:
                continue
            seen.add(one)
            for imported in _imports(one, path):
                if imported.split(".")[0] in _OURS:
                    waiting.append(imported)
                else:
                    foreign.add(imported.split(".")[0])
    return foreign - set(sys.stdlib_module_names)


def _file_of(module: str) -> Path | None:
    base = PROJECT.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.exists()), None)


def _imports(module: str, path: Path) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{name.name}" for name in node.names)

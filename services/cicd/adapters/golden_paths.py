"""Golden paths in a directory: `<root>/<name>/{golden_path.yaml, skeleton/, pipeline/}`.

Invariants
- A value never changes a structure. A workflow is rendered twice, once with marker words and once with the values;
  the second must parse to the tree of the first with the markers replaced, or nothing comes out.
- A value never reaches a shell or an expression: a template that puts one into a `run` or an `if` is refused.
- A skeleton's files are copied byte for byte, except for the placeholders `__SLIPWAY_…__`, which are written the way
  the file's format quotes text; in a format that we cannot quote for, a placeholder is an error.
"""

import json
import os
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import jinja2
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import ValidationError

from chassis.failures import PermanentError
from contracts.golden_path import GoldenPath
from services.cicd.domain import File
from services.cicd.ports import Values

MAX_FILES: Final = 1000
MAX_FILE_BYTES: Final = 2 * 1024 * 1024
_PLACEHOLDER: Final = re.compile(rb"__SLIPWAY_([A-Z_]+?)__")
_PLACEHOLDERS: Final[dict[str, Callable[[Values], str]]] = {
    "NAME": lambda values: values.environment,
    "DESCRIPTION": lambda values: values.description,
}
_NOT_COPIED: Final = frozenset({"node_modules", "__pycache__", "coverage", ".git"})


class DirectoryGoldenPaths:
    """The golden paths below `root`, read when they are asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._templates = ImmutableSandboxedEnvironment(
            undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
        )
        self._templates.filters["yaml"] = quoted

    async def find(self, name: str) -> GoldenPath:
        return await anyio.to_thread.run_sync(self._find, name)

    async def skeleton(self, path: GoldenPath, values: Values) -> tuple[File, ...]:
        return await anyio.to_thread.run_sync(self._skeleton, path, values)

    async def workflow(self, path: GoldenPath, values: Values) -> bytes:
        return await anyio.to_thread.run_sync(self._workflow, path, values)

    def _find(self, name: str) -> GoldenPath:
        manifest = self._root / name / "golden_path.yaml"
        try:
            path = GoldenPath.model_validate(parse_yaml(manifest.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            published = sorted(found.parent.name for found in self._root.glob("*/golden_path.yaml"))
            raise PermanentError(
                "golden_path_unknown",
                f"there is no golden path {name}",
                next_step=f"Choose one of: {', '.join(published) or 'none is published'}.",
            ) from error
        except (ValidationError, yaml.YAMLError) as error:
            raise _broken(name, "its manifest is not valid") from error
        if path.name != name:
            raise _broken(name, f"its manifest calls it {path.name}")
        return path

    def _skeleton(self, path: GoldenPath, values: Values) -> tuple[File, ...]:
        root = self._root / path.name / path.pipeline.skeleton
        files: list[File] = []
        for directory, names, found in os.walk(root):
            names[:] = [name for name in names if name not in _NOT_COPIED]
            for file in (Path(directory) / name for name in found):
                relative = file.relative_to(root).as_posix()
                if file.is_symlink() or file.stat().st_size > MAX_FILE_BYTES:
                    raise _broken(path.name, f"{relative} is a symbolic link or too large")
                executable = bool(file.stat().st_mode & 0o100)
                files.append(File(relative, filled(relative, file.read_bytes(), values, path.name), executable))
        if not 0 < len(files) <= MAX_FILES:
            raise _broken(path.name, f"its skeleton has {len(files)} files")
        return tuple(sorted(files, key=lambda file: file.path))

    def _workflow(self, path: GoldenPath, values: Values) -> bytes:
        source = (self._root / path.name / path.pipeline.workflow_template).read_text(encoding="utf-8")
        given = {name: value or "" for name, value in asdict(values).items()}
        if any("${{" in value for value in given.values()):
            raise PermanentError(
                "value_not_allowed",
                "a value of the environment looks like a workflow expression",
                next_step="Start over with other values.",
            )
        # An absent value stays absent, so that a template may ask whether it is there.
        markers = {name: value and f"slipwaymarker{number}x" for number, (name, value) in enumerate(given.items())}
        try:
            template = self._templates.from_string(source)
            intended = parse_yaml(template.render(markers))
            text = template.render(given)
            actual = parse_yaml(text)
        except (jinja2.TemplateError, yaml.YAMLError) as error:
            raise _broken(path.name, "its workflow cannot be rendered") from error
        _refuse_values_in_code(intended, [marker for marker in markers.values() if marker], path.name)
        if actual != _replaced(intended, {markers[name]: value for name, value in given.items() if value}):
            raise _broken(path.name, "a value would change what its workflow does")
        return text.encode()


def quoted(value: str) -> str:
    """`value` as a double-quoted YAML scalar of printable ASCII (YAML 1.2 §7.3.1)."""
    escaped = []
    for character in value:
        code = ord(character)
        if character in {'"', "\\"}:
            escaped.append("\\" + character)
        elif 0x20 <= code < 0x7F:
            escaped.append(character)
        elif code <= 0xFF:
            escaped.append(f"\\x{code:02x}")
        elif code <= 0xFFFF:
            escaped.append(f"\\u{code:04x}")
        else:
            escaped.append(f"\\U{code:08x}")
    return '"' + "".join(escaped) + '"'


def _json_text(value: str) -> str:
    return json.dumps(value)[1:-1]


def _markdown_text(value: str) -> str:
    one_line = "".join(character if character.isprintable() else " " for character in value)
    return re.sub(r"([\\`*_\[\]<>&#|~!$@])", r"\\\1", one_line)


_WRITERS: Final[dict[str, Callable[[str], str]]] = {".json": _json_text, ".md": _markdown_text}


def filled(path: str, content: bytes, values: Values, golden_path: str) -> bytes:
    """A skeleton's file with its placeholders written as its format quotes text. `PermanentError` for a placeholder
    that does not exist, or one in a format without quoting rules here."""
    write = _WRITERS.get(Path(path).suffix)

    def fill(found: re.Match[bytes]) -> bytes:
        value = _PLACEHOLDERS.get(found[1].decode())
        if value is None or write is None:
            raise _broken(golden_path, f"{path} has a placeholder {found[0].decode()}, which cannot be filled there")
        return write(value(values)).encode("utf-8", "replace")

    return _PLACEHOLDER.sub(fill, content)


class _StrictLoader(yaml.SafeLoader):
    """YAML as GitHub reads it: no aliases, no tags of one's own, no key twice, and only `true` and `false` are
    booleans (in YAML 1.1 the key `on` would be one)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias is not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            raise yaml.YAMLError("a key stands twice in one mapping")
        return mapping


_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in {"int", "float", "null"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def parse_yaml(text: str) -> Any:
    """The one document in `text`. Raises `yaml.YAMLError`."""
    return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a safe loader, made stricter


def _replaced(tree: Any, values: dict[str, str]) -> Any:
    if isinstance(tree, dict):
        return {_replaced(key, values): _replaced(value, values) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_replaced(item, values) for item in tree]
    if isinstance(tree, str):
        return re.sub("slipwaymarker[0-9]+x", lambda found: values[found[0]], tree)
    return tree


def _refuse_values_in_code(tree: Any, markers: Sequence[str], golden_path: str) -> None:
    if isinstance(tree, list):
        for item in tree:
            _refuse_values_in_code(item, markers, golden_path)
    if isinstance(tree, dict):
        for key, value in tree.items():
            code = isinstance(value, str) and (key in {"run", "if", "shell", "uses"} or "${{" in value)
            if code and any(marker in value for marker in markers):
                raise _broken(golden_path, f"its workflow puts a value into `{key}`; hand it over in `env`")
            _refuse_values_in_code(value, markers, golden_path)


def _broken(name: str, why: str) -> PermanentError:
    return PermanentError(
        "golden_path_broken",
        f"the golden path {name} is broken: {why}",
        next_step="Tell the platform team; nothing you entered is wrong.",
    )

"""`manifest.yaml`: an environment's desired state as people read it, edit it and push it.

Invariant: what `write_manifest` writes, `read_manifest` reads back equal, but for how the application is run: that
follows from the version of the golden path and is not for people to edit. Whatever else stands there comes from whoever
may push to the environments repository, and is refused unless it is plain: no alias, no tag, no key that is unknown or
there twice, nothing deep, nothing large. A refusal never repeats what it refuses.
"""

import re
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from chassis.failures import PermanentError
from contracts.names import EnvironmentName
from contracts.parameters import ParameterName, ParameterValue
from contracts.values import EnvironmentSpec, Owner
from services.provisioner.ports import Files

MANIFEST: Final = "manifest.yaml"
_API_VERSION: Final = "slipway/v1"
_KIND: Final = "Environment"
_MAX_BYTES: Final = 128 * 1024
_MAX_EVENTS: Final = 1000
_MAX_DEPTH: Final = 6
_MAX_INTEGER: Final = 2**53
"""Up to here every reader of JSON agrees on what an integer is (RFC 8259 §6)."""

_BREAKS: Final = re.compile("[\x85\u2028\u2029\ufeff]")
_NULL: Final = re.compile(r"~|null|")
_BOOLEAN: Final = re.compile(r"true|false")
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,15})")
_FLOAT: Final = re.compile(r"[-+]?[0-9]{1,40}\.[0-9]{0,40}(?:[eE][-+][0-9]{1,3})?")
_PLAIN_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
_PARAMETERS: Final = TypeAdapter(dict[ParameterName, ParameterValue])


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says: the desired state, and which life of the environment it belongs to."""

    spec: EnvironmentSpec
    incarnation: UUID


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: EnvironmentName
    incarnation: UUID


class _Owner(Owner):
    model_config = ConfigDict(extra="forbid")


class _Spec(EnvironmentSpec):
    model_config = ConfigDict(extra="forbid")
    owner: _Owner
    runtime: None = None


_WRITTEN: Final = set(EnvironmentSpec.model_fields) - {"name", "runtime"}
"""What a newer release may have added to a spec is carried on in events, and never written where it could not be read
again."""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # chosen when it is imported
    """Writes what it must escape in double quotes: PyYAML's other styles lose the breaks of Unicode. libyaml's emitter
    takes a quarter of the time; PyYAML has it in every wheel, but not where it was built without."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _BREAKS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


class _RefusedError(Exception):
    """What is wrong, in words that repeat nothing of it."""


def write_manifest(spec: EnvironmentSpec, incarnation: UUID) -> bytes:
    """The manifest. The same arguments give the same bytes."""
    manifest = {
        "apiVersion": _API_VERSION,
        "kind": _KIND,
        "metadata": {"name": spec.name, "incarnation": str(incarnation)},
        "spec": spec.model_dump(mode="json", include=_WRITTEN, exclude_none=True),
    }
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=True, allow_unicode=True).encode()


def read_manifest(files: Files, name: str) -> Manifest:
    """What the manifest in the directory of the environment `name` says.

    Raises PermanentError (`bad_manifest`) where there is none, or one that is not to be taken for a desired state.
    """
    try:
        if MANIFEST not in files:
            raise _RefusedError("the file is not there")
        return _manifest(_parse(files[MANIFEST]), name)
    except (_RefusedError, ValidationError) as refused:
        said = _explain(refused) if isinstance(refused, ValidationError) else str(refused)
        raise PermanentError(
            "bad_manifest",
            f"environments/{name}/{MANIFEST} is no desired state: {said}",
            next_step="Correct the file and push again; what runs is left as it is.",
        ) from None


def incarnation_in(files: Files) -> str | None:
    """Which incarnation the manifest names; None where it cannot be read."""
    try:
        return str(_Metadata.model_validate(_parse(files[MANIFEST])["metadata"]).incarnation)
    except (_RefusedError, ValidationError, KeyError, TypeError):
        return None


def _manifest(document: Any, name: str) -> Manifest:
    if not isinstance(document, dict) or set(document) != {"apiVersion", "kind", "metadata", "spec"}:
        raise _RefusedError("it must have apiVersion, kind, metadata and spec, and nothing else")
    if (document["apiVersion"], document["kind"]) != (_API_VERSION, _KIND):
        raise _RefusedError(f"apiVersion must be {_API_VERSION} and kind {_KIND}")
    metadata = _Metadata.model_validate(document["metadata"])
    if metadata.name != name:
        raise _RefusedError("metadata.name must be the directory's name")
    if not isinstance(document["spec"], dict) or "name" in document["spec"]:
        raise _RefusedError("spec must be a mapping, and the name stands in metadata")
    parameters = _PARAMETERS.validate_python(document["spec"].get("parameters", {}))
    if any(isinstance(value, int) and abs(value) > _MAX_INTEGER for value in parameters.values()):
        raise _RefusedError("an integer must be between -2^53 and 2^53")
    spec = _Spec.model_validate(document["spec"] | {"name": name})
    return Manifest(EnvironmentSpec.model_validate(spec.model_dump()), metadata.incarnation)


def _parse(content: bytes) -> Any:
    """The document as plain values. YAML's own ideas of a value are not ours (`no` is a word, `1:30` is not ninety):
    only what both YAML 1.1 and 1.2 take for a number, a truth or nothing is one."""
    if len(content) > _MAX_BYTES:
        raise _RefusedError(f"it is larger than {_MAX_BYTES // 1024} KiB")
    try:
        text = content.decode()
        _check_shape(text)
        root = yaml.compose(text, yaml.SafeLoader)
    except (UnicodeDecodeError, yaml.YAMLError) as broken:
        raise _RefusedError("it is not YAML in UTF-8") from broken
    return _value(root)


def _check_shape(text: str) -> None:
    """Refuse, before anything is built of it, what could be built into something else than it looks."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, yaml.SafeLoader)):
        if number > _MAX_EVENTS:
            raise _RefusedError("it holds too many things")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _RefusedError("it may not use anchors and aliases")
        if getattr(event, "tag", None):
            raise _RefusedError("it may not use tags")
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise _RefusedError("it is nested too deeply")
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1


def _value(node: yaml.Node | None) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(child) for child in node.value]
    if not isinstance(node, yaml.ScalarNode):
        raise _RefusedError("it is empty")
    return _scalar(node.value) if node.style is None else node.value


def _mapping(node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _RefusedError("a key must be a word")
        if key.value in found:
            raise _RefusedError("a key is there twice")
        found[key.value] = _value(value)
    return found


def _scalar(text: str) -> Any:
    if _NULL.fullmatch(text):
        return None
    if _BOOLEAN.fullmatch(text):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _explain(refused: ValidationError) -> str:
    """Where and which rule; names of ours only, for a key may be anything."""
    told = []
    for error in refused.errors(include_input=False, include_url=False, include_context=False)[:5]:
        unknown = error["type"] == "extra_forbidden"
        known = error["loc"][:-1] if unknown else error["loc"]
        where = ".".join(str(part) if _PLAIN_WORD.fullmatch(str(part)) else "…" for part in known)
        told.append(f"{where or 'spec'}: {'it has a key that does not belong there' if unknown else error['msg']}")
    return "; ".join(told)

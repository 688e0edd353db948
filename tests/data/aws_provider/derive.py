"""Derive an excerpt of the AWS provider's schema from the CDK for Terraform's bindings: see README.md beside this.

`python derive.py LIB VERSION OUTPUT RESOURCE...`: LIB is the bindings' `lib`, and a resource one of its directories.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_FLAGS: Final = re.compile(
    r"// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n(?=([^\n]*)\n([^\n]*))"
)
_ENTRY: Final = re.compile(
    r'(\w+): \{\s*value: .*?,\s*isBlock: (?:true|false),\s*type: "(\w+)",\s*storageClassType: "(\w+)"', re.DOTALL
)
_SIMPLE: Final = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    "stringList": "string",
    "numberList": "number",
    "stringMap": "string",
    "booleanMap": "bool",
    "numberMap": "number",
}
_GOT: Final[Mapping[str, Any]] = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": ["list", "string"],
    "NumberList": ["list", "number"],
}
_NESTING: Final = {"list": "list", "set": "set", "struct": "single"}
Entries = Mapping[str, tuple[str, str]]
Block = dict[str, Any]


class Bindings:
    """One resource's `index.js`."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        starts = list(re.finditer(r"^class (\w+) extends cdktf\.(\w+) \{", self.text, re.MULTILINE))
        ends = [start.start() for start in starts[1:]] + [len(self.text)]
        self.bodies = {start[1]: self.text[start.start() : end] for start, end in zip(starts, ends, strict=True)}
        self.bases = {start[1]: start[2] for start in starts}

    def block_of(self, base: str) -> Block:
        """The block of the class that extends `base`."""
        main = next(name for name, found in self.bases.items() if found == base)
        body = self.bodies[main]
        return self._block(main, _entries(body[body.index("synthesizeHclAttributes()") :]))

    def _block(self, owner: str, entries: Entries) -> Block:
        body = self.bodies.get(owner, "")
        flags = {
            found[1]: (tuple(flag == "true" for flag in found.groups()[1:4]), found[5] + found[6])
            for found in _FLAGS.finditer(body)
        }
        attributes: Block = {}
        blocks: Block = {}
        for name, (kind, storage) in entries.items():
            # The generator notes flags of what is computed; of the rest, what is optional can be reset.
            can_be_reset = f"reset{_camel(name)}()" in body
            computed, optional, required = flags.get(name, ((False, can_be_reset, not can_be_reset), ""))[0]
            if storage in _SIMPLE:
                inner = _SIMPLE[storage]
                attributes[name] = _flagged(inner if kind == "simple" else [kind, inner], computed, optional, required)
                continue
            struct = storage.removesuffix("List") if kind in {"list", "set"} else storage
            nested = self._block(f"{struct}OutputReference", self._entries_of(struct))
            if computed:
                attributes[name] = _flagged([kind, _object(nested)], computed, optional, required)
                continue
            is_one = kind != "struct" and f'new {struct}OutputReference(this, "{name}")' in body
            blocks[name] = (
                {"nesting": _NESTING[kind], "block": nested}
                | ({"min": 1} if required else {})
                | ({"max": 1} if is_one else {})
            )
        for name, (flag, near) in flags.items():
            if name not in entries:
                attributes[name] = _flagged(self._computed_type(near), *flag)
        return {"attributes": attributes} | ({"blocks": blocks} if blocks else {})

    def _entries_of(self, struct: str) -> Entries:
        function = f"{struct[0].lower()}{struct[1:]}ToHclTerraform"
        found = re.search(rf"^function {function}\(struct\) \{{(.*?)^\}}", self.text, re.MULTILINE | re.DOTALL)
        return _entries(found[1]) if found else {}

    def _computed_type(self, near: str) -> Any:
        """Of what is computed only, from the two lines after its flags."""
        if found := re.search(r"this\.get(String|Number|Boolean|List|NumberList)Attribute\('", near):
            return ["set", "string"] if "cdktf.Fn.tolist(" in near else _GOT[found[1]]
        if found := re.search(r"new cdktf\.(String|Boolean|Number)Map\(", near):
            return ["map", _GOT[found[1]]]
        if found := re.search(r'new (\w+?)List\(this, "\w+", (true|false)\)', near):
            nested = self._block(f"{found[1]}OutputReference", {})
            return ["set" if found[2] == "true" else "list", _object(nested)]
        raise ValueError(f"nothing is known of a type like: {near}")


def _entries(text: str) -> Entries:
    """Type and storage by name, of the first `const attrs = {`."""
    body = text[text.index("const attrs = {") :]
    return {found[1]: (found[2], found[3]) for found in _ENTRY.finditer(body[: body.index("};\n")])}


def _flagged(kind: Any, computed: bool, optional: bool, required: bool) -> Block:
    flags = {"computed": computed, "optional": optional, "required": required}
    return {"type": kind} | {name: True for name, is_so in flags.items() if is_so}


def _object(nested: Block) -> Any:
    fields = {name: about["type"] for name, about in nested["attributes"].items()}
    inner = {name: [about["nesting"], _object(about["block"])] for name, about in nested.get("blocks", {}).items()}
    return ["object", fields | inner]


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def main(library: Path, version: str, output: Path, resources: list[str]) -> None:
    """Write the excerpt."""
    known = {
        "provider": {"source": "hashicorp/aws", "version": version},
        "configuration": Bindings(library / "provider" / "index.js").block_of("TerraformProvider"),
        "resources": {
            f"aws_{name.replace('-', '_')}": Bindings(library / name / "index.js").block_of("TerraformResource")
            for name in resources
        },
    }
    known["configuration"]["attributes"].pop("alias", None)  # a meta-argument
    output.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4:])

"""`python -m deploy.sbom [FILE]`: what Slipway is made of, as a CycloneDX 1.6 document.

Invariant: it says what the lock says, package for package and hash for hash, so that the same lock makes the same
document. The programs inside wheels (nats-server, OpenBao, Caddy, Postgres, Terraform) are there by their wheels.

Source: https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.embedded.home import write_file
from deploy.licences import LOCK, Package, locked

_SPEC_VERSION = "1.6"
_NAMESPACE = uuid.UUID("6f2f63b8-7a30-5d0c-9d63-3f2b3f0f7a52")
"""Of the serial numbers of these documents (UUID version 5 over the lock's SHA-256)."""
_OURS = "slipway"


def document(lock: Path = LOCK) -> dict[str, Any]:
    """The document. Raises `licences.UnknownLicenceError`; PackageNotFoundError where a package is not installed."""
    packages = list(locked(lock))
    references = {package.name: _reference(package.name, package.version) for package in packages}
    version = metadata.version(_OURS)
    ours = _reference(_OURS, version)
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{_SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": _SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{version} {digest}')}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": _OURS,
                "version": version,
                "purl": ours,
                "licenses": [{"expression": "Apache-2.0"}],
            },
        },
        "components": [_component(package, references[package.name]) for package in packages],
        "dependencies": [
            {"ref": ours, "dependsOn": _needed(_OURS, references, extras=True)},
            *({"ref": references[one.name], "dependsOn": _needed(one.name, references)} for one in packages),
        ],
    }


def _reference(name: str, version: str) -> str:
    """A package URL (https://github.com/package-url/purl-spec)."""
    return f"pkg:pypi/{canonicalize_name(name)}@{version.replace('+', '%2B')}"


def _component(package: Package, reference: str) -> dict[str, Any]:
    about = metadata.metadata(package.name)
    # A package has a hash for each of its files, and a component one of each kind: so each is a file's, by reference.
    files = [
        {
            "type": "distribution",
            "url": f"{reference}?checksum=sha256:{digest}",
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for digest in package.sha256
    ]
    return {
        "type": "library",
        "bom-ref": reference,
        "name": package.name,
        "version": package.version,
        "description": "".join(about.get_all("Summary") or ()),
        "purl": reference,
        "licenses": [{"expression": package.licence}],
        "externalReferences": files,
    }


def _needed(name: str, references: dict[str, str], *, extras: bool = False) -> list[str]:
    """The locked packages that one says it needs here; with `extras` also those of each of its extras."""
    wanted = ["", *(metadata.metadata(name).get_all("Provides-Extra") or ())] if extras else [""]
    found = set[str]()
    for line in metadata.requires(name) or ():
        need = Requirement(line)
        there = need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in wanted)
        if there and canonicalize_name(need.name) in references:
            found.add(references[canonicalize_name(need.name)])
    return sorted(found)


def main() -> int:
    """Write the document to a file, or to standard output where none is named."""
    text = json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
    if len(sys.argv) > 2 or "-h" in sys.argv or "--help" in sys.argv:
        sys.stderr.write("usage: python -m deploy.sbom [FILE]\n")
        return 2
    if len(sys.argv) == 2:
        write_file(Path(sys.argv[1]), text, mode=0o644)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What the platform is made of: every locked package named, under a licence that may be used."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from jsonschema import Draft7Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT7

from deploy.licences import EXCEPTIONS, Package, UnknownLicenceError, locked
from deploy.sbom import document

SCHEMAS = Path(__file__).parents[1] / "data" / "cyclonedx"


def _schema(name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((SCHEMAS / name).read_text(encoding="utf-8")))


def test_the_bill_of_materials_is_valid_cyclonedx_and_says_what_the_lock_says() -> None:
    beside = {f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json": name for name in ("spdx", "jsf-0.82")}
    registry: Registry[Any] = Registry().with_resources(
        [(uri, DRAFT7.create_resource(_schema(f"{name}.schema.json"))) for uri, name in beside.items()]
    )
    validator = Draft7Validator(_schema("bom-1.6.schema.json"), registry=registry, format_checker=FormatChecker())
    bill = document()
    assert [error.message for error in validator.iter_errors(bill)] == []
    assert bill == document(), "the same lock, the same document"
    packages = list(locked())
    said = {
        (one["name"], one["version"]): {file["hashes"][0]["content"] for file in one["externalReferences"]}
        for one in bill["components"]
    }
    assert said == {(package.name, package.version): set(package.sha256) for package in packages}
    assert all(package.sha256 for package in packages)
    known = {one["bom-ref"] for one in bill["components"]}
    assert all(set(one["dependsOn"]) <= known for one in bill["dependencies"])


def test_every_locked_package_has_a_known_licence_that_may_be_used() -> None:
    assert [package.name for package in locked() if not package.is_usable] == []


def test_no_exception_is_made_for_what_is_not_there() -> None:
    assert EXCEPTIONS.keys() <= {package.name for package in locked()}


def test_a_package_that_does_not_say_its_licence_is_no_blank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = tmp_path / "mystery-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mystery\nVersion: 1.0\nLicense: ask us\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownLicenceError, match="ask us"):
        _ = Package("mystery", "1.0", ()).licence
    (about / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: mystery\nVersion: 1.0\nLicense-Expression: MIT OR AGPL-3.0-only\n"
    )
    assert not Package("mystery", "1.0", ()).is_usable

"""What an application's manifest asks for: a golden path with parameters, what is done otherwise, what is refused."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from contracts.application import (
    LOCAL,
    RETIRED,
    Application,
    ApplicationError,
    Target,
    Translation,
    translate,
)
from contracts.golden_path import GoldenPath
from contracts.names import RESERVED_NAMES
from tests.unit.golden_paths.samples import ROOT, manifest
from tests.unit.hostile import inputs

PUBLISHED = {
    path.parent.name: GoldenPath.model_validate(yaml.safe_load(path.read_text()))
    for path in ROOT.glob("*/golden_path.yaml")
}
CLOUD = Target(ingresses=frozenset({"internal", "public"}), caches=frozenset({"redis"}))


def document(name: str = "orders", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "platform/v1",
        "kind": "Application",
        "metadata": {"name": name},
        "spec": {"runtime": "nodejs-20"} | spec,
    }


def translated(*, target: Target = LOCAL, published: Mapping[str, GoldenPath] = PUBLISHED, **spec: Any) -> Translation:
    return translate(Application.model_validate(document(**spec)), published, target)


def refused(**options: Any) -> ApplicationError:
    with pytest.raises(ApplicationError) as found:
        translated(**options)
    return found.value


def warned(translation: Translation) -> list[str]:
    return [warning.field for warning in translation.warnings]


# -- the model ---------------------------------------------------------------------------------------------------------


def test_a_manifest_as_people_write_it_loads() -> None:
    text = """
apiVersion: platform/v1
kind: Application
metadata:
  name: orders
spec:
  runtime: nodejs-20
  database: postgresql
  cache: none
  monitoring: enabled
  scaling: {min: 2, max: 2}
  ingress: internal
  repository: acme/orders
  branch: main
  path: services/orders
  kind: staging
  team: payments
  goldenPath: nodejs-api
  dependsOn: [customers, stock]
"""
    found = translate(Application.model_validate(yaml.safe_load(text)), PUBLISHED)
    assert found == Translation(
        name="orders",
        golden_path="nodejs-api",
        runtime="nodejs-20",
        parameters={"database": True, "cache": False, "instances": 2},
        repository="acme/orders",
        branch="main",
        path="services/orders",
        kind="staging",
        team="payments",
        depends_on=("customers", "stock"),
        warnings=(),
    )


def test_a_runtime_alone_is_enough_and_decides_nothing_else() -> None:
    found = translated()
    assert (found.golden_path, found.parameters, found.warnings) == ("nodejs-api", {}, ())
    assert (found.repository, found.branch, found.kind, found.team) == (None, None, None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"apiVersion": "platform/v2"},
        {"kind": "Environment"},
        {"surprise": 1},
        {"metadata": {"name": "orders", "labels": {}}},
        {"metadata": {}},
        {"spec": {}},
        {"spec": {"runtime": "nodejs-16"}},
        {"spec": {"runtime": "python-3"}},
        {"spec": {"runtime": 20}},
        {"spec": {"runtime": "nodejs-20", "database": True}},
        {"spec": {"runtime": "nodejs-20", "database": "mysql"}},
        {"spec": {"runtime": "nodejs-20", "cache": False}},
        {"spec": {"runtime": "nodejs-20", "replicas": 3}},
        {"spec": {"runtime": "nodejs-20", "scaling": {"min": 0, "max": 1}}},
        {"spec": {"runtime": "nodejs-20", "scaling": {"min": 3, "max": 2}}},
        {"spec": {"runtime": "nodejs-20", "scaling": {"min": "1", "max": 2}}},
        {"spec": {"runtime": "nodejs-20", "scaling": {"min": True, "max": 2}}},
        {"spec": {"runtime": "nodejs-20", "scaling": {"min": 1.0, "max": 2}}},
        {"spec": {"runtime": "nodejs-20", "scaling": {"min": 1}}},
        {"spec": {"runtime": "nodejs-20", "scaling": {"min": 1, "max": 10**5000}}},
        {"spec": {"runtime": "nodejs-20", "dependsOn": ["stock", "stock"]}},
        {"spec": {"runtime": "nodejs-20", "dependsOn": ["orders"]}},
        {"spec": {"runtime": "nodejs-20", "dependsOn": "stock"}},
        {"spec": {"runtime": "nodejs-20", "kind": "test"}},
    ],
)
def test_anything_else_is_no_manifest(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Application.model_validate(document() | change)


@pytest.mark.parametrize("given", [None, [], "x", 1, {}])
def test_a_document_that_is_no_mapping_of_ours_is_no_manifest(given: Any) -> None:
    with pytest.raises(ValidationError):
        Application.model_validate(given)


@pytest.mark.parametrize(
    ("place", "field"), [("names", "name"), ("branches", "branch"), ("repositories", "repository")]
)
def test_a_hostile_value_is_refused_and_not_repeated(place: str, field: str) -> None:
    for text in inputs(place):
        given = document(text) if field == "name" else document(**{field: text})
        with pytest.raises(ValidationError) as found:
            Application.model_validate(given)
        assert len(text) < 4 or text in RESERVED_NAMES or text not in str(found.value)


# -- which golden path -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "golden_path"),
    [
        ({}, "nodejs-api"),
        ({"ingress": "internal"}, "nodejs-api"),
        ({"ingress": "public", "database": "none"}, "nodejs-api"),
        ({"ingress": "none"}, "worker"),
        ({"ingress": "none", "database": "postgresql"}, "worker"),
        ({"goldenPath": "frontend"}, "frontend"),
        ({"goldenPath": "frontend", "ingress": "internal", "database": "none"}, "frontend"),
        ({"goldenPath": "worker"}, "worker"),
    ],
)
def test_the_golden_path_follows_from_who_reaches_it_unless_it_is_named(spec: Any, golden_path: str) -> None:
    assert translated(**spec).golden_path == golden_path


@pytest.mark.parametrize(
    ("spec", "field", "way_out"),
    [
        ({"goldenPath": "worker", "ingress": "public"}, "spec.ingress", "frontend, nodejs-api"),
        ({"goldenPath": "nodejs-api", "ingress": "none"}, "spec.ingress", "worker"),
        ({"goldenPath": "frontend", "ingress": "none"}, "spec.ingress", "worker"),
        ({"goldenPath": "frontend", "database": "postgresql"}, "spec.database", "nodejs-api, worker"),
        ({"goldenPath": "worker", "database": "none"}, "spec.database", "Leave spec.database out"),
        ({"ingress": "none", "database": "none"}, "spec.database", "Leave spec.database out"),
        ({"goldenPath": "nope"}, "spec.goldenPath", "frontend, nodejs-api, worker"),
        ({"cache": "redis"}, "spec.cache", "Leave spec.cache out"),
        ({"scaling": {"min": 11, "max": 11}}, "spec.scaling.min", "Change it"),
    ],
)
def test_what_the_platform_cannot_do_is_refused_with_the_way_out(spec: Any, field: str, way_out: str) -> None:
    error = refused(**spec)
    assert [problem.field for problem in error.problems] == [field]
    assert way_out in error.problems[0].way_out
    assert field in str(error)


def test_every_problem_is_told_at_once() -> None:
    error = refused(goldenPath="frontend", database="postgresql", cache="redis", ingress="none")
    assert [problem.field for problem in error.problems] == ["spec.database", "spec.cache", "spec.ingress"]


def test_where_nothing_is_published_that_is_said() -> None:
    assert "none" in refused(published={}).problems[0].way_out


def test_a_kind_that_a_golden_path_does_not_offer_is_refused() -> None:
    path = GoldenPath.model_validate(manifest(name="nodejs-api"))
    error = refused(published={"nodejs-api": path}, kind="staging")
    assert (error.problems[0].field, error.problems[0].way_out) == ("spec.kind", "Choose one of: preview, production.")


# -- what becomes of each field ----------------------------------------------------------------------------------------


def test_a_retired_runtime_moves_to_its_successor_and_says_so() -> None:
    found = translated(runtime="nodejs-18")
    assert found.runtime == "nodejs-20"
    assert warned(found) == ["spec.runtime"]
    assert "nodejs-18 is retired" in found.warnings[0].message


@pytest.mark.parametrize("retired", RETIRED)
def test_a_successor_is_not_retired_itself(retired: str) -> None:
    assert RETIRED[retired] not in RETIRED


def test_a_runtime_older_than_a_golden_path_takes_moves_to_its_oldest() -> None:
    newer = manifest(name="nodejs-api", runtime={"language": "nodejs", "version": "24.1", "start": ["node", "x.js"]})
    found = translated(runtime="nodejs-22", published={"nodejs-api": GoldenPath.model_validate(newer)})
    assert (found.runtime, warned(found)) == ("nodejs-24", ["spec.runtime"])


def test_a_newer_runtime_is_kept_with_a_word_on_how_to_insist() -> None:
    found = translated(runtime="nodejs-24")
    assert (found.runtime, warned(found)) == ("nodejs-24", ["spec.runtime"])
    assert '"engines": {"node": ">=24"}' in found.warnings[0].message


def test_a_golden_path_of_another_language_is_refused() -> None:
    other = manifest(name="go-api", runtime={"language": "go", "version": "1.24", "start": ["./app"]})
    published = {**PUBLISHED, "go-api": GoldenPath.model_validate(other)}
    error = refused(published=published, goldenPath="go-api")
    assert [problem.field for problem in error.problems] == ["spec.runtime"]
    assert "nodejs-api" in error.problems[0].way_out


@pytest.mark.parametrize(("database", "value"), [("postgresql", True), ("none", False)])
def test_a_database_is_a_parameter_where_it_may_be_chosen(database: str, value: bool) -> None:
    assert translated(database=database).parameters == {"database": value}


def test_a_database_that_is_always_there_needs_no_parameter() -> None:
    assert translated(ingress="none", database="postgresql").parameters == {}


def test_the_most_instances_are_a_warning_and_the_fewest_a_parameter() -> None:
    found = translated(scaling={"min": 2, "max": 10})
    assert (found.parameters, warned(found)) == ({"instances": 2}, ["spec.scaling.max"])


def test_a_golden_path_with_one_instance_takes_one() -> None:
    single = GoldenPath.model_validate(manifest(name="nodejs-api", overridable=["database"]))
    assert translated(published={"nodejs-api": single}, scaling={"min": 1, "max": 3}).parameters == {}
    error = refused(published={"nodejs-api": single}, scaling={"min": 2, "max": 3})
    assert error.problems[0].field == "spec.scaling.min"


def test_monitoring_cannot_be_turned_off() -> None:
    assert warned(translated(monitoring="disabled")) == ["spec.monitoring"]
    assert warned(translated(monitoring="enabled")) == []


def test_asked_to_be_public_where_all_is_internal_is_a_warning() -> None:
    assert warned(translated(ingress="public")) == ["spec.ingress"]
    assert warned(translated(ingress="public", target=CLOUD)) == []
    assert warned(translated(ingress="internal")) == []


def test_nobody_is_more_exposed_than_they_asked_for() -> None:
    error = refused(ingress="internal", target=Target(ingresses=frozenset({"public"})))
    assert [problem.field for problem in error.problems] == ["spec.ingress"]


def test_a_cache_is_given_where_the_target_and_the_golden_path_have_one() -> None:
    cache = {"type": "boolean", "title": "Cache", "default": False}
    rules = manifest(name="nodejs-api")
    rules["parameters"]["properties"]["cache"] = cache
    rules["overridable"].append("cache")
    published = {"nodejs-api": GoldenPath.model_validate(rules)}
    assert translated(published=published, target=CLOUD, cache="redis").parameters == {"cache": True}
    assert translated(published=published, target=CLOUD, cache="none").parameters == {"cache": False}
    assert "this platform has no redis" in str(refused(published=published, cache="redis"))
    assert "cache" not in translated(published=published, target=CLOUD).parameters
    assert "frontend has no redis" in str(refused(target=CLOUD, goldenPath="frontend", cache="redis"))


@pytest.mark.parametrize("golden_path", sorted(PUBLISHED))
@pytest.mark.parametrize("kind", ["preview", "staging", "production"])
def test_what_comes_out_is_what_the_golden_path_takes(golden_path: str, kind: Any) -> None:
    found = translated(goldenPath=golden_path, kind=kind, scaling={"min": 3, "max": 3})
    resolved = PUBLISHED[golden_path].resolve(kind, found.parameters)
    assert resolved["instances"] == 3

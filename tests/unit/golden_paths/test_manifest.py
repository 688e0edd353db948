"""What a golden path's manifest may say."""

import json
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from contracts.golden_path import GoldenPath
from contracts.parameters import ParameterError
from tests.unit.golden_paths.samples import manifest
from tests.unit.hostile import inputs


def loaded(**changes: Any) -> GoldenPath:
    return GoldenPath.model_validate(manifest(**changes))


def test_a_name_alone_gives_a_complete_environment() -> None:
    path = loaded()
    assert path.resolve("preview", {}) == {"instances": 1, "database": True, "region": "eu", "ratio": 0.5}


def test_what_is_chosen_wins_over_the_kind_and_the_kind_over_the_parameter() -> None:
    path = loaded()
    assert path.resolve("production", {})["instances"] == 2
    assert path.resolve("production", {"instances": 3})["instances"] == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instances", 0),
        ("instances", 6),
        ("instances", True),
        ("instances", 1.0),
        ("instances", "1"),
        ("instances", None),
        ("instances", [1]),
        ("database", 1),
        ("database", "true"),
        ("ratio", float("nan")),
        ("ratio", float("inf")),
        ("ratio", 10**400),
    ],
)
def test_a_value_that_breaks_its_rule_is_refused_without_repeating_it(name: str, value: Any) -> None:
    with pytest.raises(ParameterError) as refused:
        loaded().resolve("preview", {name: value})
    assert refused.value.parameter == name
    assert str(value)[:50] not in str(refused.value) or len(str(value)) < 5


def test_a_parameter_that_is_not_declared_or_not_overridable_is_refused() -> None:
    with pytest.raises(ParameterError, match="no such parameter"):
        loaded().resolve("preview", {"secret": "x"})
    with pytest.raises(ParameterError, match="set by the platform"):
        loaded().resolve("preview", {"region": "us"})
    with pytest.raises(ParameterError, match="offers preview, production"):
        loaded().resolve("staging", {})


@pytest.mark.parametrize("text", inputs("texts"))
def test_hostile_text_is_no_value_for_a_patterned_parameter(text: str) -> None:
    path = loaded(overridable=["region"])
    if text in {"no", "on"}:
        assert path.resolve("preview", {"region": text})["region"] == text
    else:
        with pytest.raises(ParameterError):
            path.resolve("preview", {"region": text})


def test_the_form_is_json_schema_and_agrees_with_the_check() -> None:
    path = loaded()
    form = path.form("production")
    jsonschema.Draft202012Validator.check_schema(form)
    json.dumps(form)
    assert list(form["properties"]) == ["instances", "database", "ratio"]
    assert form["properties"]["instances"]["default"] == 2
    assert form["properties"]["instances"]["minimum"] == 1
    validator = jsonschema.Draft202012Validator(form)
    for instance in ({}, {"instances": 3}, {"instances": 9}, {"database": "x"}, {"nope": 1}, {"ratio": 1.5}):
        try:
            path.resolve("production", instance)
            allowed = True
        except ParameterError:
            allowed = False
        assert validator.is_valid(instance) == allowed, instance


def test_the_cost_follows_the_parameters() -> None:
    path = loaded()
    assert path.cost_per_hour(path.resolve("preview", {})) == Decimal("0.015")
    assert path.cost_per_hour(path.resolve("preview", {"instances": 4, "database": False})) == Decimal("0.04")


def test_a_dependency_exists_only_where_its_condition_holds() -> None:
    path = loaded()
    assert [found.name for found in path.dependencies_of(path.resolve("preview", {}))] == ["db"]
    assert path.dependencies_of(path.resolve("preview", {"database": False})) == ()


def test_a_link_that_names_what_is_not_known_is_left_out() -> None:
    assert loaded().links_of({"name": "demo-api"}) == {"logs": "/logs/demo-api", "runbook": "/runbook"}


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"version": "1.2"},
        {"version": "01.2.3"},
        {"name": "Demo"},
        {"title": "two\nlines"},
        {"kinds": []},
        {"kinds": ["preview", "preview"]},
        {"kinds": ["production"]},
        {"kinds": ["preview", "moon"]},
        {"overridable": ["nope"]},
        {"defaults": {"parameters": {"staging": {}}}},
        {"defaults": {"parameters": {"preview": {"instances": 99}}}},
        {"defaults": {"time_to_live": {"preview": {"days": 7, "max_days": 3}}}},
        {"prices": {"currency": "EURO"}},
        {"prices": {"currency": "EUR", "items": [{"item": "x", "per_hour": "-1"}]}},
        {"prices": {"currency": "EUR", "items": [{"item": "x", "per_hour": "NaN"}]}},
        {"prices": {"currency": "EUR", "items": [{"item": "x", "per_hour": 1, "times": "database"}]}},
        {"prices": {"currency": "EUR", "items": [{"item": "x", "per_hour": 1, "times": "nope"}]}},
        {"prices": {"currency": "EUR", "items": [{"item": "x", "per_hour": 1, "when": {"nope": 1}}]}},
        {"dependencies": [{"name": "db", "kind": "database", "title": "a"}] * 2},
        {"pipeline": {"skeleton": "../../etc"}},
        {"pipeline": {"skeleton": "/etc"}},
        {"links": {"logs": "javascript:alert(1)", "metrics": "/m", "runbook": "/r"}},
        {"links": {"logs": "http://plain.example", "metrics": "/m", "runbook": "/r"}},
        {"links": {"logs": "//evil.test", "metrics": "/m", "runbook": "/r"}},
        {"links": {"logs": "/\\evil.test", "metrics": "/m", "runbook": "/r"}},
        {"links": {"logs": "/{name.__class__}", "metrics": "/m", "runbook": "/r"}},
        {"links": {"logs": "/{password}", "metrics": "/m", "runbook": "/r"}},
        {"links": {"logs": "/{name!r}", "metrics": "/m", "runbook": "/r"}},
        {"links": {"logs": "/{0}", "metrics": "/m", "runbook": "/r"}},
        {"links": {"logs": "/{", "metrics": "/m", "runbook": "/r"}},
        {"runtime": {"language": "nodejs", "version": "20", "start": []}},
        {"runtime": {"language": "nodejs", "version": "20", "start": ["a\nb"]}},
        {"runtime": {"language": "nodejs", "version": "20", "start": ["a"], "port_variable": None}},
    ],
)
def test_a_manifest_that_does_not_hang_together_does_not_load(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        loaded(**changes)


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "integer", "title": "x", "default": "1"},
        {"type": "integer", "title": "x", "default": True},
        {"type": "integer", "title": "x", "default": 1, "minimum": 2},
        {"type": "integer", "title": "x", "default": 1, "pattern": "1"},
        {"type": "integer", "title": "x", "default": 1, "maxLength": 3},
        {"type": "string", "title": "x", "default": "a", "enum": ["b"]},
        {"type": "string", "title": "x", "default": "a", "pattern": "("},
        {"type": "string", "title": "x", "default": "a", "minimum": 1},
        {"type": "string", "title": "x", "default": "a\nb"},
        {"type": "array", "title": "x", "default": []},
        {"type": "string", "title": "x"},
    ],
)
def test_a_parameter_whose_default_breaks_its_rule_does_not_load(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        loaded(
            parameters={"properties": {"x": rule}},
            overridable=[],
            defaults={},
            prices={"currency": "EUR"},
            dependencies=[],
        )


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(loaded(), "version", "9.9.9")  # noqa: B010 - what a type checker would not let us write

"""What a golden path looks like to a person: what it gives, what it costs, how long it takes, what can be set."""

from collections.abc import Iterable
from decimal import Decimal

from rich.text import Text

from cli.gateway import Json
from cli.output import Column, Output
from cli.wording import seconds

COLUMNS = (
    Column("NAME"),
    Column("VERSION", spare=3),
    Column("KINDS", spare=4),
    Column("OWNER", spare=5),
    Column("USUALLY", spare=2),
    Column("A MONTH", spare=1),
    Column("WHAT IT IS", prose=True),
)
_PARAMETER_COLUMNS = (
    Column("PARAMETER"),
    Column("VALUES", spare=1),
    Column("DEFAULT"),
    Column("WHAT IT IS", prose=True),
)
_HOURS_A_MONTH = 730


def row(path: Json) -> list[str | Text]:
    """A golden path in a table of `COLUMNS`; the cost is that of its default kind."""
    return [
        path["name"], path["version"], ", ".join(path["kinds"]), path["owner"],
        _roughly(path["usual_duration_seconds"]), _cost(path, path["default_kind"]), path["title"],
    ]  # fmt: skip


def page(output: Output, path: Json) -> None:
    """One golden path, and at the end how to use it."""
    output.say((path["name"], "bold"), f" {path['version']}  {path['title']}")
    output.facts(
        [
            ("gives", path["description"]),
            ("owner", path["owner"]),
            ("language", f"{path['language']} {path['runtime_version']}"),
            *((kind, _kind(path, kind)) for kind in path["kinds"]),
            ("branch", path["default_branch"]),
            ("takes", _duration(path)),
        ]
    )
    output.say()
    output.table(_PARAMETER_COLUMNS, _parameters(path), empty="It takes no parameters.")
    output.say()
    output.say("Use it: ", (f"slipway create NAME --template {path['name']}", "bold"))


def _kind(path: Json, kind: str) -> str:
    lives = path["time_to_live"].get(kind)
    time = f"lives {lives['days']} days from its last activity, {lives['max_days']} at most" if lives else "stays"
    words = [f"{_cost(path, kind)} a month", time]
    return ", ".join([*words, "the default"] if kind == path["default_kind"] else words)


def _cost(path: Json, kind: str) -> str:
    an_hour = path["cost"]["per_hour"].get(kind)
    return f"{Decimal(an_hour) * _HOURS_A_MONTH:.2f} {path['cost']['currency']}" if an_hour is not None else "?"


def _duration(path: Json) -> str:
    for measured in path["durations"]:
        if measured["step"] == "total" and measured["count"]:
            half, most = seconds(measured["p50_seconds"]), seconds(measured["p90_seconds"])
            return f"{half} as a rule (the median of {measured['count']} runs), {most} at most in 9 of 10"
    return f"about {_roughly(path['usual_duration_seconds'])}; none was measured yet"


def _roughly(declared_seconds: float) -> str:
    return f"{round(declared_seconds)} s" if declared_seconds < 60 else seconds(declared_seconds)


def _parameters(path: Json) -> Iterable[list[str | Text]]:
    """The parameters of the default kind; where another kind's default differs, it says so."""
    forms = path["forms"]
    for name, schema in forms[path["default_kind"]].get("properties", {}).items():
        default = _plain(schema.get("default"))
        others = {kind: form.get("properties", {}).get(name, {}).get("default") for kind, form in forms.items()}
        differing = [f"{_plain(other)} in {kind}" for kind, other in others.items() if _plain(other) != default]
        yield [name, _values(schema), ", ".join([default, *differing]), schema.get("description", "")]


def _values(schema: Json) -> str:
    if "enum" in schema:
        return ", ".join(_plain(value) for value in schema["enum"])
    if "minimum" in schema and "maximum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return "true, false" if schema.get("type") == "boolean" else str(schema.get("type", "anything"))


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)

"""What a plan looks like to a person: what would happen, its cost, how long it takes, what is left of the quota."""

from collections.abc import Iterable
from typing import Final

from rich.text import Text

from cli.gateway import Json
from cli.output import Output, Words
from cli.wording import seconds, thing

_SIGNS: Final = {
    "create": ("+", "green"),
    "update": ("~", "yellow"),
    "replace": ("±", "bold red"),
    "destroy": ("-", "bold red"),
}
_QUOTAS: Final = {
    "environments": "environments of {scope}",
    "previews_of_repository": "previews of {scope}",
    "cost_per_month": "a month of {scope}",
}


def lost(plan: Json) -> list[Json]:
    """The planned changes that destroy data."""
    return [change for change in plan["changes"] if change["loses_data"]]


def change_words(change: Json) -> tuple[Words, ...]:
    """One line of a plan."""
    sign, style = _SIGNS[change["action"]]
    detail = f" ({change['detail']})" if change.get("detail") else ""
    loss = ("  its data is lost", "bold red") if change["loses_data"] else ""
    return (f"  {sign} ", style), thing(change["resource"]), (detail, "dim"), loss


def counts(plan: Json) -> str:
    """`+3 ~1 -0`; what is replaced is named only where something is."""
    found = plan["counts"]
    replaced = f" ±{found['replace']}" if found.get("replace") else ""
    return f"+{found.get('create', 0)} ~{found.get('update', 0)}{replaced} -{found.get('destroy', 0)}"


def page(output: Output, plan: Json, then: str) -> None:
    """A plan, and at the end how to carry it out (`then`)."""
    spec = plan["spec"]
    output.say((plan["environment"], "bold"), f": {spec['golden_path']} {spec['golden_path_version']}, {spec['kind']}")
    for change in plan["changes"]:
        output.say(*change_words(change))
    output.facts(_facts(plan))
    for warning in plan["warnings"]:
        output.hang(("Warning: ", "bold yellow"), warning)
    output.say()
    if plan["changes"]:
        output.say(("Plan: ", "bold"), counts(plan), f". Nothing was made. {then}")
    else:
        output.say(("Plan: ", "bold"), f"nothing of its infrastructure would change. Nothing was made. {then}")


def _facts(plan: Json) -> Iterable[tuple[str, str | Text | None]]:
    cost, expected = plan["cost"], plan["expected"]
    currency = cost["currency"] or ""
    yield "costs", f"{cost['per_hour']} {currency} an hour, {cost['per_month']} {currency} a month"
    yield "takes", _duration(expected)
    yield "quota", "; ".join(_quotas(plan["quota"], currency))
    yield "hash", plan["hash"]


def _duration(expected: Json) -> str:
    usual = f"about {seconds(expected['p50_seconds'])}"
    if not expected["measured"]:
        return f"{usual}; none was measured yet"
    most = expected.get("p90_seconds")
    return f"{usual}, {seconds(most)} at most in 9 of 10" if most is not None else usual


def _quotas(quota: Json, currency: str) -> Iterable[str]:
    """Where there is a limit: what is left of it."""
    for what, usage in quota.items():
        if usage.get("limit") is not None:
            unit = f" {currency}" if what == "cost_per_month" else ""
            words = _QUOTAS.get(what, f"{what} of {{scope}}").format(scope=usage["scope"])
            yield f"{usage['left']} of {usage['limit']}{unit} {words} left"

"""What a finished run and an environment look like to a person."""

from collections.abc import Iterable
from typing import Any

from rich.text import Text

from cli.gateway import Json
from cli.output import Output, ago, moment, seconds, state


def environment_facts(
    output: Output, environment: Json, more: Iterable[tuple[str, str | None]] = (), *, show_git: bool = False
) -> None:
    """One environment, as facts; `more` come last."""
    secrets, pipeline = environment.get("secrets") or {}, environment.get("pipeline") or {}
    infrastructure = environment.get("infrastructure") or {}
    database = infrastructure.get("database") or {}
    owner = environment["owner"]
    links = environment.get("links", {})
    output.facts(
        [
            ("name", Text(environment["name"], style="bold")),
            ("state", state(environment["state"])),
            ("running", state(environment.get("running"))),
            ("URL", environment.get("url")),
            ("DNS name", environment.get("hostname")),
            ("clone", pipeline.get("clone_url")),
            ("pull request", pipeline.get("pull_request_url")),
            ("branch", environment["branch"]),
            (
                "database",
                f"{database['database']}.{database['schema_name']} at {database['host']}:{database['port']}"
                if database
                else None,
            ),
            (
                "secrets",
                ", ".join(secrets.get("names", ())) + f"  (names only; values in OpenBao at {secrets['path']})"
                if secrets
                else None,
            ),
            ("access", secrets.get("access_group")),
            (
                "golden path",
                f"{environment['golden_path']} {environment['golden_path_version']}, {environment['kind']}",
            ),
            ("owner", f"{owner['person']}, team {owner['team']}"),
            ("created", ago(environment.get("created_at"))),
            ("expires", ago(environment.get("expires_at"))),
            ("commit", infrastructure.get("commit") if show_git else None),
            ("run page", links.get("page")),
            *more,
        ]
    )
    failure(output, environment)


def failure(output: Output, thing: Json) -> None:
    """Why something failed, what was undone and what is left behind."""
    if reason := thing.get("failure"):
        output.result.print(Text.assemble(("\nFailed", "bold red"), f" at {reason['step']}: {reason['message']}"))
        output.result.print(Text(f"Next: {reason['next_step']}"))
    if undone := thing.get("undone"):
        output.result.print(Text(f"Undone: {', '.join(_thing(item) for item in undone)}"))
    if left := thing.get("left_behind"):
        output.result.print(Text("Left behind:", style="bold yellow"))
        for item in left:
            output.result.print(Text(f"  {_thing(item)}: {item['reason']}"))
    elif thing.get("failure") and thing.get("state") == "failed":
        output.result.print(Text("Nothing was left behind."))


def next_commands(output: Output, environment: Json) -> None:
    """The most useful line last."""
    name, pipeline = environment["name"], environment.get("pipeline") or {}
    if clone := pipeline.get("clone_url"):
        output.result.print(
            Text(f"\nNext: git clone {clone} · slipway show {name} · slipway trace {name} · slipway logs {name}")
        )
    if url := environment.get("url"):
        output.result.print(Text.assemble(("● ", "green"), (name, "bold"), " is live at ", (url, "bold underline")))


def run_row(run: Json) -> list[str | Text]:
    """A run in a table."""
    took = ""
    if run.get("ended_at"):
        began, ended = moment(run["requested_at"]), moment(run["ended_at"])
        took = seconds((ended - began).total_seconds()) if began and ended else ""
    return [
        run["id"][:8], run["environment"], run["kind"], state(run["state"]), run["requested_by"],
        ago(run["requested_at"]), took, run.get("trace_id") or "",
    ]  # fmt: skip


def _thing(item: dict[str, Any]) -> str:
    return f"{item['kind']} {item['id']}"

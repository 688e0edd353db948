"""What an environment looks like to a person."""

from collections.abc import Iterable

from rich.text import Text

from cli.gateway import Json
from cli.output import Column, Output
from cli.wording import ago, one_line, seconds, seconds_between, state, thing, when

COLUMNS = (
    Column("NAME"),
    Column("STATE"),
    Column("KIND", spare=5),
    Column("GOLDEN PATH", spare=4),
    Column("TEAM", spare=3),
    Column("CREATED", spare=6),
    Column("EXPIRES", spare=1),
    Column("URL", spare=2),
)


def row(environment: Json) -> list[str | Text]:
    """An environment in a table of `COLUMNS`."""
    gone = environment["state"] == "deleted"
    return [
        environment["name"], state(environment["state"]), environment["kind"], environment["golden_path"],
        environment["owner"]["team"], ago(environment["created_at"]),
        "" if gone else ago(environment.get("expires_at")), environment.get("url") or "",
    ]  # fmt: skip


def page(output: Output, environment: Json, run: Json | None = None, *, show_git: bool = False) -> None:
    """One environment, with the run that made it what it is, and at the end what to do next."""
    output.facts(_facts(environment, run, show_git=show_git))
    _ending(output, environment)


def _facts(environment: Json, run: Json | None, *, show_git: bool) -> Iterable[tuple[str, str | Text | None]]:
    infrastructure, pipeline = environment.get("infrastructure") or {}, environment.get("pipeline") or {}
    gone = environment["state"] == "deleted"
    owner, links = environment["owner"], (run or {}).get("links", {})
    yield "name", Text(environment["name"], style="bold")
    yield "state", state(environment["state"])
    yield "running", None if gone else state(environment.get("running"))
    yield "golden path", f"{environment['golden_path']} {environment['golden_path_version']}, {environment['kind']}"
    yield "parameters", ", ".join(f"{key}={_plain(value)}" for key, value in environment["parameters"].items())
    yield "owner", f"{owner['person']}, team {owner['team']}"
    yield "created", when(environment.get("created_at"))
    yield ("deleted", when(environment.get("updated_at"))) if gone else ("expires", when(environment.get("expires_at")))
    yield "repository", f"{environment['repository']}, branch {environment['branch']}"
    yield "pull request", pipeline.get("pull_request_url")
    yield "commit", infrastructure.get("commit") if show_git else None
    yield "database", _database(infrastructure.get("database"))
    yield from _secrets(environment.get("secrets"))
    if run:
        yield "took", seconds(seconds_between(run["requested_at"], run["ended_at"]))
        yield "run", links.get("page")
        yield "trace", links.get("trace")
    else:
        yield "page", environment["links"].get("page")
    yield "DNS name", environment.get("hostname")
    yield "clone URL", pipeline.get("clone_url")
    yield "URL", Text(one_line(environment.get("url") or ""), style="bold")


def _database(database: Json | None) -> str | None:
    if database is None:
        return None
    return f"{database['database']}.{database['schema_name']} at {database['host']}:{database['port']}"


def _secrets(secrets: Json | None) -> Iterable[tuple[str, str | None]]:
    if secrets is not None:
        yield "secrets", f"{', '.join(secrets['names'])} (names; the values are in OpenBao at {secrets['path']})"
        yield "access", secrets.get("access_group")


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ending(output: Output, environment: Json) -> None:
    """The most useful line last."""
    name, current = environment["name"], environment["state"]
    output.say()
    if current == "ready":
        next_commands(output, environment)
    elif current == "failed":
        failure(output, environment)
        output.say("Next: ", (f"slipway logs {name}", "bold"), " · ", (f"slipway rm {name}", "bold"))
    elif current == "deleted":
        output.say(state("deleted"), f": the name {name} is free again.")
    else:
        output.say("Watch it: ", (f"slipway logs {name} -f", "bold"))


def next_commands(output: Output, environment: Json) -> None:
    """What to do with an environment that is ready, and where it is."""
    name, url, clone = environment["name"], environment.get("url"), (environment.get("pipeline") or {}).get("clone_url")
    commands = [f"git clone {clone}"] if clone else []
    commands += [f"slipway open {name}"] if url else []
    commands += [f"slipway secrets {name}", f"slipway trace {name}"]
    for number, command in enumerate(commands):
        output.say("      " if number else "Next: ", command)
    output.say(state("ready"), ": ", (url or name, "bold underline" if url else "bold"))


def failure(output: Output, ended: Json) -> None:
    """Why something failed, what was undone, what is left behind, and what to do."""
    reason = ended.get("failure")
    if reason:
        times = f" after {reason['attempts']} attempts" if reason.get("attempts", 1) > 1 else ""
        output.hang(("✗ failed ", "bold red"), f"at {reason['step']}{times}: {reason['message']}")
    leftovers(output, ended)
    if reason:
        output.hang(("What to do: ", "bold"), reason["next_step"])


def leftovers(output: Output, ended: Json, word: str = "undone") -> None:
    """What was undone (or removed: `word`), and what was left behind and why."""
    left = ended.get("left_behind") or ()
    output.facts([(word, "\n".join(thing(item) for item in ended.get("undone") or ()))])
    if left:
        output.say(("Left behind:", "bold yellow"))
        for item in left:
            output.hang("  ", f"{thing(item)}: {item['reason']}")
    elif ended.get("failure"):
        output.say("Nothing was left behind.")

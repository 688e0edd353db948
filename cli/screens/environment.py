"""What an environment looks like to a person."""

from collections.abc import Iterable
from datetime import UTC, datetime

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
_SOON_SECONDS = 2 * 86_400
"""The first warning comes then."""


def row(environment: Json) -> list[str | Text]:
    """An environment in a table of `COLUMNS`."""
    gone = environment["state"] == "deleted"
    return [
        environment["name"], state(environment["state"]), environment["kind"], environment["golden_path"],
        environment["owner"]["team"], ago(environment["created_at"]),
        "" if gone else ago(environment.get("expires_at")), environment.get("url") or "",
    ]  # fmt: skip


def page(output: Output, environment: Json, run: Json | None = None, *, git: Json | None = None) -> None:
    """One environment, with the run that made it what it is and where that stands in Git, and at the end what to do
    next."""
    output.facts(_facts(environment, run, git))
    _ending(output, environment)


def _facts(environment: Json, run: Json | None, git: Json | None) -> Iterable[tuple[str, str | Text | None]]:
    infrastructure, pipeline = environment.get("infrastructure") or {}, environment.get("pipeline") or {}
    name, gone = environment["name"], environment["state"] == "deleted"
    owner, links = environment["owner"], (run or {}).get("links", {})
    yield "name", Text(name, style="bold")
    yield "state", state(environment["state"])
    yield "running", None if gone else state(environment.get("running"))
    yield "golden path", f"{environment['golden_path']} {environment['golden_path_version']}, {environment['kind']}"
    if version := environment.get("update_available"):
        yield "update", f"version {version} is on offer: slipway upgrade {name} --plan"
    yield "parameters", ", ".join(f"{key}={_plain(value)}" for key, value in environment["parameters"].items())
    yield "owner", f"{owner['person']}, team {owner['team']}"
    yield "created", when(environment.get("created_at"))
    yield ("deleted", when(environment.get("updated_at"))) if gone else ("expires", _end(environment))
    within = f", directory {environment['path']}" if environment.get("path") else ""
    yield "repository", f"{environment['repository']}, branch {environment['branch']}{within}"
    yield "pull request", pipeline.get("pull_request_url")
    if pull := environment.get("pull_request"):
        yield "preview of", pull["url"] or f"pull request {pull['number']}"
    if git:
        yield "commit", git["commit"]
        yield "committed in", git["repository"]
        yield "directory", git["directory"]
    yield "database", _database(infrastructure.get("database"))
    yield from _secrets(environment.get("secrets"))
    if not gone:
        yield "granted", "\n".join(_grant(grant) for grant in environment.get("access") or ())
        yield "drift", _drift(environment)
        yield "last run", _put_back(environment)
    if run:
        yield "took", seconds(seconds_between(run["requested_at"], run["ended_at"]))
        yield "run", links.get("page")
        yield "trace", links.get("trace")
    else:
        yield "page", environment["links"].get("page")
    yield "DNS name", environment.get("hostname")
    yield "clone URL", pipeline.get("clone_url")
    yield "URL", Text(one_line(environment.get("url") or ""), style="bold")


def _end(environment: Json) -> str | Text:
    """When its time is up; coloured where that is soon."""
    name, end = environment["name"], environment.get("expires_at")
    if reason := environment.get("kept_because"):
        return f"never: {one_line(reason)}"
    if end is None:
        return "never"
    left = seconds_between(datetime.now(UTC).isoformat(), end) or 0.0
    if left > _SOON_SECONDS:
        return when(end)
    return Text(f"{when(end)}; more time: slipway extend {name}", style="yellow")


def _grant(grant: Json) -> str:
    return f"{grant['role']} to {grant['person'] or 'team ' + str(grant['team'])}"


def _drift(environment: Json) -> Text | None:
    """What somebody changed by hand."""
    if not environment.get("drift"):
        return None
    things = ", ".join(one_line(thing(item)) for item in environment["drift"])
    found = ago(environment.get("drift_detected_at"))
    return Text(f"▲ {things}, found {found}; put right: slipway repair {environment['name']}", style="yellow")


def _put_back(environment: Json) -> Text | None:
    """Why it is not what somebody wanted lately."""
    failure_ = environment.get("failure")
    if environment["state"] != "ready" or not failure_:
        return None
    return Text(f"✗ {failure_['step']}: {one_line(failure_['message'])} It was put back.", style="yellow")


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
        commands = (f"slipway logs {name}", f"slipway retry {name}", f"slipway rm {name}")
        output.say("Next: ", Text(" · ").join(Text(command, style="bold") for command in commands))
    elif current == "deleted":
        leftovers(output, environment)
        output.say(state("deleted"), f": the name {name} is free again.")
    else:
        output.say("Watch it: ", (f"slipway logs {name} -f", "bold"))


def next_commands(output: Output, environment: Json) -> None:
    """What to do with an environment that is ready, and where it is."""
    name, url, clone = environment["name"], environment.get("url"), (environment.get("pipeline") or {}).get("clone_url")
    commands = [f"slipway clone {name}"] if clone else []
    commands += [f"slipway open {name}"] if url else []
    commands += [f"slipway secrets {name}", f"slipway trace {name}"]
    for number, command in enumerate(commands):
        output.say("      " if number else "Next: ", command)
    last_line(output, environment)


def last_line(output: Output, environment: Json) -> None:
    """Where an environment is, or how it stands."""
    url = environment.get("url") if environment["state"] == "ready" else None
    output.say(state(environment["state"]), ": ", (url or environment["name"], "bold underline" if url else "bold"))


def failure(output: Output, ended: Json, word: str = "undone") -> None:
    """Why something failed, what was undone (`word`), what is left behind, and what to do."""
    reason = ended.get("failure")
    if reason:
        times = f" after {reason['attempts']} attempts" if reason.get("attempts", 1) > 1 else ""
        output.hang(("✗ failed ", "bold red"), f"at {reason['step']}{times}: {reason['message']}")
    leftovers(output, ended, word)
    if reason:
        output.hang(("What to do: ", "bold"), reason["next_step"])


def leftovers(output: Output, ended: Json, word: str = "undone") -> None:
    """What was undone (or removed: `word`), and what was left behind and why."""
    left, kept = ended.get("left_behind") or (), ended.get("kept") or ()
    output.facts([(word, "\n".join(thing(item) for item in ended.get("undone") or ()))])
    if kept:
        output.say(("Kept on purpose:", "bold"))
        for item in kept:
            output.hang("  ", f"{thing(item)}: {item['reason']}")
    if left:
        output.say(("Left behind:", "bold yellow"))
        for item in left:
            output.hang("  ", f"{thing(item)}: {item['reason']}")
    elif ended.get("failure"):
        output.say("Nothing was left behind.")

"""create, apply: a new environment from flags, or whatever a manifest asks for."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import completion
from cli.commands.arguments import Agreed, Confirm, NoWait, PlanOnly, Yes, parameters
from cli.commands.changing import check_loss, unchanged
from cli.commands.confirming import Assent
from cli.failures import CommandError, Exit
from cli.following import accepted, asking, finish, usual_seconds
from cli.gateway import Json, at, doing
from cli.screens import plan as plan_screen
from cli.session import Session, session

KINDS = ("preview", "staging", "production")


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A DNS label of at most 40 characters: a-z, 0-9 and single hyphens.")],
    template: Annotated[
        str,
        typer.Option(
            "--template", "-t", help="The golden path: see `slipway templates`.", autocompletion=completion.golden_paths
        ),
    ],
    branch: Annotated[
        str | None, typer.Option("--branch", "-b", help="The branch to deploy; the golden path's default if left out.")
    ] = None,
    repo: Annotated[str | None, typer.Option(help="owner/name of the repository; made new if left out.")] = None,
    path: Annotated[
        str | None,
        typer.Option(help="The directory of the application in the repository; all of it if left out."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help=f"{', '.join(KINDS)}; the golden path's default.", autocompletion=lambda: KINDS)
    ] = None,
    team: Annotated[str | None, typer.Option(help="The team that owns it; yours if you have one.")] = None,
    ttl: Annotated[
        str | None, typer.Option(help="How long it lives, such as 12h or 3d; what is usual for its kind if left out.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", envvar="SLIPWAY_CREATE_SET", help="A parameter as key=value; may be repeated."),
    ] = None,
    plan: PlanOnly = False,
    agreed: Agreed = None,
    no_wait: NoWait = False,
) -> None:
    """Create an environment and watch it become ready."""
    here = session(context)
    asked = {"branch": branch, "repository": repo, "path": path}
    asked |= {"kind": kind, "team": team, "ttl": ttl, "plan": agreed}
    body: Json = {"name": name, "golden_path": template} | {key: value for key, value in asked.items() if value}
    if set_:
        body["parameters"] = parameters(set_)
    if plan:
        _show_plan(here, here.gateway.post(doing("plan", "environments"), body))
        return
    with asking(name):
        answer = here.gateway.post(at("environments"), body)
    if no_wait:
        accepted(here, answer)
    else:
        finish(here, answer["run"], f"Creating {name} from {template}", usual_seconds(here.gateway, template))


def _show_plan(here: Session, plan: Json) -> None:
    if here.output.for_programs:
        here.output.document(plan)
    else:
        plan_screen.page(here.output, plan, "Make it: the same command without --plan.")


def apply(
    context: typer.Context,
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE", help="The manifest (kind: Application); - is standard input.")
    ],
    plan: PlanOnly = False,
    agreed: Agreed = None,
    yes: Yes = False,
    confirm: Confirm = None,
    no_wait: NoWait = False,
) -> None:
    """Make the environment that a manifest asks for, or change it into that."""
    here = session(context)
    content, media_type = _read(file)
    planned = here.gateway.post_text(doing("plan", "applications"), content, media_type)
    if plan:
        _show_application_plan(here, planned)
        return
    check_loss(here, planned["plan"], Assent(yes, confirm))
    if agreed is None and plan_screen.lost(planned["plan"]):
        agreed = planned["plan"]["hash"]  # losing data is agreed to as it was shown, and no further
    with asking(planned["plan"]["environment"]):
        applied = here.gateway.post_text(at("applications"), content, media_type, plan=agreed)
    if not here.output.for_programs:
        _warn(here, applied)
    begun = applied["accepted"]
    if begun is None:
        unchanged(here, applied["environment"], {key: applied[key] for key in ("outcome", "warnings")})
    elif no_wait:
        accepted(here, applied if here.output.for_programs else begun)
    else:
        name, golden_path = begun["environment"]["name"], begun["environment"]["golden_path"]
        title = f"{'Creating' if applied['outcome'] == 'created' else 'Updating'} {name}"
        usual = usual_seconds(here.gateway, golden_path) if applied["outcome"] == "created" else {}
        more = {"outcome": applied["outcome"], "warnings": applied["warnings"]}
        finish(here, begun["run"], title, usual, more)


def _show_application_plan(here: Session, planned: Json) -> None:
    if here.output.for_programs:
        here.output.document(planned)
        return
    _warn(here, planned)
    plan_screen.page(here.output, planned["plan"], "Carry it out: the same command without --plan.")


def _warn(here: Session, answer: Json) -> None:
    for warning in answer["warnings"]:
        here.output.note(("Warning: ", "bold yellow"), f"{warning['field']}: {warning['message']}")


def _read(file: str) -> tuple[bytes, str]:
    """A manifest and its media type. Raises CommandError."""
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(
            f"{file} cannot be read: {error.strerror}.", remedy="Name the manifest with -f.", code=Exit.USAGE
        ) from error
    return content, "application/json" if _is_json(content) else "application/yaml"


def _is_json(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("create")(create)
    app.command("apply")(apply)

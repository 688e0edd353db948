"""webhooks: whom a team tells, by signed POST, what becomes of its environments."""

from typing import Annotated, Final

import typer

from cli.commands.arguments import Confirm, Yes
from cli.commands.confirming import Assent, by_name
from cli.failures import CommandError, Exit
from cli.gateway import Json, at, doing
from cli.screens import webhook as screen
from cli.session import Session, session

_WHOLE_ID: Final = 36

webhooks = typer.Typer(
    no_args_is_help=True, help="Webhooks: signed CloudEvents to systems of yours, and what became of them."
)

WebhookId = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id, or its beginning.")]
Kind = Annotated[
    list[str] | None, typer.Option(help="An event that is told, such as environment_ready; repeatable, all if none.")
]
Environment = Annotated[str | None, typer.Option(help="Only of this environment; empty takes that back.")]
Template = Annotated[str | None, typer.Option(help="Only of environments of this golden path; empty takes that back.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]


@webhooks.command("ls")
def ls(context: typer.Context, team: Annotated[str | None, typer.Option(help="Only this team's.")] = None) -> None:
    """List your teams' webhooks, the newest first."""
    here = session(context)
    items = here.gateway.get(at("webhooks"), team=team)["items"]
    if here.output.for_programs:
        here.output.document(items)
        return
    rows = (screen.row(item) for item in items)
    here.output.table(screen.COLUMNS, rows, empty="No webhooks. Make one: slipway webhooks create https://…")


@webhooks.command("create")
def create(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Where it is told, https://…")],
    kind: Kind = None,
    environment: Environment = None,
    template: Template = None,
    description: Description = None,
    team: Annotated[str | None, typer.Option(help="Whose environments, if you are in several teams.")] = None,
) -> None:
    """Make a webhook. Its secret is printed this once, alone on standard output."""
    here = session(context)
    wish: Json = {"url": url, "kinds": kind or [], "environment": environment or None, "golden_path": template or None}
    made = here.gateway.post(at("webhooks"), wish | {"description": description or "", "team": team})
    _reveal(here, made, f"Try it: slipway webhooks test {_short(made)}")


@webhooks.command("show")
def show(context: typer.Context, webhook_id: WebhookId) -> None:
    """Show a webhook, and how its last deliveries went."""
    here = session(context)
    found = _find(here, webhook_id)
    if here.output.for_programs:
        here.output.document(found)
        return
    here.output.facts(screen.facts(found))
    here.output.say()
    _list(here, here.gateway.get(at("webhooks", found["id"], "deliveries"), limit=5)["items"])


@webhooks.command("change")
def change(
    context: typer.Context,
    webhook_id: WebhookId,
    url: Annotated[str | None, typer.Option(help="Another URL.")] = None,
    kind: Kind = None,
    every_kind: Annotated[bool, typer.Option("--every-kind", help="Tell of every event again.")] = False,
    environment: Environment = None,
    template: Template = None,
    description: Description = None,
) -> None:
    """Change a webhook; what is not named stays as it is."""
    named: Json = {
        "url": url,
        "kinds": [] if every_kind else kind or None,
        "environment": environment,
        "golden_path": template,
        "description": description,
    }
    wish = {name: value for name, value in named.items() if value is not None}
    if not wish or (every_kind and kind):
        raise CommandError(
            "Name what is to change, and either --kind or --every-kind.",
            remedy="`slipway webhooks change --help` lists what can be changed.",
            code=Exit.USAGE,
        )
    _change(context, webhook_id, wish)


@webhooks.command("pause")
def pause(context: typer.Context, webhook_id: WebhookId) -> None:
    """Send nothing until it is resumed. What happens meanwhile is not sent later."""
    _change(context, webhook_id, {"state": "paused"})


@webhooks.command("resume")
def resume(context: typer.Context, webhook_id: WebhookId) -> None:
    """Send again, also where the platform had disabled it."""
    _change(context, webhook_id, {"state": "active"})


@webhooks.command("test")
def test(context: typer.Context, webhook_id: WebhookId) -> None:
    """Send a test event now, and say what came back."""
    here = session(context)
    found = _find(here, webhook_id)
    tested = here.gateway.post_once(doing("test", "webhooks", found["id"]), {})
    if here.output.for_programs:
        here.output.document(tested)
    else:
        screen.attempt(here.output, tested["attempts"][-1])
    if tested["state"] != "delivered":
        raise typer.Exit(Exit.FAILED)


@webhooks.command("rotate")
def rotate(context: typer.Context, webhook_id: WebhookId) -> None:
    """Make a new secret, and print it this once. For 24 hours the one before it signs too."""
    here = session(context)
    found = _find(here, webhook_id)
    rotated = here.gateway.post_once(doing("rotate-secret", "webhooks", found["id"]), {})
    _reveal(here, rotated, "Deliveries are signed with the old one, too, for 24 hours.")


@webhooks.command("rm")
def rm(context: typer.Context, webhook_id: WebhookId, yes: Yes = False, confirm: Confirm = None) -> None:
    """Take a webhook away, with the log of its deliveries."""
    here = session(context)
    found = _find(here, webhook_id)
    short = _short(found)
    by_name(
        short,
        Assent(yes, confirm),
        deed=f"Taking the webhook {short} away",
        prompt=f"Type {short} to take it away",
        show=lambda: here.output.note(f"{short}: {found['url']}"),
    )
    here.gateway.delete(at("webhooks", found["id"]))
    here.output.note(f"The webhook {short} is gone.")


@webhooks.command("deliveries")
def deliveries(
    context: typer.Context,
    webhook_id: WebhookId,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20,
) -> None:
    """List what a webhook was sent, the newest first, and what came back."""
    here = session(context)
    found = _find(here, webhook_id)
    items = here.gateway.get(at("webhooks", found["id"], "deliveries"), limit=limit)["items"]
    if here.output.for_programs:
        here.output.document(items)
    else:
        _list(here, items)


@webhooks.command("redeliver")
def redeliver(
    context: typer.Context,
    webhook_id: WebhookId,
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY", help="The delivery's id, or its beginning.")],
) -> None:
    """Send an event again, under the same id."""
    here = session(context)
    hook = _find(here, webhook_id)["id"]
    whole = delivery_id
    if len(whole) != _WHOLE_ID:
        items = here.gateway.get(at("webhooks", hook, "deliveries"), limit=200)["items"]
        whole = _one(items, delivery_id, "deliveries", f"slipway webhooks deliveries {webhook_id}")["id"]
    again = here.gateway.post_once(doing("redeliver", "webhooks", hook, "deliveries", whole), {})
    if here.output.for_programs:
        here.output.document(again)
    else:
        here.output.note(f"It is sent again now. See: slipway webhooks deliveries {hook[: screen.SHORT_ID]}")


def _change(context: typer.Context, webhook_id: str, wish: Json) -> None:
    here = session(context)
    changed = here.gateway.patch(at("webhooks", _find(here, webhook_id)["id"]), wish)
    if here.output.for_programs:
        here.output.document(changed)
    else:
        here.output.facts(screen.facts(changed))


def _reveal(here: Session, hook: Json, next_step: str) -> None:
    if here.output.for_programs:
        here.output.document(hook)
        return
    here.output.note(f"{hook['id']}: {hook['url']}, team {hook['team']}.")
    here.output.note(next_step)
    here.output.note("Give this secret to the receiver, which verifies with it. It is not shown again:")
    here.output.say(hook["secret"])


def _list(here: Session, items: list[Json]) -> None:
    rows = (screen.delivery(item) for item in items)
    here.output.table(screen.DELIVERY_COLUMNS, rows, empty="Nothing was sent yet.")


def _find(here: Session, beginning: str) -> Json:
    if len(beginning) == _WHOLE_ID:
        return here.gateway.get(at("webhooks", beginning))
    return _one(here.gateway.get(at("webhooks"))["items"], beginning, "webhooks", "slipway webhooks ls")


def _one(items: list[Json], beginning: str, what: str, lists: str) -> Json:
    found = [item for item in items if item["id"].startswith(beginning) and len(beginning) >= screen.SHORT_ID]
    if len(found) != 1:
        raise CommandError(
            f"{len(found) or 'None'} of your {what} begin with {beginning}.",
            remedy=f"`{lists}` lists them; give {screen.SHORT_ID} characters or more.",
            code=Exit.NOT_FOUND,
        )
    return found[0]


def _short(hook: Json) -> str:
    return str(hook["id"][: screen.SHORT_ID])

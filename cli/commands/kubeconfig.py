"""kubeconfig: a file with which kubectl reaches an environment's namespace.

Invariant: a token is printed where it was asked for, or is in a file that nobody else may read; never in both, and
never beside the result.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import uuid4

import typer

from cli.commands.arguments import Name
from cli.failures import CommandError
from cli.gateway import Json, at
from cli.output import Format, Output
from cli.session import Session, session
from cli.wording import when

_EXEC_VERSION: Final = "client.authentication.k8s.io/v1"
"""https://kubernetes.io/docs/reference/config-api/client-authentication.v1/"""


def kubeconfig(
    context: typer.Context,
    name: Name,
    file: Annotated[Path | None, typer.Option(help="Write it there, for you alone (0600); otherwise print it.")] = None,
    by_exec: Annotated[
        bool,
        typer.Option(
            "--exec",
            envvar="SLIPWAY_KUBECONFIG_EXEC",
            help="No token in it: kubectl asks `slipway` for one whenever it needs one.",
        ),
    ] = False,
    credential: Annotated[
        bool, typer.Option("--credential", help="Print a token as kubectl's exec plugins do. For kubectl, not for you.")
    ] = False,
) -> None:
    """Make a kubeconfig for an environment's namespace; it opens for an hour at most."""
    here = session(context)
    made = here.gateway.post(at("environments", name, "kubeconfig"))
    if credential:
        # One document on standard output, whatever else is said, be it by a variable: it is kubectl that reads it.
        Output(Format.JSON).document(_exec_credential(made))
        return
    document = _with_exec(here, name, made["kubeconfig"]) if by_exec else made["kubeconfig"]
    end = "kubectl gets its tokens by itself" if by_exec else f"it closes {when(made['expires_at'])}"
    if file is None:
        Output(Format.JSON if here.output.form is Format.JSON else Format.YAML).document(document)
        here.output.note(f"It opens the namespace {made['namespace']}; {end}.")
        return
    _write(file, document)
    here.output.note(f"Wrote {file}. It opens the namespace {made['namespace']}; {end}.")
    here.output.note(f"Use it: kubectl --kubeconfig {file} get pods")


def _exec_credential(made: Json) -> Json:
    status = {"token": made["token"], "expirationTimestamp": made["expires_at"]}
    return {"apiVersion": _EXEC_VERSION, "kind": "ExecCredential", "status": status}


def _with_exec(here: Session, name: str, document: Json) -> Json:
    """The same file with a command in the place of the token."""
    arguments = ["kubeconfig", name, "--credential", "--url", here.gateway.url]
    if here.token_file is not None:
        arguments += ["--token-file", str(here.token_file.absolute())]
    command: dict[str, Any] = {
        "apiVersion": _EXEC_VERSION,
        "command": "slipway",
        "args": arguments,
        "interactiveMode": "Never",
        "provideClusterInfo": False,
        "installHint": "This file asks `slipway` for tokens: install Slipway's command line and sign in.",
    }
    users = [{"name": user["name"], "user": {"exec": command}} for user in document["users"]]
    return document | {"users": users}


def _write(path: Path, document: Json) -> None:
    """Replace `path` whole; nobody else can read it at any moment."""
    import yaml  # noqa: PLC0415 - most invocations do without it

    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            yaml.safe_dump(document, written, sort_keys=False)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise CommandError(
            f"{path} cannot be written: {error.strerror}.", remedy="Name another file with --file."
        ) from error


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("kubeconfig")(kubeconfig)

"""The page of the command line, from its own help."""

import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args

from typer.main import get_command

from cli.main import app
from deploy.docs.markdown import code, paragraph, table


def commands_page() -> str:
    """Every command, its arguments and its options."""
    root = get_command(app)
    parts = ["# Commands", paragraph(root.help or ""), paragraph(root.epilog or ""), "## Global flags", _flags(root)]
    for path, command in _commands(root, ("slipway",)):
        title = " ".join(path)
        usage = " ".join([title, *_usage(command)])
        parts += [f"## {title}", paragraph(command.help or ""), f"```console\n$ {usage}\n```", _flags(command)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in getattr(group, "commands", {}).items():
        if command.hidden:
            continue
        if not getattr(command, "commands", None):
            yield (*path, name), command
        yield from _commands(command, (*path, name))


def _usage(command: Any) -> Iterator[str]:
    arguments = [part for part in command.params if part.param_type_name == "argument"]
    if len(arguments) < len(command.params):
        yield "[OPTIONS]"
    for argument in arguments:
        word = (argument.metavar or argument.name or "").upper().strip("{}[]")
        yield word if argument.required else f"[{word}]"


def _takes(part: Any) -> str:
    """What stands after an option, in a word; nothing after a switch."""
    kind = part.type_descriptor.annotation
    parts = get_args(kind)
    kind = parts[0] if parts else kind
    if kind is bool:
        return ""
    if inspect.isclass(kind) and issubclass(kind, Enum):
        word = " or ".join(code(str(choice.value)) for choice in kind)
    else:
        word = part.metavar or kind.__name__.lower()
    return f"{word}, repeatable" if parts else word


def _flags(command: Any) -> str:
    rows = []
    for part in command.params:
        if part.name == "help" or getattr(part, "hidden", False):
            continue
        names = ", ".join(code(name) for name in (*part.opts, *part.secondary_opts))
        if part.param_type_name == "argument":
            names = code((part.name or "").upper())
        rows.append((names, _takes(part), getattr(part, "help", "") or "", "required" if part.required else ""))
    return table(("name", "takes", "what it is", ""), rows)

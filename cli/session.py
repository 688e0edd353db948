"""What every command works with: the output, and the gateway once it is needed."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import typer

from cli.gateway import Gateway
from cli.output import Output
from cli.platforms import find_access


@dataclass
class Session:
    """The global flags of one invocation."""

    output: Output
    url: str | None
    token: str | None
    token_file: Path | None

    @cached_property
    def gateway(self) -> Gateway:
        """The gateway that the flags, the environment or this directory's platform name."""
        return Gateway(find_access(self.url, self.token, self.token_file))


def session(context: typer.Context) -> Session:
    """The session of a command."""
    found = context.find_object(Session)
    if found is None:
        raise RuntimeError("the command line was entered without its root command")
    return found

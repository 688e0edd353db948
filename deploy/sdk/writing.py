"""Puts the client together and formats it."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

from deploy.schemas import openapi
from deploy.sdk.operations import answered, asked, operations, query_shapes, written
from deploy.sdk.shapes import in_order, model, reached, typed_dict

PROJECT: Final = Path(__file__).resolve().parents[2]
CLIENT: Final = PROJECT / "slipway" / "client.py"
_TEMPLATE: Final = Path(__file__).parent / "client.py.j2"


def client_source(document: dict[str, Any] | None = None) -> str:
    """The source of the client of `document`, by default of the API as it is. Needs `ruff`.

    Raises ValueError where a schema is asked and answered as well, and has a required field only in one of the two.
    """
    description = openapi() if document is None else document
    schemas = description["components"]["schemas"]
    every = list(operations(description))
    answers = reached(answered(every, description), schemas)
    requests = reached(asked(every), schemas)
    if both := answers & requests:
        raise ValueError(f"{', '.join(sorted(both))}: asked and answered; give the answer a class of its own")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701 - Python, not HTML
    text = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        version=description["info"]["version"],
        models="\n\n\n".join(model(name, schemas[name]) for name in in_order(answers, schemas)),
        requests="\n\n\n".join(typed_dict(name, schemas[name]) for name in in_order(requests, schemas)),
        queries="\n\n\n".join(query_shapes(every)),
        operations="\n\n".join(written(operation, schemas) for operation in every),
    )
    return _ruff(_ruff(text, "check", "--fix", "--quiet", "--select=I,RUF022"), "format", "--quiet")


def _ruff(text: str, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, f"--stdin-filename={CLIENT}", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
    )
    if done.returncode:
        raise ValueError(f"ruff cannot read what was written: {done.stderr[-2000:]}")
    return done.stdout

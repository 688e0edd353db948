"""The page an environment shows until something is deployed: what to push where.

Invariant: everything from outside is quoted for the shell, then escaped for HTML, then freed of braces, because
Caddy expands `{...}` in a response body (`{env.HOME}`, `{file./etc/passwd}`). That is also why the styles are
inline: a style sheet needs braces.
"""

from __future__ import annotations

import html
import shlex
from typing import Final
from urllib.parse import urlsplit

MARKER: Final = "nothing-deployed-yet"

_BODY: Final = (
    "margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;"
    "color-scheme:light dark;background:Canvas;color:CanvasText;"
    "font:16px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif"
)
_MAIN: Final = "box-sizing:border-box;width:100%;max-width:40rem;padding:2rem 1.5rem"
_CODE: Final = (
    "display:block;overflow-x:auto;padding:1rem;border:1px solid #8886;border-radius:8px;"
    "font:14px/1.6 ui-monospace,'Cascadia Mono',Menlo,monospace;white-space:pre"
)


def page(environment: str, clone_url: str, branch: str) -> str:
    """The whole HTML document."""
    directory = urlsplit(clone_url).path.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git") or environment
    commands = "\n".join(
        (
            f"git clone {shlex.quote(clone_url)}",
            f"cd {shlex.quote(directory)}",
            f"git switch {shlex.quote(branch)}",
            "# change something, commit, then",
            f"git push origin {shlex.quote(branch)}",
        )
    )
    name = _literal(environment)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{name} is ready for its first deploy</title></head>"
        f'<body style="{_BODY}"><main style="{_MAIN}">'
        f'<h1 style="font-size:1.5rem;margin:0 0 .5rem">{name} is ready</h1>'
        f'<p style="margin:0 0 1.5rem">Nothing has been deployed here yet. Push to <b>{_literal(branch)}</b> '
        "and the pipeline puts your application at this address.</p>"
        f'<code style="{_CODE}">{_literal(commands)}</code>'
        '<p style="margin:1.5rem 0 0;opacity:.7;font-size:.875rem">Slipway</p></main></body></html>'
    )


def _literal(text: str) -> str:
    return html.escape(text).replace("{", "&#123;").replace("}", "&#125;")

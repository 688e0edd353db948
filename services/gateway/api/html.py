"""Pages as HTML: one set of templates, and what goes with each page.

Invariant: no page holds a script or a style of its own; the policy that goes with each lets none run.
"""

from importlib import resources
from typing import Any, Final

from fastapi import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # With `no-referrer` browsers send `Origin: null` with every form, and nobody could tell ours from others'.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
TEMPLATES: Final = Environment(
    loader=FileSystemLoader(str(resources.files("services.gateway") / "portal" / "templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(template: str, status: int = 200, /, **values: Any) -> Response:
    """The template, shown with these values."""
    text = TEMPLATES.get_template(template).render(values)
    return Response(text, status, headers=dict(HEADERS), media_type="text/html; charset=utf-8")

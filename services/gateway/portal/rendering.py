"""How a page is made: the frame around it, the words that templates use, and what every page knows.

Invariants
- Everything that is shown goes through autoescape; no template marks anything safe but our own drawings.
- A template decides nothing: what somebody may do, and what is true, is worked out before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from fastapi import Request, Response
from markupsafe import Markup

from services.gateway.api import html
from services.gateway.api.browser import CSRF_FIELD, Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.problems import Problem
from services.gateway.domain.people import reaches
from services.gateway.portal import assets, words

_LONGEST_SEQUENCE: Final = 16
KEY_FIELD: Final = "request_key"
"""The hidden field that makes a form that is sent twice the same request."""


@dataclass(frozen=True)
class Section:
    """An entry of the navigation."""

    name: str
    title: str
    address: str
    icon: str


SECTIONS: Final = (
    (
        Section("home", "Home", "/", "home"),
        Section("catalogue", "Catalogue", "/environments", "stack"),
        Section("runs", "Runs", "/runs", "run"),
        Section("golden_paths", "Golden paths", "/golden-paths", "path"),
        Section("graph", "Graph", "/graph", "graph"),
    ),
    (
        Section("insights", "Insights", "/insights", "chart"),
        Section("audit", "Audit", "/audit", "audit"),
        Section("notifications", "Notifications", "/notifications", "bell"),
        Section("feedback", "Feedback", "/feedback", "speech"),
    ),
)

DONE: Final = {
    "extended": "It has more time now.",
    "kept": "It is kept: it has no end until somebody lets it go.",
    "unkept": "It has an end again.",
    "granted": "The grant is asked for. It takes effect in a moment, when the secrets service has made it.",
    "revoked": "The revocation is asked for. It takes effect in a moment.",
    "cancelled": "The run is called off. It stops at the next safe point and undoes what it did.",
    "unchanged": "Nothing to do: the environment is like this already.",
    "rolled_back": "The earlier release is live again.",
    "token_revoked": "The token is revoked. It opens nothing any more.",
    "webhook_changed": "The webhook is changed.",
    "webhook_deleted": "The webhook is gone. Nothing is sent there any more.",
    "webhook_redelivered": "It is sent again.",
    "feedback": "Thank you. The platform team has it.",
    "survey": "Thank you for your answer.",
    "survey_declined": "Good. You are not asked again in this quarter.",
}
"""What is said after a deed. An address names one of these, so nobody can put words of theirs on a page of ours."""


def equip() -> None:
    """Give the templates their words. Also the pages of the door, which are shown in the same frame."""
    environment = html.TEMPLATES
    environment.filters.update(
        exact=words.exact,
        on_hover=words.on_hover,
        clock=words.clock,
        took=words.took,
        counted=words.counted,
        query=lambda values: urlencode({k: v for k, v in values.items() if v not in {None, "", False}}),
    )
    environment.globals.update(
        asset=assets.address,
        sections=SECTIONS,
        here="",
        title="Slipway",
        done="",
        csrf="",
        now=None,
        visitor=None,
        told=words.told,
        ago=words.ago,
        left=words.left,
        money=words.money,
        field_errors=field_errors,
        without=lambda values, *names: {name: value for name, value in values.items() if name not in names},
        pairs=lambda values: [(value, value) for value in values],
        new_key=lambda: str(uuid4()),
        key_field=KEY_FIELD,
        step_names=words.STEP_NAMES,
        run_kinds=words.RUN_KINDS,
        causes=words.CAUSES,
    )


def page(
    request: Request,
    visitor: Visitor,
    gateway: Gateway,
    template: str,
    *,
    here: str,
    title: str,
    status: int = 200,
    **values: Any,
) -> Response:
    """One page for somebody who is signed in. `here` is its section, `title` says where one is."""
    return html.page(
        template,
        status,
        **frame(visitor, gateway),
        here=here,
        title=title,
        done=DONE.get(request.query_params.get("done", ""), ""),
        **values,
    )


def frame(visitor: Visitor | None, gateway: Gateway) -> dict[str, Any]:
    """What the frame of a page knows."""
    return {
        "visitor": visitor,
        "now": now(gateway),
        "csrf": csrf_field(visitor) if visitor else "",
        "may_ask": visitor is not None and reaches(visitor.principal.role, "developer"),
        "version": gateway.version,
    }


def csrf_field(visitor: Visitor) -> Markup:
    """The hidden field that says that a form is of this session."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, visitor.csrf_token)


def now(gateway: Gateway) -> datetime:
    """This instant, by the platform's clock."""
    return gateway.living.wishing.clock.now()


def after(request: Request) -> int:
    """The sequence that a live message told of: a page that is fetched because of it shows at least that."""
    text = request.query_params.get("after", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < _LONGEST_SEQUENCE else 0


def safe_link(address: str | None, gateway: Gateway) -> str | None:
    """An address that a page may lead to: https, a path of ours, or a part of this platform; None for any other."""
    if not address or any(ord(character) <= 32 or character == "\\" for character in address):
        return None
    if address.startswith("/"):
        return None if address.startswith("//") else address
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return None
    if not host or parts.username is not None:
        return None
    if parts.scheme == "https":
        return address
    parts_of_ours = (gateway.links.public_url, gateway.links.traces_url, gateway.forge_url, gateway.inbox_url)
    of_ours = {urlsplit(url).netloc for url in parts_of_ours if url}
    is_local = host in {"localhost", "127.0.0.1"} or host.endswith(".localhost")
    return address if parts.scheme == "http" and (is_local or parts.netloc in of_ours) else None


def field_errors(problem: Problem | None) -> Mapping[str, str]:
    """By field: the rule that its value breaks."""
    return {error.field: error.rule for error in problem.errors} if problem is not None else {}

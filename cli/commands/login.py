"""login, logout: a token of one's own for this machine, by signing in with a browser."""

import base64
import hashlib
import os
import platform
import re
import secrets
import sys
import webbrowser
from typing import Annotated
from urllib.parse import urlencode

import typer

from cli import logins
from cli.failures import AwayError, CommandError, Exit, ProblemError
from cli.gateway import Gateway, Json, at
from cli.listener import Listener
from cli.platforms import Access, find_url
from cli.session import Session, session
from cli.wording import when

_WAIT_SECONDS = 300.0
"""As long as a code is good."""
_NAME_LENGTH = 60


def login(
    context: typer.Context,
    browser: Annotated[
        bool | None,
        typer.Option("--browser/--no-browser", help="Whether this machine has a browser; found out if left out."),
    ] = None,
) -> None:
    """Sign in with a browser, and keep a token for this machine.

    Without a browser here, open the printed address anywhere else and type the code that it shows.
    """
    here = session(context)
    url = find_url(here.url)
    verifier = secrets.token_urlsafe(48)
    asked = {"challenge": _challenge(verifier), "name": _machine()}
    has_browser = _has_browser() if browser is None else browser
    code = _from_browser(here, url, asked) if has_browser else _typed(here, url, asked)
    made = _redeem(url, code, verifier)
    earlier = logins.find(url)
    logins.keep(url, made["token"])
    if earlier is not None:
        _end(here, url, earlier)
    if here.output.for_programs:
        here.output.document({"gateway": url, **{key: value for key, value in made.items() if key != "token"}})
        return
    teams = ", ".join(made["teams"]) or "no team"
    here.output.note(f"Signed in to {url} as {made['person']}: {made['role']}, {teams}.")
    here.output.note(f"This machine's token ends {when(made['expires_at'])}.")
    here.output.note("Next: slipway whoami · slipway templates · slipway logout")


def logout(context: typer.Context) -> None:
    """End the token that `slipway login` fetched for this machine, and forget it."""
    here = session(context)
    url = find_url(here.url)
    token = logins.find(url)
    if token is None:
        raise CommandError(
            f"Nobody is signed in to {url} on this machine.", remedy="`slipway login` signs in.", code=Exit.NOT_FOUND
        )
    ended = _end(here, url, token)
    logins.forget(url)
    if ended:
        here.output.note(f"Signed out of {url}: the token is revoked.")


def _challenge(verifier: str) -> str:
    """RFC 7636 §4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _machine() -> str:
    """What the token is called in lists of tokens."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", platform.node()).strip("-._") or "a machine"
    return f"slipway on {name}"[:_NAME_LENGTH].rstrip("-._ ")


def _has_browser() -> bool:
    if os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in {"darwin", "win32"} or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _from_browser(here: Session, url: str, asked: dict[str, str]) -> str:
    state = secrets.token_urlsafe(32)
    listener = Listener(state)
    try:
        address = f"{url}/cli/login?{urlencode({**asked, 'port': listener.port, 'state': state})}"
        here.output.note(f"Sign in with your browser:\n  {address}")
        webbrowser.open(address)
        code = listener.wait(_WAIT_SECONDS)
    finally:
        listener.close()
    if code is None:
        raise CommandError(
            "Nobody answered in the browser within five minutes. Nothing was changed.",
            remedy="Run it again; `slipway login --no-browser` works with a browser on another machine.",
            code=Exit.FAILED,
        )
    return code


def _typed(here: Session, url: str, asked: dict[str, str]) -> str:
    here.output.note(f"Open this address with a browser, on any machine:\n  {url}/cli/login?{urlencode(asked)}")
    code: str = typer.prompt("The code it shows", err=True)
    return code.strip()


def _redeem(url: str, code: str, verifier: str) -> Json:
    try:
        return Gateway(Access(url, "")).post_once(at("machine-tokens"), {"code": code, "verifier": verifier})
    except ProblemError as problem:
        if problem.status not in {401, 422}:
            raise
        raise CommandError(
            "This code is not valid: mistyped, used already, older than five minutes, or another machine's.",
            remedy="Run `slipway login` again.",
            code=Exit.REFUSED,
            trace_id=problem.trace_id,
        ) from problem


def _end(here: Session, url: str, token: str) -> bool:
    """Revoke a token; whether that is certain. One that opens nothing any more is no reason to fail."""
    try:
        Gateway(Access(url, token)).delete(at("me", "token"))
    except ProblemError as problem:
        if problem.status != 401:
            raise
    except AwayError:
        here.output.note(f"{url} does not answer: the token is forgotten here, and ends there when its time is up.")
        return False
    return True


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("login")(login)
    app.command("logout")(logout)

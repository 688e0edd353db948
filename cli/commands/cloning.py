"""clone: an environment's repository on this machine, ready to be pushed to.

The embedded platform's forge knows one login for people, whose token only the platform's operator can read. `clone`
leaves in the repository the name of this program as Git's credential helper for that forge, never the token itself, so
that it is neither in a file of the repository nor on a command line (gitcredentials(7)).
"""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from cli.commands.arguments import Name
from cli.failures import CommandError, Exit
from cli.gateway import at
from cli.platforms import HOME_VARIABLE, description, home, is_loopback
from cli.session import Session, session

_LOGIN = "developer"
_HELPER = "git-credential"


def clone(
    context: typer.Context,
    name: Name,
    directory: Annotated[Path | None, typer.Argument(help="Where to; a directory of the repository's name.")] = None,
) -> None:
    """Clone an environment's repository; a push to its branch deploys."""
    here = session(context)
    environment = here.gateway.get(at("environments", name))
    pipeline = environment.get("pipeline")
    url = str((pipeline or {}).get("clone_url") or "")
    if not url.startswith(("https://", "http://")):
        raise CommandError(
            f"{name} has no repository: it is {environment['state']}.", remedy=f"`slipway show {name}` tells more."
        )
    target = directory or Path(urlsplit(url).path.removesuffix("/").rsplit("/", 1)[-1].removesuffix(".git"))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CommandError(f"{target} is there already.", remedy=f"slipway clone {name} ANOTHER-DIRECTORY")
    configuration = [*_credentials(url), *_identity(here)]
    options = [part for setting in configuration for part in ("-c", setting)]
    cloned = _git("clone", "--quiet", *options, "--branch", str(environment["branch"]), "--", url, str(target))
    if cloned.returncode != 0:
        raise CommandError(f"git could not clone {url}.", details=tuple(cloned.stderr.strip().splitlines()[-3:]))
    if here.output.for_programs:
        here.output.document({"directory": str(target), "url": url, "branch": environment["branch"]})
        return
    here.output.say(f"{url} is in {target}.")
    here.output.say("Next: ", (f"cd {shlex.quote(str(target))}", "bold"), ", change something, then")
    here.output.say(("      git commit -am 'Say hello' && git push", "bold"))


def git_credential(
    context: typer.Context,
    operation: Annotated[str, typer.Argument(metavar="get|store|erase")],
) -> None:
    """Answer Git's question for the login of the embedded platform's forge; nothing for any other host."""
    session(context)
    asked = dict(line.split("=", 1) for line in sys.stdin.read().splitlines() if "=" in line)
    forge = urlsplit(_forge())
    if operation != "get" or (asked.get("protocol"), asked.get("host")) != (forge.scheme, forge.netloc):
        return
    token = _token_file().read_text(encoding="utf-8").strip()
    sys.stdout.write(f"username={_LOGIN}\npassword={token}\n")


def _credentials(url: str) -> list[str]:
    """Settings of a repository of the embedded forge: who answers when Git asks for a login."""
    if not _forge() or urlsplit(url).netloc != urlsplit(_forge()).netloc or not is_loopback(url):
        return []
    if not _token_file().is_file():
        raise CommandError(
            f"{_token_file()} cannot be read: only who runs this platform may push to its forge.",
            remedy="Ask them for a login of yours on the forge.",
            code=Exit.REFUSED,
        )
    program = Path(sys.argv[0]).resolve()
    place = f"{HOME_VARIABLE}={shlex.quote(str(home().resolve()))}"
    return [f"credential.{_forge()}.helper=!{place} {shlex.quote(str(program))} {_HELPER}"]


def _identity(here: Session) -> list[str]:
    """Settings without which Git would not commit, where nobody has made them."""
    if _git("config", "user.email").stdout.strip():
        return []
    person = here.gateway.get(at("me"))["person"]
    return [f"user.name={person}", f"user.email={person}@users.noreply.localhost"]


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise CommandError("git is not installed.", remedy="On Debian: apt install git") from None


def _forge() -> str:
    return str(description().get("urls", {}).get("forge", "")).rstrip("/")


def _token_file() -> Path:
    return home() / "keys" / f"forge-{_LOGIN}.token"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("clone")(clone)
    app.command(_HELPER, hidden=True)(git_credential)

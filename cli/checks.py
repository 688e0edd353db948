"""What can be wrong between this machine and a gateway elsewhere."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Literal

from cli.failures import AwayError, CommandError
from cli.gateway import Gateway, Json, at
from cli.platforms import is_loopback
from cli.wording import moment, seconds, when

_CLOCK_TOLERANCE = timedelta(seconds=5)
_EXPIRES_SOON = timedelta(days=7)

Outcome = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and what to do where it is not well."""

    name: str
    outcome: Outcome
    found: str
    remedy: str = ""

    def as_json(self) -> Json:
        """The same for a program."""
        return asdict(self)


def checks(gateway: Gateway) -> Iterator[Check]:
    """Look at one thing after the other, each built on the one before."""
    begun = time.monotonic()
    try:
        me = gateway.get(at("me"))
    except AwayError as error:
        yield Check("gateway", "failed", str(error), "Is the address right? Does a firewall or a proxy stand between?")
        return
    except CommandError as error:
        yield _reached(gateway, begun)
        yield Check("token", "failed", str(error), error.remedy)
        return
    yield _reached(gateway, begun)
    yield _connection(gateway)
    yield _token(gateway, me)
    yield _clock(gateway)
    yield _version(gateway)


def _reached(gateway: Gateway, begun: float) -> Check:
    return Check("gateway", "ok", f"{gateway.url} answers in {seconds(time.monotonic() - begun)}")


def _connection(gateway: Gateway) -> Check:
    if gateway.url.startswith("https://"):
        return Check("connection", "ok", "encrypted")
    if is_loopback(gateway.url):
        return Check("connection", "ok", "within this machine")
    return Check(
        "connection", "warning", "not encrypted: whoever is on the way can read your token", "Use the https address."
    )


def _token(gateway: Gateway, me: Json) -> Check:
    token = me["token"]
    found = f"{token['name']}: {me['role']} {me['person']}, teams {', '.join(me['teams']) or 'none'}"
    expires_at = moment(token["expires_at"])
    if expires_at and expires_at - gateway.now() < _EXPIRES_SOON:
        return Check("token", "warning", f"{found}; ends {when(token['expires_at'])}", "slipway token create NAME")
    return Check("token", "ok", found + (f"; ends {when(token['expires_at'])}" if expires_at else ""))


def _clock(gateway: Gateway) -> Check:
    ahead = gateway.clock_ahead
    if abs(ahead) <= _CLOCK_TOLERANCE:
        return Check("clock", "ok", "agrees with the platform's")
    order = "behind" if ahead > timedelta() else "ahead of"
    return Check(
        "clock", "warning", f"{seconds(abs(ahead.total_seconds()))} {order} the platform's", "Synchronise it (NTP)."
    )


def _version(gateway: Gateway) -> Check:
    try:
        theirs = gateway.get(at("platform"))["version"]
    except CommandError as error:
        return Check("version", "failed", str(error), error.remedy)
    ours = version("slipway")
    if ours == theirs:
        return Check("version", "ok", f"{ours}, like the platform's")
    return Check("version", "warning", f"{ours}, the platform's is {theirs}", f"Install the command line {theirs}.")

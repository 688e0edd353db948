"""Signing in by the issuer: setting out, and coming back.

Invariant: whoever comes back gets a session only where this very browser set out, the issuer takes the code, and its
ID token is meant for us and for this sign-in. Every other return is refused in the same words.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from pydantic import SecretStr

from chassis.clock import Clock
from services.gateway.domain.identities import GroupRules, names_for
from services.gateway.domain.refusals import UnauthenticatedError
from services.gateway.domain.sessions import Session, digest, is_well_formed, new_secret
from services.gateway.domain.sign_ins import LASTS, SignIn, local_path, nonce, verifier
from services.gateway.handlers.sessions import Sessions, SignedIn
from services.gateway.ports import Issuer, IssuerRefusedError, People, SignInStore

_log = structlog.get_logger(__name__)

_BEGIN_AGAIN: Final = (
    "This sign-in cannot be finished: it was finished already, took longer than ten minutes, began in another browser,"
    " or was refused. Begin it again."
)


@dataclass(frozen=True)
class SetOut:
    """A sign-in that began."""

    address: str
    """Where the browser goes."""
    browser: SecretStr
    """What it keeps until it comes back."""


@dataclass(frozen=True)
class CameBack:
    """A sign-in that ended well."""

    session: Session
    secret: SecretStr
    """What the browser shows from now on."""
    next: str


@dataclass(frozen=True)
class SigningIn:
    """Lets people in whom an issuer vouches for."""

    issuer: Issuer | None
    """None: nobody signs in with a browser here."""
    store: SignInStore
    people: People
    sessions: Sessions
    rules: GroupRules
    clock: Clock
    label: str = ""
    """What the issuer is called on pages."""

    async def set_out(self, next_path: str | None, browser: SecretStr | None) -> SetOut:
        """Begin. `browser` is what it holds from an earlier beginning, which another tab may still need. Raises
        `InvalidError` for a next address that is not ours, and `UnauthenticatedError` where there is no issuer."""
        where = local_path(next_path)
        if self.issuer is None:
            raise UnauthenticatedError(NO_ISSUER)
        held = browser if browser is not None and is_well_formed(browser.get_secret_value()) else new_secret()
        state, now = new_secret(), self.clock.now()
        address = await self.issuer.address(state, nonce(held, state), verifier(held, state))
        await self.store.add(SignIn(digest(state), digest(held), where, now + LASTS), now)
        return SetOut(address, held)

    async def come_back(
        self, said: Mapping[str, str], browser: SecretStr | None, replaces: SecretStr | None
    ) -> CameBack:
        """Finish. `said` are the parameters with which the issuer sent the browser back, `replaces` is the session
        that it shows so far. Raises `UnauthenticatedError`."""
        state = SecretStr(said.get("state", ""))
        if self.issuer is None or browser is None or not is_well_formed(state.get_secret_value()):
            raise self._refused("it was not begun here")
        sign_in = await self.store.take(digest(state))
        if sign_in is None or self.clock.now() >= sign_in.expires_at:
            raise self._refused("its state is not known, or no longer")
        if not hmac.compare_digest(sign_in.browser, digest(browser)):
            raise self._refused("it began in another browser")
        if not said.get("code"):
            raise self._refused("the issuer sent no code")
        try:
            identity = await self.issuer.redeem(
                SecretStr(said["code"]), nonce(browser, state), verifier(browser, state), said.get("iss")
            )
        except IssuerRefusedError as error:
            raise self._refused(str(error)) from error
        person = await self.people.claim(identity.issuer, identity.subject, names_for(identity), self.clock.now())
        who = SignedIn(
            identity.issuer,
            identity.subject,
            person,
            self.rules.role(identity.groups),
            self.rules.teams(identity.groups),
        )
        session, secret = await self.sessions.begin(who, replaces)
        return CameBack(session, secret, sign_in.next)

    @staticmethod
    def _refused(reason: str) -> UnauthenticatedError:
        _log.info("a sign-in was refused", reason=reason)
        return UnauthenticatedError(_BEGIN_AGAIN)


NO_ISSUER: Final = (
    "Nobody can sign in with a browser here: the platform was given no OpenID provider"
    " (SLIPWAY_GATEWAY_ISSUER). The API and the command line take tokens."
)

"""Giving the platform's credentials anew while it works.

Invariants: a run that is under way goes on: where a credential can be exchanged beside the one in use, both open for a
while; where it cannot, its one user is stopped, hands back what it has in flight, and finds it again at its start.
Every rotation is safe to repeat, and an interrupted one is finished by repeating it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from contracts.topology import Permissions
from deploy.embedded import forge_access, lifecycle, nats, postgres, readers
from deploy.embedded.errors import PlatformError
from deploy.embedded.forge_access import CICD_LOGIN, PROVISIONER_LOGIN
from deploy.embedded.home import write_file
from deploy.embedded.keys import new_secret, new_user_seed
from deploy.embedded.platform import Platform, make_keys
from deploy.embedded.ports import HOST
from deploy.embedded.progress import console

_NEXT = ".next"

NOT_ROTATED: Mapping[str, str] = {
    "event-id.key": "every event's id follows from it; under another one a redelivered event would act twice",
    "webhooks.key": "the secrets of those who receive webhooks follow from it: make the webhook anew to exchange one",
    "bao-seal.key": "it opens what OpenBao has stored; OpenBao's own `rotate` exchanges the key that it seals",
    "pg-postgres.password": "nobody but the commands of this machine's operator uses it",
}
"""Keys that stay, and why."""


@dataclass(frozen=True)
class _Exchange:
    """One kind of credentials: what is done while everything runs, and what while a part that uses them is away."""

    away: Mapping[str, Callable[[], None]]
    """By the name of the part."""
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None


def rotate(what: str) -> None:
    """Give one kind of credentials anew, or `all`, for which each part is away once. Raises PlatformError."""
    platform = Platform.as_recorded()
    with platform.home.locked():
        if platform.supervisor.pid is None:
            raise PlatformError("Slipway is not running", remedy="run `make up` first: those who use a key must follow")
        exchanges = {name: make(platform) for name, make in KINDS.items() if what in {name, "all"}}
        for exchange in exchanges.values():
            exchange.before()
        for part in platform.parts:
            own = {name: one.away[part.name] for name, one in exchanges.items() if part.name in one.away}
            if own:
                with _stopped(platform, part.name):
                    for give in own.values():
                        give()
                console().print(f"{part.name:<12} {', '.join(own)}")
        for exchange in exchanges.values():
            exchange.after()
        # What the parts are told has changed with their keys; they have it, so that no `up` need start them again.
        platform.supervisor.configure({part.name: part.launch() for part in platform.parts})
    console().print(f"Given anew: {', '.join(exchanges)}. What was exchanged opens nothing.")


@contextmanager
def _stopped(platform: Platform, name: str) -> Iterator[None]:
    """One part away for a moment."""
    platform.supervisor.stop_programs([name])
    try:
        yield
    finally:
        lifecycle.Starter(platform.selected([name]), platform.supervisor, platform, _Silent()).run()


class _Silent:
    def starting(self, name: str) -> None:
        """Nobody asked."""

    def ready(self, name: str, seconds: float) -> None:
        """The step says so itself."""

    def failed(self, name: str) -> None:
        """The error says so."""


def _bus(platform: Platform) -> _Exchange:
    """Two keys a user while services change over one by one; then the old ones open nothing."""
    keys, services = platform.setup.keys, [part.name for part in platform.parts if part.is_service]
    users = nats.topology_users()
    following = {name: keys.path(f"nats-{name}{_NEXT}.nk") for name in users}

    def admit_both() -> None:
        for path in following.values():
            path.unlink(missing_ok=True)  # of a rotation that was cut short: it may be in use by now
        _use(platform, users | {f"{name}{_NEXT}": allowed for name, allowed in users.items()})

    def take(name: str) -> None:
        keys.renew(f"nats-{name}.nk", following[name].read_text)

    def end() -> None:
        for name in users.keys() - set(services):
            take(name)
        keys.renew(f"nats-{nats.SYSTEM_USER}.nk", new_user_seed)
        _use(platform, users)
        for path in following.values():
            path.unlink()

    return _Exchange({name: partial(take, name) for name in services}, admit_both, end)


def _use(platform: Platform, users: Mapping[str, Permissions]) -> None:
    setup = platform.setup
    config = setup.home.etc / "nats.conf"
    monitor = setup.ports["nats-monitor"]
    text = nats.configuration(
        setup.keys,
        users,
        port=setup.ports["nats"],
        monitor_port=monitor,
        store=setup.home.data / "nats",
        readers=setup.readers.load().readers,
    )
    write_file(config, text)
    readers.take_up(config, f"http://{HOST}:{monitor}", lambda: platform.supervisor.states()["nats"].pid)


def _database(platform: Platform) -> _Exchange:
    """Postgres knows one password a role: its one user is away while it changes."""
    users = {
        **{schema: f"slipway_{schema}" for schema in postgres.SERVICE_SCHEMAS},
        "provisioner": postgres.PROVISIONER_ROLE,
        "openbao": postgres.OPENBAO_ROLE,
    }

    def exchange_leases() -> None:
        # OpenBao makes leased logins with this one. A request that falls between is tried again by who asked.
        _give_password(platform, postgres.LEASES_ROLE)
        platform.setup.vault.follow_database()

    return _Exchange(
        {user: partial(_give_password, platform, role) for user, role in users.items()}, after=exchange_leases
    )


def _give_password(platform: Platform, role: str) -> None:
    platform.setup.keys.renew(postgres.password_file(platform.setup.keys, role).name, new_secret)
    postgres.set_password(platform.setup.cluster, role)
    platform.setup.vault.configure()  # it has its own password in a file of another form


def _openbao(platform: Platform) -> _Exchange:
    """Its services read the secret half of their login at each login: two open until the file has the new one."""
    return _Exchange({}, after=platform.setup.vault.exchange_secret_ids)


def _forge(platform: Platform) -> _Exchange:
    """The forge reads its list of tokens anew by itself; it knows one a login."""
    keys = platform.setup.keys

    def give(login: str) -> None:
        keys.renew(forge_access.forge_token_file(keys, login).name, new_secret)
        make_keys(keys)

    return _Exchange({"cicd": partial(give, CICD_LOGIN), "provisioner": partial(give, PROVISIONER_LOGIN)})


def _webhooks(platform: Platform) -> _Exchange:
    """What the forge tells the gateway meanwhile, it tells again."""
    setup = platform.setup

    def give() -> None:
        setup.keys.renew(forge_access.webhook_secret_file(setup.keys).name, new_secret)
        forge_access.ensure_hook(setup.ports.url("forge"), setup.keys, setup.ports.url("gateway"), renew=True)

    return _Exchange({"gateway": give})


KINDS: Mapping[str, Callable[[Platform], _Exchange]] = {
    "bus": _bus,
    "database": _database,
    "openbao": _openbao,
    "forge": _forge,
    "webhooks": _webhooks,
}
"""What can be exchanged."""


def explained() -> Iterable[str]:
    """What stays, and why, a line each."""
    return (f"{name} stays: {reason}" for name, reason in NOT_ROTATED.items())

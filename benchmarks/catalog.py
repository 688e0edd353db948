"""The catalogue with many environments: how long an answer takes, over HTTP and with a token.

The environments are loaded straight into the catalog's own tables, as folding would have left them; then a real catalog
and a real gateway answer. The ones who ask are a developer of five teams, and an admin who sees everything.
"""

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from benchmarks.fleet import WORDS, Fleet, load
from benchmarks.report import Figure, percentile
from benchmarks.stage import Stage, stage
from services.gateway.api import cookies
from services.gateway.domain import sessions

SIZES: Final = (10_000, 100_000)
FULL: Final = 739_000
TARGET_MS: Final = 50.0
PAGE_TARGET_MS: Final = 100.0
_FLOOR: Final = "a request that asks the catalogue nothing"
"""What HTTP, the token and a busy machine cost."""
_HOME: Final = "portal, home"
_CATALOGUE: Final = "portal, catalogue"
_PAGES: Final = frozenset({_HOME, _CATALOGUE})
ROUNDS: Final = 60
_WARM_UP: Final = 5


@dataclass(frozen=True)
class Question:
    """One thing that somebody asks."""

    name: str
    path: Callable[[random.Random], str]
    """A new address each time, so that nothing is answered from what was asked just before."""
    as_admin: bool = False
    is_page: bool = False
    """Whether it is a page of the portal, asked for in a browser's session."""


def measure(sizes: Sequence[int] = SIZES) -> list[Figure]:
    """Every question at every size."""
    found: list[Figure] = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="slipway-bench-") as directory:
            found += _measure(Path(directory), size)
    return found


def measure_full() -> list[Figure]:
    """With as many as the largest catalogue that anybody has told of."""
    return measure((*SIZES, FULL))


def _measure(directory: Path, size: int) -> Iterator[Figure]:
    with stage(directory, names=("catalog", "gateway")) as on:
        fleet = Fleet(size)
        began = time.perf_counter()
        with on.postgres.connect() as connection:
            connection.autocommit = True
            load(connection, fleet)
        print(f"  loaded {size:,} environments in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        with _clients(on, fleet) as askers:
            yield from _ask_all(on, fleet, askers)


def _ask_all(on: Stage, fleet: Fleet, askers: "Askers") -> Iterator[Figure]:
    pick = random.Random(fleet.size)  # noqa: S311 - a sample, not a secret
    took: dict[str, list[float]] = {}
    work: dict[str, float] = {}
    seen: dict[str, str] = {}
    for round_number in range(_WARM_UP + ROUNDS):
        for question in _questions(fleet):
            client = askers.of(question)
            path = question.path(pick)
            worked, began = _cpu_seconds(on), time.perf_counter()
            answer = client.get(path)
            seconds = time.perf_counter() - began
            answer.raise_for_status()
            if round_number >= _WARM_UP:
                took.setdefault(question.name, []).append(seconds)
                work[question.name] = work.get(question.name, 0.0) + _cpu_seconds(on) - worked
                seen[question.name] = _what_came(question, answer)
    for name, seconds_of in took.items():
        p50, p95 = percentile(seconds_of, 0.5) * 1000, percentile(seconds_of, 0.95) * 1000
        cpu = work[name] / len(seconds_of) * 1000
        detail = f"p50 {p50:.1f} ms, {cpu:.0f} ms of CPU; {seen[name]}"
        target = None if name == _FLOOR else PAGE_TARGET_MS if name in _PAGES else TARGET_MS
        yield Figure(f"catalogue of {fleet.size:,}: {name}, p95", p95, "ms", target, detail=detail)


def _cpu_seconds(on: Stage) -> float:
    """What the services, the bus and Postgres have worked so far, with whatever they do beside."""
    postgres = psutil.Process(on.postgres.part.pid)
    found = on.cpu_seconds()
    for process in (postgres, *postgres.children()):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        found += times.user + times.system
    return found


def _questions(fleet: Fleet) -> tuple[Question, ...]:
    """What people ask; a developer of five teams unless said otherwise."""
    api = "/api/v1/environments"
    mine = [number for number in range(min(fleet.size, 5_000)) if fleet.team_of(number) in fleet.teams[:5]]

    def number(pick: random.Random) -> int:
        return pick.randrange(fleet.size)

    return (
        Question(_FLOOR, lambda _: "/api/v1/me"),
        Question("by name", lambda pick: f"{api}/{fleet.name(pick.choice(mine))}"),
        Question("first page of mine", lambda pick: f"{api}?limit={pick.randint(45, 50)}"),
        Question("by owner", lambda pick: f"{api}?owner={fleet.person_of(number(pick))}", as_admin=True),
        Question("count", lambda pick: f"{api}?limit=1&team={pick.choice(fleet.teams)}&state=ready", as_admin=True),
        Question("facets of all", lambda pick: f"{api}?limit=1&facets=true&kind={_kind(pick)}", as_admin=True),
        Question("facets of mine", lambda pick: f"{api}?limit={pick.randint(1, 9)}&facets=true"),
        Question("name contains, few", lambda pick: f"{api}?q={f'{number(pick):06}'[-5:]}", as_admin=True),
        Question("name contains, many", lambda pick: f"{api}?q={pick.choice(WORDS)}", as_admin=True),
        Question("name contains, of mine", lambda pick: f"{api}?q={pick.choice(WORDS)}&facets=true"),
        Question("forgotten, of mine", lambda pick: f"{api}?forgotten_days={pick.randint(14, 20)}"),
        Question("forgotten, of all", lambda pick: f"{api}?forgotten_days={pick.randint(14, 20)}", as_admin=True),
        Question("duplicates", lambda pick: f"{api}?duplicates=true&limit={pick.randint(40, 50)}", as_admin=True),
        Question("down, newest first", lambda _: f"{api}?running=down&sort=created_at&descending=true", as_admin=True),
        Question("most expensive of mine", lambda _: f"{api}?sort=cost&descending=true"),
        Question("graph of one", lambda pick: f"{api}/{fleet.name(number(pick) // 2)}/graph", as_admin=True),
        Question(_HOME, lambda _: "/", is_page=True),
        Question(_CATALOGUE, lambda pick: f"/environments?q={pick.choice(WORDS)}", is_page=True),
    )


def _kind(pick: random.Random) -> str:
    return pick.choice(("preview", "staging", "production"))


def _what_came(question: Question, response: httpx.Response) -> str:
    if question.is_page:
        return f"{len(response.content) // 1000} kB"
    answer: dict[str, Any] = response.json()
    if "nodes" in answer:
        return f"{len(answer['nodes'])} nodes"
    if "items" not in answer:
        return "1 environment" if "name" in answer else "nothing of the catalogue"
    least = "" if answer["total_is_exact"] else "more than "
    return f"{len(answer['items'])} of {least}{answer['total']:,}"


@dataclass(frozen=True)
class Askers:
    """Whoever asks: a developer of five teams by token and in a browser, and an admin by token."""

    developer: httpx.Client
    browser: httpx.Client
    admin: httpx.Client

    def of(self, question: Question) -> httpx.Client:
        """The one who asks this."""
        if question.is_page:
            return self.browser
        return self.admin if question.as_admin else self.developer


@contextmanager
def _clients(on: Stage, fleet: Fleet) -> Iterator[Askers]:
    def client(headers: dict[str, str]) -> httpx.Client:
        return httpx.Client(base_url=on.gateway_url, headers=headers, trust_env=False, timeout=60)

    def bearer(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    with client(bearer(on.admin_token_file.read_text().strip())) as admin:
        asked = {"name": "bench", "role": "developer", "teams": fleet.teams[:5], "person": "dev"}
        token = admin.post("/api/v1/tokens", json=asked).raise_for_status().json()["token"]
        with client(bearer(token)) as developer, client({"Cookie": _session(on, fleet)}) as browser:
            yield Askers(developer, browser, admin)


def _session(on: Stage, fleet: Fleet) -> str:
    """The cookie of somebody who has signed in; there is no identity provider here."""
    secret, now = sessions.new_secret(), datetime.now(UTC)
    with on.postgres.connect() as connection:
        connection.execute(
            "INSERT INTO gateway.sessions (digest, id, issuer, subject, person, role, teams, created_at, used_at,"
            " expires_at) VALUES (%s, 'bench', 'bench', 'dev', 'dev', 'developer', %s, %s, %s, %s)",
            (sessions.digest(secret), fleet.teams[:5], now, now, now + timedelta(hours=8)),
        )
    return f"{cookies.SESSION}={secret.get_secret_value()}"

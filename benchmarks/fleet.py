"""Environments as a company would have them, by the thousand, and their way into the catalog's tables: as folding would
have left them, and a hundred times as fast.
"""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import psycopg

from contracts.queries import DeploymentView, EnvironmentView, Rate, RunningState, RunView, StepView
from contracts.values import (
    Database,
    EnvironmentSpec,
    HourlyPrice,
    Infrastructure,
    Kind,
    Owner,
    Pipeline,
    Resource,
    Secrets,
)
from services.catalog.domain.finding import entry
from services.catalog.domain.signals import Facts
from services.catalog.domain.steps import STEPS

_TEAMS: Final = 100
_PEOPLE_OF_A_TEAM: Final = 8
_PAGE: Final = 2_000
_KINDS: Final[tuple[Kind, ...]] = ("production", "staging", "preview", "preview", "preview", "preview")
"""Of one repository."""
WORDS: Final = (
    "orders",
    "billing",
    "search",
    "users",
    "stock",
    "mail",
    "cart",
    "price",
    "geo",
    "tax",
    "auth",
    "media",
    "report",
    "ledger",
    "quota",
    "fraud",
    "chat",
    "feed",
    "maps",
    "sync",
)
_INDEXES: Final = """
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = 'catalog' AND tablename IN ('directory', 'runs') AND indexdef NOT LIKE 'CREATE UNIQUE%'
"""
_DIRECTORY: Final = (
    "name, incarnation, team, person, kind, golden_path, state, repository, branch, created_at, updated_at, expires_at,"
    " last_activity_at, cost_per_month, grantees, depends_on, running, deployment"
)


class Fleet:
    """Environments as a company of this size would have them, the same for the same number."""

    def __init__(self, size: int, seed: int = 7) -> None:
        self.size = size
        self._random = random.Random(seed)  # noqa: S311 - a sample, not a secret
        self.now = datetime.now(UTC)
        self.teams = [f"team-{number:03}" for number in range(_TEAMS)]
        self._paths = ("nodejs-api", "worker", "frontend")

    def name(self, number: int) -> str:
        """The name of one of them."""
        word = WORDS[number % len(WORDS)]
        return f"{word}-{('api', 'web', 'jobs')[number % 3]}-{number:06}"

    def team_of(self, number: int) -> str:
        """Whose it is."""
        return self.teams[number * 31 % _TEAMS]

    def person_of(self, number: int) -> str:
        """Who asked for it."""
        return f"{self.team_of(number)}.dev-{number // _TEAMS % _PEOPLE_OF_A_TEAM}"

    def view(self, number: int) -> EnvironmentView:
        """One of them."""
        pick, name = self._random, self.name(number)
        kind = _KINDS[number % len(_KINDS)]
        state = pick.choices(("ready", "creating", "updating", "failed", "deleted"), (70, 1, 1, 3, 25))[0]
        created = self.now - timedelta(days=pick.uniform(0, 25))
        identity = UUID(int=number + 1)
        # Now and then somebody makes a second one of the same branch.
        branch = "main" if kind != "preview" else f"feature/{number - (number % 500 == 4)}"
        depends_on = (self.name(number // 2),) if number % 5 == 0 and number > 1 else None
        spec = EnvironmentSpec(
            name=name,
            kind=kind,
            golden_path=self._paths[number % 3],
            golden_path_version="1.0.0",
            owner=Owner(person=self.person_of(number), team=self.team_of(number)),
            repository=f"acme/{WORDS[number // len(_KINDS) % len(WORDS)]}-{number // len(_KINDS)}",
            branch=branch,
            parameters={"instances": 1, "database": True, "memory_mb": 256},
            expires_at=created + timedelta(days=30) if kind == "preview" else None,
            depends_on=depends_on,
        )
        price = HourlyPrice(currency="USD", per_hour=Decimal(number % 90) / 1000)
        exists = state in {"ready", "updating"}
        return EnvironmentView(
            name=name,
            incarnation=identity,
            state=state,
            spec=spec,
            created_at=created,
            updated_at=created + timedelta(seconds=3),
            ready_at=created + timedelta(seconds=3) if exists else None,
            infrastructure=infrastructure(name) if exists else None,
            secrets=secrets(name) if exists else None,
            pipeline=pipeline(name, branch) if exists else None,
            expires_at=spec.expires_at,
            last_activity_at=created,
            asked_price=price,
            rates=(Rate(since=created + timedelta(seconds=3), price=price),) if exists else (),
            run_id=identity,
            version=5,
            last_sequence=number * 5 + 5,
        )

    def running(self) -> RunningState:
        """How one of them is."""
        states: tuple[RunningState, ...] = ("healthy", "degraded", "down", "unknown")
        return self._random.choices(states, (90, 4, 1, 5))[0]


def load(connection: psycopg.Connection[Any], fleet: Fleet) -> None:
    """Put them into the catalog's tables, as folding would have left them."""
    connection.execute("SET search_path = catalog")
    connection.execute("SET maintenance_work_mem = '256MB'")
    indexes = connection.execute(_INDEXES).fetchall()
    for name, _ in indexes:  # made again at the end: one by one, rows would take ten times as long
        connection.execute(f"DROP INDEX {name}")
    for first in range(0, fleet.size, _PAGE):
        views = [fleet.view(number) for number in range(first, min(first + _PAGE, fleet.size))]
        _copy(
            connection,
            "environments (name, team, state, golden_path, run_id, requested_at, sequence, document)",
            (
                (v.name, v.spec.owner.team, v.state, v.spec.golden_path, v.run_id, v.created_at, v.last_sequence,
                 v.model_dump_json())
                for v in views
            ),
        )  # fmt: skip
        _copy(
            connection,
            "runs (id, environment, team, golden_path, state, requested_at, ended_at, stalled, sequence, document)",
            ((*_run_row(run), run.model_dump_json()) for run in map(_run, views)),
        )
        known = {v.name: fleet.running() for v in views if v.state == "ready"}
        _copy(
            connection,
            "facts (name, incarnation, document)",
            ((v.name, v.incarnation, _facts(v, known[v.name])) for v in views if v.name in known),
        )
        _copy(connection, f"directory ({_DIRECTORY})", (_entry_row(v, known.get(v.name)) for v in views))
    for _, definition in indexes:
        connection.execute(definition)
    for table in ("environments", "runs", "facts", "directory", "directory_counts", "directory_twins"):
        connection.execute(f"VACUUM (ANALYZE) {table}")


def _entry_row(view: EnvironmentView, running: RunningState | None) -> tuple[Any, ...]:
    found = entry(view)
    return (
        found.name,
        found.incarnation,
        found.team,
        found.person,
        found.kind,
        found.golden_path,
        found.state,
        found.repository,
        found.branch,
        found.created_at,
        found.updated_at,
        found.expires_at or "infinity",
        found.last_activity_at,
        found.cost_per_month,
        list(found.grantees),
        list(found.depends_on),
        running or "unknown",
        "deployed" if running else "none",
    )


def _facts(view: EnvironmentView, running: RunningState) -> str:
    deployment = DeploymentView(
        deployment_id=view.name,
        state="deployed",
        commit="0123456789abcdef0123456789abcdef01234567",
        branch=view.spec.branch,
        author=view.spec.owner.person,
        at=view.created_at,
        duration_seconds=12.5,
        log_url=f"https://ci.example.com/{view.name}",
    )
    return Facts(
        name=view.name,
        incarnation=view.incarnation,
        last_deployment=deployment,
        last_successful_deployment=deployment,
        running=running,
        running_since=view.created_at,
        last_activity_at=view.created_at,
    ).model_dump_json()


def _run(view: EnvironmentView) -> RunView:
    return RunView(
        id=view.run_id,
        environment=view.name,
        incarnation=view.incarnation,
        kind="create",
        state="succeeded",
        requested_by=view.spec.owner.person,
        team=view.spec.owner.team,
        golden_path=view.spec.golden_path,
        requested_at=view.created_at,
        ended_at=view.updated_at,
        steps=tuple(StepView(step=step, state="succeeded") for step in STEPS),
        last_event_at=view.updated_at,
        last_sequence=view.last_sequence,
    )


def _run_row(run: RunView) -> tuple[Any, ...]:
    return (
        run.id,
        run.environment,
        run.team,
        run.golden_path,
        run.state,
        run.requested_at,
        run.ended_at,
        False,
        run.last_sequence,
    )


def _copy(connection: psycopg.Connection[Any], into: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def infrastructure(name: str) -> Infrastructure:
    """What Terraform makes for it."""
    schema = f"env_{name.replace('-', '_')}"
    return Infrastructure(
        url=f"http://{name}.slipway.localhost:8015",
        hostname=f"{name}.slipway.localhost",
        namespace=name,
        database=Database(host="127.0.0.1", port=8012, database="apps", schema_name=schema, owner_role=schema),
        resources=tuple(
            Resource(kind=kind, id=f"{kind}/{name}") for kind in ("database", "dns_record", "namespace", "route")
        ),
        commit="0123456789abcdef0123456789abcdef01234567",
    )


def secrets(name: str) -> Secrets:
    """Where its secrets are."""
    return Secrets(
        kv_path=f"env/{name}/app",
        kv_version=1,
        names=("APP_SECRET", "SESSION_KEY"),
        database_role=f"env-{name}",
        policy=f"env-{name}",
        workload_role=f"env-{name}",
        access_group=f"env:{name}:developer",
    )


def pipeline(name: str, branch: str) -> Pipeline:
    """What deploys it."""
    return Pipeline(
        repository=f"acme/{name}",
        repository_id=1,
        html_url=f"http://forge.localhost/acme/{name}",
        clone_url=f"http://forge.localhost/acme/{name}.git",
        branch=branch,
        workflow_path=".github/workflows/deploy.yml",
        commit="89abcdef0123456789abcdef0123456789abcdef",
        origin="created",
    )

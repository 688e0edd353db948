"""Towns to look at: nothing, one environment in each state, five hundred."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid4

from contracts.deployments import ReleaseOrder
from contracts.events import AccessChange, AccessGranted, Drift, DriftDetected
from contracts.insights import AuditEntry, AuditPage, Delivery, Insights, Period, Spread, StepSpread
from contracts.queries import CostView, DeploymentView
from contracts.step_log import Waiting
from contracts.values import Resource
from services.gateway.handlers.settling import Answered
from services.gateway.ports import TraceSpan
from tests.browser import office
from tests.browser.office import HOOK, LONG, REHEARSED, ROLLOUT
from tests.browser.stack import STEPS, Stack, begin, fail, make, step, write
from tests.unit.gateway.rig import end, path

HEALTHS: Final = ("healthy", "degraded", "down", "unknown")


def pages(runs: dict[str, UUID]) -> dict[str, str]:
    """Every page there is, by a name for its picture."""
    found = {
        "home": "/",
        "catalogue": "/environments",
        "catalogue-nothing-matches": "/environments?q=zzzzz",
        "create": "/create",
        "create-form": "/create/nodejs-api",
        "runs": "/runs",
        "runs-nothing-matches": "/runs?state=undoing&by=me&golden_path=worker",
        "golden-paths": "/golden-paths",
        "golden-path": "/golden-paths/nodejs-api",
        "graph": "/graph",
        "insights": "/insights",
        "audit": "/audit",
        "feedback": "/feedback",
        "notifications": "/notifications",
        "webhooks": "/webhooks",
        "tokens": "/tokens",
        "rollouts": "/rollouts",
        "rollout-form": "/rollouts/new?golden_path=nodejs-api",
        "not-there": "/environments/not-there",
    }
    if runs:
        for name in ("demo-api", LONG, "broken-api", "busy-api"):
            found[f"environment-{name}"] = f"/environments/{name}"
        for tab in ("deployments", "logs", "resources", "secrets", "access", "graph", "drift", "change", "delete"):
            found[f"environment-{tab}"] = f"/environments/demo-api/{tab}"
        found["graph-of-one"] = "/graph?environment=demo-api"
        for name, run in runs.items():
            found[f"run-{name}"] = f"/runs/{run}"
        found["webhook"] = f"/webhooks/{HOOK}"
        for name, rollout in (("rollout-under-way", ROLLOUT), ("rollout-rehearsed", REHEARSED)):
            found[name] = f"/rollouts/{rollout}"
        found["log-busy"] = f"/runs/{runs['busy']}/log"
        found["trace"] = f"/runs/{runs['demo-api']}/trace"
    return found


async def nothing(stack: Stack) -> dict[str, UUID]:
    """A platform on its first day."""
    return {}


async def a_few(stack: Stack) -> dict[str, UUID]:
    """One environment in each state, one with everything that can be known of it; their runs by name."""
    stack.clock.moved = timedelta(days=-3)
    kept = await make(stack, "demo-api")
    _know_everything(stack, kept)
    await _deploy(stack, "demo-api", "0" * 7, b"first")
    await _deploy(stack, "demo-api", "1" * 7, b"broken")
    await _deploy(stack, "demo-api", "2" * 7, b"second")
    await make(stack, LONG, branch="feature/a-branch-whose-name-is-long-enough-to-wrap", seconds=75)
    ledger = await make(stack, "ledger", person="bob", seconds=30)
    stack.facts |= {
        "ledger": {
            "running": "down",
            "running_reason": "No connection to the database.",
            "deployment": "failed",
            "spec": ledger.request.run.spec.model_copy(update={"golden_path_version": "0.9.0"}),
        }
    }
    broken = await fail(stack, "broken-api", branch="feature/x")
    stack.clock.moved = timedelta(seconds=-20)
    busy = await begin(stack, "busy-api")
    write(stack, busy, "infrastructure", "terraform init")
    write(stack, busy, "infrastructure", "terraform apply: slipway_database.this: Creation complete after 2s")
    step(stack, busy, "infrastructure")
    retry_at = stack.clock.now() + timedelta(seconds=600)
    waiting = Waiting(attempt=1, attempts=5, retry_at=retry_at)
    write(stack, busy, "secrets", "OpenBao does not answer", level="warning", waiting=waiting)
    stack.clock.moved = timedelta()
    _tell_the_year(stack)
    await office.say(stack)
    office.notify(stack)
    office.roll_out(stack)
    return {name: one.request.event_id for name, one in (("demo-api", kept), ("broken", broken), ("busy", busy))}


async def _deploy(stack: Stack, name: str, commit: str, release: bytes) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield release

    runtime = stack.rig.runtime
    assert runtime is not None
    order = ReleaseOrder(
        deployment_id=f"deploy-{commit}", commit=commit, branch="main", author="ada", runtime=path().runtime
    )
    await runtime.deploy(name, order, content())


def _know_everything(stack: Stack, kept: Answered) -> None:
    request, now = kept.request, stack.clock.now()
    log, later = stack.rig.log, uuid4()
    grant = AccessChange(requested_by="ada", role="developer", team="search")
    log.say(AccessGranted, "demo-api", grant, run_id=later, incarnation=request.incarnation)
    drift = Drift(spec=request.run.spec, differing=(Resource(kind="database", id="apps/env_demo_api"),))
    log.say(DriftDetected, "demo-api", drift, run_id=later, incarnation=request.incarnation)
    deployed = DeploymentView(
        deployment_id="7", state="deployed", commit="89abcdef01234567", branch="main", author="ada", at=now
    )
    stack.facts["demo-api"] = {
        "running": "healthy",
        "running_since": now,
        "deployment": "deployed",
        "last_deployment": deployed,
        "cost": CostView(
            currency="USD", per_hour=Decimal("0.0152"), per_month=Decimal("11.10"), so_far=Decimal("1.07")
        ),
        "drift": drift.differing,
        "drift_detected_at": now,
        "spec": request.run.spec.model_copy(update={"depends_on": ("ledger", "gone-api")}),
    }
    begun = int(now.timestamp() * 1e6)
    trace_id = f"{7:032x}"
    spans = (
        TraceSpan("a", None, "gateway", "POST /api/v1/environments", begun, 12_000_000, failed=False),
        TraceSpan("b", "a", "provisioner", "provision", begun + 200_000, 6_000_000, failed=False),
        TraceSpan("c", "b", "provisioner", "terraform apply", begun + 900_000, 5_000_000, failed=False),
        TraceSpan("d", "a", "secrets", "store", begun + 6_300_000, 2_000_000, failed=True),
        TraceSpan("e", "a", "cicd", "create pipeline", begun + 8_400_000, 3_400_000, failed=False),
    )
    stack.traces.kept[trace_id] = spans
    fold = log._runs

    def traced(min_sequence: int) -> dict[UUID, object]:
        return {
            run_id: run.model_copy(update={"trace_id": trace_id}) if run_id == request.event_id else run
            for run_id, run in fold(min_sequence).items()
        }

    log._runs = traced  # type: ignore[method-assign, assignment]


def _tell_the_year(stack: Stack) -> None:
    now = stack.clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    periods = []
    for back in range(5, -1, -1):
        start = (now - timedelta(days=30 * back)).replace(day=1)
        creation = Spread(count=40 - back, mean_seconds=20 + 4 * back, p50_seconds=18 + 3 * back, p90_seconds=60)
        periods.append(
            Period(
                start=start,
                end=start + timedelta(days=30),
                creation=creation,
                steps=tuple(StepSpread(step=one, **creation.model_dump()) for one in STEPS),
                runs_succeeded=80 - 3 * back,
                runs_failed=2 + back,
                runs_retried=back,
                expired=7,
                saved_per_month=81.5,
                first_deployment=Spread(count=3, mean_seconds=5400, p50_seconds=4200 - 300 * back, p90_seconds=9000),
                delivery=Delivery(
                    succeeded=90, failed=4, per_day=3.1 - back / 3, lead_time=creation, failure_rate=0.04
                ),
                tickets=2 * back,
                satisfaction=4.4 - back / 10 if back < 4 else None,
                answers=12,
            )
        )
    stack.rig.chronicle.found = Insights(periods=tuple(periods))
    stack.rig.chronicle.entries = AuditPage(
        items=tuple(
            AuditEntry(
                sequence=100 - number,
                time=stack.clock.now() - timedelta(minutes=7 * number),
                action=action,
                environment=environment,
                team="payments",
                person=person,
                detail=detail,
                run_id=UUID(int=number + 1),
            )
            for number, (action, environment, person, detail) in enumerate(
                (
                    ("environment_requested", "busy-api", "ada", ""),
                    ("access_requested", "demo-api", "ada", "developer for team search"),
                    ("environment_extended", LONG, None, "until 2026-12-01T00:00:00Z"),
                    ("drift_detected", "demo-api", None, "database apps/env_demo_api"),
                )
            )
        ),
        next_before=12,
    )


async def five_hundred(stack: Stack) -> dict[str, UUID]:
    """As many as a company of some size has."""
    runs = await a_few(stack)
    for number in range(495):
        stack.clock.moved = timedelta(days=-(number % 25), minutes=-number)
        kind = ("preview", "preview", "preview", "staging", "production")[number % 5]
        path = ("nodejs-api", "worker", "frontend")[number % 3]
        name = f"service-{number:03d}" if number % 7 else f"the-{number:03d}-service-with-a-very-long-name-42"[:40]
        answered = await begin(
            stack,
            name,
            person=("ada", "bob", "eve")[number % 3],
            kind=kind,
            golden_path=path,
            repository=f"acme/r{number}",
        )
        if number % 9:
            end(stack.rig, answered, "ready" if number % 4 else "failed")
        stack.facts[name] = {
            "running": HEALTHS[number % 4],
            "deployment": ("deployed", "failed", "none", "deploying", "queued")[number % 5],
            "cost": CostView(currency="USD", per_month=Decimal(number) / 7),
        }
    stack.clock.moved = timedelta()
    return runs


TOWNS: Final[dict[str, Callable[[Stack], object]]] = {"nothing": nothing, "a few": a_few, "five hundred": five_hundred}

"""What the gateway says of one environment, in the shapes of its API."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.cli.scripted import TRACE_ID, Scripted, ScriptedGateway, frame

Json = dict[str, Any]

NAME = "demo-api"
RUN_ID = "321f6223-1bb2-8f9b-a4be-02873e2ef93c"
URL = f"http://{NAME}.slipway.localhost:8015"
BEGUN = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
FAILURE = {
    "step": "pipeline", "code": "forge_refused", "message": "the forge answered 422",
    "next_step": "Choose another name.", "attempts": 3,
}  # fmt: skip
LEFT = {"kind": "repository", "id": "acme/demo-api", "reason": "it holds commits that Slipway did not make"}


def at(seconds: float) -> str:
    """An instant of the story."""
    return (BEGUN + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def environment(name: str = NAME, state: str = "ready", **more: Any) -> Json:
    """An environment as `GET /environments/{name}` answers it."""
    ready = state == "ready"
    known: Json = {
        "name": name, "incarnation": RUN_ID, "state": state, "running": "unknown", "kind": "preview",
        "golden_path": "nodejs-api", "golden_path_version": "1.0.0", "owner": {"person": "ann", "team": "payments"},
        "repository": f"acme/{name}", "branch": "main", "parameters": {"database": True, "instances": 1},
        "expires_at": (datetime.now(UTC) + timedelta(days=7)).isoformat(), "created_at": at(0), "updated_at": at(3),
        "ready_at": at(3) if ready else None, "url": f"http://{name}.slipway.localhost:8015" if ready else None,
        "hostname": f"{name}.slipway.localhost" if ready else None,
        "infrastructure": {
            "namespace": name, "commit": "a" * 40,
            "database": {
                "host": "127.0.0.1", "port": 8012, "database": "apps", "schema_name": "env_demo_api",
                "owner_role": "env_demo_api",
            },
            "resources": [{"kind": "database", "id": "apps/env_demo_api"}, {"kind": "route", "id": f"env-{name}"}],
        } if ready else None,
        "secrets": {
            "path": f"kv/env/{name}/app", "version": 1, "names": ["APP_SECRET", "SESSION_KEY"],
            "database_role": f"env-{name}", "access_group": f"env:{name}:developer",
        } if ready else None,
        "pipeline": {
            "repository_url": f"http://127.0.0.1:8018/acme/{name}",
            "clone_url": f"http://127.0.0.1:8018/acme/{name}.git", "branch": "main",
            "workflow_path": f".github/workflows/slipway-{name}.yml", "commit": "b" * 40, "origin": "created",
            "pull_request_url": None,
        } if ready else None,
        "failure": None, "left_behind": [], "run_id": RUN_ID,
        "links": {"self": f"/api/v1/environments/{name}", "page": f"http://portal.example/environments/{name}"},
    }  # fmt: skip
    return known | more


def run(kind: str = "create", state: str = "succeeded", **more: Any) -> Json:
    """A run as `GET /runs/{id}` answers it."""
    known: Json = {
        "id": RUN_ID, "environment": NAME, "kind": kind, "state": state, "requested_by": "ann", "team": "payments",
        "golden_path": "nodejs-api", "requested_at": at(0), "ended_at": at(3) if state != "running" else None,
        "steps": [], "failure": None, "created": [], "undone": [], "left_behind": [], "stalled_since": None,
        "trace_id": TRACE_ID,
        "links": {
            "self": f"/api/v1/runs/{RUN_ID}", "page": f"http://portal.example/runs/{RUN_ID}",
            "trace": f"http://traces.example/trace/{TRACE_ID}",
        },
    }  # fmt: skip
    return known | more


def accepted(kind: str = "create") -> Json:
    """The 202 to a request that begins a run."""
    return {
        "environment": {"name": NAME, "state": "creating"},
        "run": {"id": RUN_ID, "kind": kind, "environment": NAME, "requested_at": at(0)},
        "links": {},
        "trace_id": TRACE_ID,
    }


def step(sequence: int, seconds: float, **states: str) -> str:
    """A `step` message: what changed."""
    steps = [{"step": name, "state": state} for name, state in states.items()]
    data = {"sequence": sequence, "event": "infra_ready", "time": at(seconds), "steps": steps, "failure": None}
    return frame("step", f"{sequence}-0", data)


def log(sequence: int, number: int, text: str, step: str = "infrastructure", **more: Any) -> str:
    """A `log` message."""
    data = {"step": step, "time": at(1), "level": "info", "text": text, "waiting": None} | more
    return frame("log", f"{sequence}-{number}", data)


def verdict(state: str = "succeeded", **more: Any) -> str:
    """The last message."""
    data = {
        "sequence": 9, "event": "environment_ready", "state": state, "time": at(3), "environment": NAME, "url": URL,
        "duration_seconds": 3.0, "failure": None, "undone": [], "left_behind": [], "trace_id": TRACE_ID,
    } | more  # fmt: skip
    return frame("verdict", "9-9", data)


CREATION = (
    step(1, 0, infrastructure="running"),
    log(1, 1, "Plan: 4 to add, 0 to change, 0 to destroy."),
    step(2, 2, infrastructure="succeeded", secrets="running"),
    step(3, 2.5, secrets="succeeded", pipeline="running"),
    step(4, 3, pipeline="succeeded"),
    verdict(),
)
"""A creation that goes well."""
FAILED_CREATION = (
    *CREATION[:4],
    frame(
        "step",
        "4-0",
        {
            "sequence": 4,
            "event": "pipeline_failed",
            "time": at(3),
            "steps": [{"step": "pipeline", "state": "failed"}, {"step": "secrets", "state": "undoing"}],
            "failure": FAILURE,
        },
    ),
    step(5, 3.5, secrets="undone", infrastructure="undoing"),
    step(6, 4, infrastructure="undone"),
    verdict(
        "failed",
        event="environment_failed",
        url=None,
        failure=FAILURE,
        undone=[{"kind": "database", "id": "apps/env_demo_api"}],
        left_behind=[LEFT],
    ),
)
"""A creation that fails at its last step and is undone."""

GOLDEN_PATH: Json = {
    "name": "nodejs-api", "version": "1.0.0", "title": "Node.js API", "description": "An HTTP API.",
    "owner": "platform", "language": "nodejs", "runtime_version": "20", "kinds": ["preview", "production"],
    "default_kind": "preview", "default_branch": "main", "time_to_live": {"preview": {"days": 7, "max_days": 30}},
    "forms": {
        kind: {"properties": {"instances": {"type": "integer", "default": default, "minimum": 1, "maximum": 10,
                                            "description": "How many copies of the application run."}}}
        for kind, default in (("preview", 1), ("production", 2))
    },
    "cost": {"currency": "USD", "per_hour": {"preview": "0.0152", "production": "0.0256"}},
    "usual_duration_seconds": 30,
    "durations": [
        {"step": "infrastructure", "count": 8, "p50_seconds": 0.8, "p90_seconds": 2.0},
        {"step": "total", "count": 8, "p50_seconds": 1.2, "p90_seconds": 3.4},
    ],
    "links": {"self": "/api/v1/golden-paths/nodejs-api"},
}  # fmt: skip


def plan(*changes: tuple[str, str, str], **more: Any) -> Json:
    """A plan as the API answers it; a change is (action, kind, id)."""
    counts = {action: sum(one[0] == action for one in changes) for action in ("create", "update", "replace", "destroy")}
    known: Json = {
        "environment": NAME,
        "changes": [
            {"action": action, "resource": {"kind": kind, "id": id_}, "detail": "labels" if action == "update" else "",
             "loses_data": kind == "database" and action in {"replace", "destroy"}}
            for action, kind, id_ in changes
        ],
        "counts": counts, "hash": PLAN_HASH,
        "spec": {"name": NAME, "kind": "preview", "golden_path": "nodejs-api", "golden_path_version": "1.0.0"},
        "cost": {"currency": "USD", "per_hour": "0.0152", "per_month": "11.10"},
        "expected": {"p50_seconds": 1.2, "p90_seconds": 3.4, "measured": True},
        "quota": {
            "environments": {"scope": "payments", "used": "3", "limit": "10", "left": "7"},
            "cost_per_month": {"scope": "payments", "used": "31.00", "limit": None, "left": None},
        },
        "warnings": [],
    }  # fmt: skip
    return known | more


PLAN_HASH = "c" * 64
LOSS = ("destroy", "database", "apps/env_demo_api")
"""A change that destroys data."""


def tell(gateway: ScriptedGateway, *streams: Scripted, kind: str = "create", state: str = "succeeded") -> None:
    """Script a whole run of `demo-api`: the request, its stream (one connection after the other), and its end."""
    after = {"create": "ready" if state == "succeeded" else "failed", "update": "ready", "delete": "deleted"}[kind]
    gateway.on("POST", "/api/v1/environments", accepted())
    gateway.on("DELETE", f"/api/v1/environments/{NAME}", accepted("delete"))
    gateway.on("PATCH", f"/api/v1/environments/{NAME}", accepted("update"))
    for verb in ("upgrade", "repair"):
        gateway.on("POST", f"/api/v1/environments/{NAME}:{verb}", accepted("update"))
    gateway.on("GET", "/api/v1/golden-paths/nodejs-api", GOLDEN_PATH)
    gateway.on("GET", f"/api/v1/runs/{RUN_ID}/stream", *streams)
    gateway.on("GET", f"/api/v1/runs/{RUN_ID}", run(kind, state))
    gateway.on("GET", f"/api/v1/environments/{NAME}", environment(state=after))

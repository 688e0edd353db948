"""What somebody may do now with what they look at. The deeds themselves check it again; here it decides which buttons
there are."""

from dataclasses import dataclass

from contracts.golden_path import GoldenPath
from contracts.queries import EnvironmentView, RunView
from services.gateway.domain.changes import end_of, newer_version
from services.gateway.domain.obstacles import BUSY_STATES, GOING_FORWARD, exists
from services.gateway.domain.people import Principal, reaches


@dataclass(frozen=True)
class Abilities:
    """What may be done with one environment."""

    extend: bool
    keep: bool
    let_go: bool
    change: bool
    upgrade: bool
    repair: bool
    share: bool
    delete: bool


def of_environment(principal: Principal, view: EnvironmentView, path: GoldenPath | None) -> Abilities:
    """What this person may do with this environment; `path` is its golden path, where it is on offer."""
    role = principal.role_in(view) or "viewer"
    is_developer, is_admin = reaches(role, "developer"), reaches(role, "admin") and principal.role != "viewer"
    lives = view.state not in {"deleting", "deleted"}
    is_free = view.state not in BUSY_STATES and view.state != "deleted"
    has_end = end_of(view) is not None
    can_change = is_developer and is_free and exists(view)
    return Abilities(
        extend=is_developer and lives and has_end,
        keep=is_developer and lives and has_end,
        let_go=is_developer and lives and view.kept_because is not None,
        change=can_change and path is not None,
        upgrade=can_change and newer_version(view.spec, path) is not None,
        repair=can_change and bool(view.drift),
        share=is_admin and lives,
        delete=is_admin and is_free,
    )


@dataclass(frozen=True)
class RunAbilities:
    """What may be done with one run."""

    cancel: bool
    retry: bool
    start_over: bool


def of_run(principal: Principal, run: RunView, view: EnvironmentView | None) -> RunAbilities:
    """What this person may do with this run; `view` is its environment, where they see it."""
    role = principal.role_in(view) if view is not None else None
    if view is None or role is None or not reaches(role, "developer"):
        return RunAbilities(cancel=False, retry=False, start_over=False)
    is_latest = view.run_id == run.id
    has_failed = run.state == "failed"
    under_way = is_latest and run.ended_at is None and view.state in GOING_FORWARD
    return RunAbilities(
        cancel=under_way and run.called_off_by is None,
        retry=has_failed and is_latest and view.state not in BUSY_STATES,
        start_over=has_failed and run.kind == "create",
    )

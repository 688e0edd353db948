"""What runs are found by, for the twin: the rule that Postgres carries out. Pure."""

from contracts.queries import FindRuns, RunView


def keeps_run(query: FindRuns, run: RunView, *, any_state: bool = False) -> bool:
    """Whether a run keeps every condition on itself; `any_state` leaves out that on its state."""
    return (
        query.environment in {None, run.environment}
        and (query.name_contains or "") in run.environment
        and (any_state or query.state in {None, run.state})
        and query.kind in {None, run.kind}
        and query.golden_path in {None, run.golden_path}
        and query.person in {None, run.requested_by}
        and (query.since is None or run.requested_at >= query.since)
        and (query.until is None or run.requested_at < query.until)
    )

"""What the catalog finds, for the twin of it: the same conditions, orders and counts, over views in memory."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, get_args

from contracts.queries import (
    RUNS_COUNTED,
    EnvironmentOrder,
    Environments,
    EnvironmentView,
    FacetCount,
    Facets,
    FindEnvironments,
    FindRuns,
    GrantedTo,
    Graph,
    Runs,
    RunState,
    RunView,
)

_FACETS: Final = tuple(Facets.model_fields)


def found(question: FindEnvironments, views: Mapping[str, EnvironmentView], now: datetime) -> Environments:
    """The answer to a question."""
    twins = Counter(_place(view) for view in views.values() if view.state != "deleted")
    seen = [
        view
        for view in views.values()
        if is_visible(view, question.teams, question.granted_to)
        and (not question.duplicates or twins[_place(view)] > 1)
    ]
    kept = [view for view in seen if _keeps(question, view, now)]
    kept.sort(key=lambda view: _key(question.sort, view), reverse=question.descending)
    names = [view.name for view in kept]
    first = names.index(question.after) + 1 if question.after is not None else 0
    items = tuple(kept[first : first + question.limit])
    return Environments(
        items=items,
        total=len(kept),
        next_cursor=items[-1].name if len(kept) > first + len(items) else None,
        facets=_facets(question, seen, now) if question.facets else None,
    )


def connected(name: str, views: Mapping[str, EnvironmentView]) -> Graph:
    """An environment and whatever is connected with it."""
    living = {name: view for name, view in views.items() if view.state != "deleted"}
    needs = {one: set(view.spec.depends_on or ()) for one, view in living.items()}
    needed = {one: {other for other in needs if one in needs[other]} for one in living}
    names = (_reached(name, needs) | _reached(name, needed)) & living.keys()
    return Graph(environments=tuple(living[one] for one in sorted(names, key=lambda one: (one != name, one))))


def found_runs(question: FindRuns, seen: Sequence[RunView]) -> Runs:
    """The answer to a question about runs, of those that somebody sees, the newest first."""
    kept = [run for run in seen if _keeps_run(question, run)]
    items = [
        run
        for run in kept
        if question.state in {None, run.state}
        and (question.before_sequence is None or run.last_sequence < question.before_sequence)
    ]
    states = Counter(run.state for run in kept)
    counts = tuple(FacetCount(value=state, count=min(states[state], RUNS_COUNTED)) for state in get_args(RunState))
    return Runs(items=tuple(items[: question.limit]), states=counts if question.counts else ())


def _keeps_run(question: FindRuns, run: RunView) -> bool:
    return (
        question.environment in {None, run.environment}
        and (question.name_contains or "") in run.environment
        and question.kind in {None, run.kind}
        and question.golden_path in {None, run.golden_path}
        and question.person in {None, run.requested_by}
        and (question.since is None or run.requested_at >= question.since)
        and (question.until is None or run.requested_at < question.until)
    )


def is_visible(view: EnvironmentView, teams: Collection[str] | None, granted_to: GrantedTo | None) -> bool:
    """Whether somebody of these teams sees an environment."""
    if teams is None or view.spec.owner.team in teams:
        return True
    return granted_to is not None and any(
        grant.person == granted_to.person if grant.person is not None else grant.team in granted_to.teams
        for grant in view.access
    )


def _keeps(question: FindEnvironments, view: EnvironmentView, now: datetime, but: str = "") -> bool:
    spec, idle = view.spec, question.forgotten_days
    return (
        (question.include_deleted or question.state == "deleted" or view.state != "deleted")
        and all(getattr(question, one) in {None, _value(view, one)} for one in _FACETS if one != but)
        and question.person in {None, spec.owner.person}
        and question.repository in {None, spec.repository}
        and question.branch in {None, spec.branch}
        and (question.name_contains or "") in view.name
        and (idle is None or _is_forgotten(view, now - timedelta(days=idle)))
    )


def _is_forgotten(view: EnvironmentView, since: datetime) -> bool:
    touched = view.last_activity_at or view.created_at
    return view.state == "ready" and view.spec.kind != "production" and touched < since


def _value(view: EnvironmentView, facet: str) -> str:
    spec = view.spec
    values = {"team": spec.owner.team, "kind": spec.kind, "golden_path": spec.golden_path}
    return values.get(facet) or str(getattr(view, facet))


def _key(order: EnvironmentOrder, view: EnvironmentView) -> tuple[str, str]:
    moments = {"expires_at": view.expires_at, "last_activity_at": view.last_activity_at or view.created_at}
    if order == "cost":
        return f"{view.cost.per_month if view.cost else 0:020}", view.name
    moment = moments.get(order) or (getattr(view, order) if order in {"created_at", "updated_at"} else None)
    return moment.isoformat() if moment is not None else "~" if order != "name" else "", view.name


def _facets(question: FindEnvironments, seen: Sequence[EnvironmentView], now: datetime) -> Facets:
    counts = {
        facet: Counter(_value(view, facet) for view in seen if _keeps(question, view, now, facet)) for facet in _FACETS
    }
    return Facets.model_validate(
        {
            facet: [
                FacetCount(value=value, count=number)
                for value, number in sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))
            ]
            for facet, counter in counts.items()
        }
    )


def _place(view: EnvironmentView) -> tuple[str, str, str, str | None]:
    return view.spec.repository, view.spec.branch, view.spec.kind, view.spec.path


def _reached(name: str, edges: Mapping[str, Collection[str]]) -> set[str]:
    reached, following = set[str](), {name}
    while following:
        reached |= following
        following = {to for one in following for to in edges.get(one, ())} - reached
    return reached

"""Another desired state for an environment that exists: what was asked over what there is. Pure.

Invariants
- A value that nobody speaks of stays as it is; only a new version of the golden path may bring new defaults.
- What comes out is complete, and every parameter in it keeps the rule of the manifest that it was checked against.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from pydantic import Field, JsonValue

from contracts.golden_path import GoldenPath
from contracts.names import BranchName, EnvironmentName, SemanticVersion
from contracts.parameters import ParameterError
from contracts.queries import EnvironmentView
from contracts.values import EnvironmentSpec
from services.gateway.domain.admission import Ask, DependsOn, PlanHash, broken_parameter, dependencies
from services.gateway.domain.refusals import BrokenRule, InvalidError

_GONE: Final = "cannot be checked: its golden path is not on offer any more"


class ChangeEnvironment(Ask):
    """What shall be another way; everything else stays."""

    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=30)
    """Merged over those there are; null is the golden path's default."""
    branch: BranchName | None = None
    golden_path_version: SemanticVersion | None = None
    plan: PlanHash | None = None
    """The hash of the plan that was agreed to."""
    depends_on: DependsOn | None = None
    """Other environments that it calls; an empty list is none."""


class ChangeNamedEnvironment(ChangeEnvironment):
    """The same for the bus; over HTTP the path names the environment."""

    name: EnvironmentName

    def change(self) -> ChangeEnvironment:
        """Without the name."""
        return ChangeEnvironment.model_validate(self.model_dump(exclude={"name"}))


class UpgradeEnvironment(Ask):
    """To the version on offer."""

    plan: PlanHash | None = None


def changed(view: EnvironmentView, ask: ChangeEnvironment, path: GoldenPath | None) -> EnvironmentSpec:
    """The desired state after `ask`. `path` is the golden path as it is on offer, None where it is not. Raises
    `InvalidError`."""
    before = view.spec
    version = ask.golden_path_version or before.golden_path_version
    if path is None and version != before.golden_path_version:
        raise InvalidError([BrokenRule("golden_path_version", _GONE)])
    if path is None and ask.parameters:
        raise InvalidError([BrokenRule("parameters", _GONE)])
    parameters, runtime = before.parameters, before.runtime
    if path is not None:
        if version not in {before.golden_path_version, path.version}:
            rule = f"must be {path.version}, the version on offer, or stay as it is"
            raise InvalidError([BrokenRule("golden_path_version", rule)])
        if version != before.golden_path_version:
            parameters, runtime = _carried_over(before, ask.parameters, path), path.runtime.in_force()
        parameters = parameters | _chosen(before, ask.parameters, path)
    return before.model_copy(
        update={
            "golden_path_version": version,
            "branch": ask.branch or before.branch,
            "parameters": parameters,
            "expires_at": end_of(view),
            "runtime": runtime,
            "depends_on": before.depends_on if ask.depends_on is None else dependencies(before.name, ask.depends_on),
        }
    )


def upgraded(view: EnvironmentView, path: GoldenPath | None) -> EnvironmentSpec:
    """The desired state on the version of the golden path that is on offer. Raises `InvalidError`."""
    if path is None:
        raise InvalidError([BrokenRule("golden_path_version", _GONE)])
    return changed(view, ChangeEnvironment(golden_path_version=path.version), path)


def newer_version(spec: EnvironmentSpec, path: GoldenPath | None) -> str | None:
    """The version of its golden path that an environment may be brought to; None where it has the newest."""
    if path is None or _order(path.version) <= _order(spec.golden_path_version):
        return None
    return path.version


def end_of(view: EnvironmentView) -> datetime | None:
    """When the environment's time is up, as it is now: what was extended or kept stays so."""
    if view.expires_at is not None or view.kept_because is not None:
        return view.expires_at
    return view.spec.expires_at


def _chosen(before: EnvironmentSpec, asked: Mapping[str, JsonValue], path: GoldenPath) -> dict[str, JsonValue]:
    """The values that were asked for, checked."""
    try:
        defaults = path.resolve(before.kind, {})
        wanted = {name: defaults.get(name) if value is None else value for name, value in asked.items()}
        resolved = path.resolve(before.kind, wanted)
    except ParameterError as error:
        raise broken_parameter(error) from error
    return {name: resolved[name] for name in wanted}


def _carried_over(before: EnvironmentSpec, asked: Mapping[str, JsonValue], path: GoldenPath) -> dict[str, JsonValue]:
    """The values of another version's parameters: what people may choose stays chosen, the rest is as the version says.
    A choice that the version does not allow any more is for a person to make anew."""
    kept = {
        name: before.parameters[name] for name in path.overridable if name in before.parameters and name not in asked
    }
    try:
        return dict(path.resolve(before.kind, kept))
    except ParameterError as error:
        raise broken_parameter(error) from error


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))

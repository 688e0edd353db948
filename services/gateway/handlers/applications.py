"""Applications: a manifest from a developer's repository, carried out as a new environment or as a change of one.

What a manifest leaves out is as the golden path has it when the environment is made, and stays as it is afterwards: a
line that is missing must not take a database away.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from contracts.application import Application, ApplicationError, Remark, Target, Translation, translate
from contracts.queries import EnvironmentView
from contracts.values import EnvironmentSpec
from services.gateway.domain.admission import CreateEnvironment, fingerprint
from services.gateway.domain.changes import ChangeEnvironment
from services.gateway.domain.obstacles import exists, same_wish
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import BrokenRule, InvalidError, UnknownThingError
from services.gateway.handlers.asking import Asking
from services.gateway.handlers.planning import Planned
from services.gateway.handlers.settling import Answered

Outcome = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True)
class Applied:
    """What became of a manifest: a run that was begun, or the environment as it is."""

    outcome: Outcome
    found: Answered | EnvironmentView
    warnings: Sequence[Remark] = ()


@dataclass(frozen=True)
class PlannedApplication:
    """What would become of a manifest."""

    outcome: Outcome
    planned: Planned
    warnings: Sequence[Remark] = ()


@dataclass(frozen=True)
class Applications:
    """Carries manifests out."""

    asking: Asking
    target: Target

    async def apply(
        self, principal: Principal, application: Application, key: str | None, *, plan: str | None = None
    ) -> Applied:
        """Make the environment that the manifest asks for, or change it into that; with `plan`, only if that is still
        the hash of its plan. Raises as `Asking`; `InvalidError` names the fields of the manifest."""
        principal.require("developer")
        said = {"plan": plan} if plan is not None else {}
        mark = fingerprint("apply", application.model_dump(mode="json") | said)
        earlier = await self.asking.settling.earlier(principal, key, mark)
        if earlier is not None:
            return Applied("created" if earlier.request.operation == "create" else "updated", earlier)
        wanted = await self._translated(application)
        warnings = (*wanted.warnings, *await self._missing(principal, wanted.depends_on or ()))
        view = await self._existing(principal, wanted.name)
        if view is None:
            answered = await self.asking.create(principal, _new(wanted, plan), key, mark=mark)
            return Applied("created", answered, warnings)
        change = _change(wanted, view.spec, plan)
        found = await self.asking.update(principal, wanted.name, change, key, mark=mark)
        return Applied("updated" if isinstance(found, Answered) else "unchanged", found, warnings)

    async def plan(self, principal: Principal, application: Application) -> PlannedApplication:
        """What carrying the manifest out would do. Raises as `apply`, and as `Planning`."""
        principal.require("developer")
        wanted = await self._translated(application)
        warnings = (*wanted.warnings, *await self._missing(principal, wanted.depends_on or ()))
        view = await self._existing(principal, wanted.name)
        if view is None:
            return PlannedApplication("created", await self.asking.planning.of_new(principal, _new(wanted)), warnings)
        found = await self.asking.planning.of_change(principal, wanted.name, _change(wanted, view.spec))
        outcome: Outcome = "unchanged" if same_wish(found.wish.spec, view.spec) else "updated"
        return PlannedApplication(outcome, found, warnings)

    async def _translated(self, application: Application) -> Translation:
        published = {path.name: path for path in await self.asking.wishing.golden_paths.all()}
        try:
            return translate(application, published, self.target)
        except ApplicationError as error:
            rules = [BrokenRule(one.field, f"{one.message}. {one.way_out}") for one in error.problems]
            raise InvalidError(rules) from error

    async def _existing(self, principal: Principal, name: str) -> EnvironmentView | None:
        """The environment of this name that the principal sees and that could be changed; None where there is none."""
        try:
            view = await self.asking.wishing.reading.environment(principal, name)
        except UnknownThingError:
            return None
        return view if exists(view) else None

    async def _missing(self, principal: Principal, names: Sequence[str]) -> list[Remark]:
        found = await asyncio.gather(*(self._existing(principal, name) for name in names))
        return [
            Remark("spec.dependsOn", f"{name} is no environment that you see; it must be there before it is called")
            for name, view in zip(names, found, strict=True)
            if view is None
        ]


def _new(wanted: Translation, plan: str | None = None) -> CreateEnvironment:
    return CreateEnvironment(
        name=wanted.name,
        golden_path=wanted.golden_path,
        repository=wanted.repository,
        branch=wanted.branch,
        path=wanted.path,
        kind=wanted.kind,
        parameters=dict(wanted.parameters),
        team=wanted.team,
        depends_on=list(wanted.depends_on or ()) or None,
        plan=plan,
    )


def _change(wanted: Translation, before: EnvironmentSpec, plan: str | None = None) -> ChangeEnvironment:
    """The change from what there is. Raises `InvalidError` for what an environment keeps for its whole life."""
    fixed = {
        "spec.goldenPath": (wanted.golden_path, before.golden_path),
        "spec.kind": (wanted.kind, before.kind),
        "spec.repository": (wanted.repository, before.repository),
        "spec.path": (wanted.path, before.path),
        "spec.team": (wanted.team, before.owner.team),
    }
    wrong = [
        BrokenRule(
            field,
            f"is {now or 'not set'} and stays so while the environment lives; delete it first, or use another name",
        )
        for field, (then, now) in fixed.items()
        if then not in {None, now}
    ]
    if wrong:
        raise InvalidError(wrong)
    named = list(wanted.depends_on) if wanted.depends_on is not None else None
    return ChangeEnvironment(branch=wanted.branch, parameters=dict(wanted.parameters), depends_on=named, plan=plan)

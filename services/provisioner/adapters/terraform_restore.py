"""The road back of an update: bring everything back to what was before, and tell what that did.

Invariants: only what the failed state had is removed; what holds data and was there before is never destroyed, even
where that keeps the rest from being restored; and a restore that is repeated after a kill tells the whole of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from chassis.failures import PermanentError, TransientError
from contracts.values import LeftBehind, Receipt, Resource
from services.provisioner.adapters.terraform import UNDER_WAY, TerraformRun
from services.provisioner.adapters.terraform_output import resource_of
from services.provisioner.adapters.terraform_plan import planned_addresses, planned_creations
from services.provisioner.adapters.terraform_workspace import mark, write
from services.provisioner.domain import DATA_KINDS
from services.provisioner.ports import Files, Line

_RECORD: Final = "restoring.json"
_PLAN: Final = "restore.tfplan"
_DATA_IS_GONE: Final = "It was gone and has been made anew; what it held is gone."


@dataclass(frozen=True)
class _Plan:
    """What a plan of the state before would do: the action by address, what each address is called, and all of it as
    Terraform shows it."""

    has_work: bool
    actions: Mapping[str, str]
    names: Mapping[str, Resource]
    shown: Mapping[str, Any]


class Restoration:
    """Takes one run back. `restore` may be called again, by another process, until it has returned."""

    def __init__(self, run: TerraformRun, run_id: str) -> None:
        """`run` works on the environment's own directory; `run_id` is the run that is taken back."""
        self._run = run
        self._run_id = run_id
        self._record = run.directory / _RECORD
        known: dict[str, Any] = json.loads(self._record.read_text(encoding="utf-8")) if self._record.exists() else {}
        if known.get("run") != run_id:
            known = {}
        self._doomed = _resources(known.get("doomed", {}))
        """By address, what goes because only the failed state had it."""
        self._restored = _resources(known.get("restored", {}))
        """By address, what is put back to how it was."""
        self._made_anew = _resources(known.get("made_anew", {}))
        """By address, what of that held data and was gone."""
        self._left: dict[Resource, str] = {}

    def restore(self, failed: Files, before: Files) -> Receipt:
        """See `services.provisioner.ports.Infrastructure.restore`."""
        run = self._run
        plan = self._plan(before)
        if (run.directory / UNDER_WAY).exists():
            self._sweep(failed, planned_addresses(plan.shown))
            plan = self._plan(before)
        threatened = [
            plan.names[address]
            for address, action in plan.actions.items()
            if action == "replace" and plan.names[address].kind in DATA_KINDS
        ]
        if threatened:
            told = ", ".join(f"{one.kind} {one.id}" for one in threatened)
            reason = f"To put it back would destroy {told} and everything in it, so nothing was changed."
            self._left |= {plan.names[address]: reason for address in plan.actions}
            return self._receipt()
        self._note(plan)
        if not plan.has_work or self._is_carried_out(plan):
            run.complete()
        wanted, taken = planned_addresses(plan.shown), run.taken()
        self._left |= {one: taken[one] for address, one in plan.names.items() if one in taken and address not in wanted}
        return self._receipt()

    def _plan(self, before: Files) -> _Plan:
        run = self._run
        run.initialise(before)
        has_work = run.plan(_PLAN)
        transcript, shown = run.terraform.transcript, run.show(_PLAN)
        created = {
            address: resource_of(address, resource_type, run.provider.identify(resource_type, values) or "")
            for address, resource_type, values in planned_creations(shown)
        }
        return _Plan(has_work, transcript.planned, transcript.found | created, shown)

    def _sweep(self, failed: Files, wanted: set[str]) -> None:
        """Remove what the failed state has, the state before has not, and no record knows."""
        try:
            self._run.initialise(failed)
            self._run.sweep(keep=wanted, remember=self._doom)
        except PermanentError as permanent:
            # What cannot even be planned has never been applied; said all the same, for nobody else will look.
            unknown = Resource(kind="infrastructure", id=f"environments/{self._run.directory.name}")
            self._left[unknown] = f"What an interrupted apply may have made could not be looked for: {permanent}"

    def _note(self, plan: _Plan) -> None:
        """Write down what is about to be done, so that a kill in between loses nothing of the receipt."""
        for address, resource_type, values in planned_creations(plan.shown):
            one = plan.names[address]
            if one.kind in DATA_KINDS and self._run.provider.find(resource_type, values) is None:
                self._made_anew[address] = one
        doomed = {address: plan.names[address] for address, action in plan.actions.items() if action == "delete"}
        self._restored |= {address: plan.names[address] for address in plan.actions if address not in doomed}
        for one in doomed.values():
            if one.kind in DATA_KINDS:
                self._run.tell(Line(f"This removes the {one.kind} {one.id}, which the update had made.", "warning"))
        self._doom(doomed)

    def _doom(self, found: Mapping[str, Resource]) -> None:
        self._doomed |= found
        kept = {
            "run": self._run_id,
            "doomed": _plain(self._doomed),
            "restored": _plain(self._restored),
            "made_anew": _plain(self._made_anew),
        }
        write(self._record, json.dumps(kept).encode())

    def _is_carried_out(self, plan: _Plan) -> bool:
        """Apply the plan; False where some of it could not be done, which is then left."""
        run = self._run
        mark(run.directory / UNDER_WAY)
        try:
            run.apply_plan(_PLAN)
        except TransientError:
            run.recover_state()
            raise
        except PermanentError as refused:
            done = run.terraform.transcript
            run.recover_state()
            why = {told.address: str(told) for told in done.errors if told.address}
            unfinished = plan.actions.keys() - {one.address for one in done.done}
            self._left |= {plan.names[address]: why.get(address, str(refused)) for address in unfinished}
            return False
        return True

    def _receipt(self) -> Receipt:
        gone = [one for one in self._doomed.values() if one not in self._left]
        lost = dict.fromkeys(self._made_anew.values(), _DATA_IS_GONE)
        return Receipt(
            removed=tuple(gone),
            restored=tuple(one for one in self._restored.values() if one not in self._left),
            left_behind=tuple(
                LeftBehind(resource=one, reason=reason[:2000]) for one, reason in (lost | self._left).items()
            ),
        )


def _plain(resources: Mapping[str, Resource]) -> dict[str, dict[str, str]]:
    return {address: resource.model_dump() for address, resource in resources.items()}


def _resources(plain: Mapping[str, Any]) -> dict[str, Resource]:
    return {address: Resource.model_validate(value) for address, value in plain.items()}

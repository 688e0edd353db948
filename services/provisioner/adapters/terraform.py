"""Terraform, driven by python_terraform: init, apply (of a saved plan where there is a state), and a plan that must be
empty.

python_terraform builds the argument lists; how they are run is ours (`TerraformCommand.cmd`), because the library
has no timeout, no cancel and no stream, and logs what it runs. State lives in one directory an environment under the
`local` backend, which saves after every resource.

Invariants: Terraform gets an allow-listed environment; no credential of the machine is in its variables, plan or
state; success is an empty plan, never an exit code; and a thing that a killed run made without recording it is found
again, by adoption when applying and by a sweep when destroying.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from python_terraform import IsFlagged, Terraform

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from contracts.plans import PlannedChange
from contracts.values import LeftBehind, Receipt, Resource
from services.provisioner.adapters.terraform_failures import failure_of
from services.provisioner.adapters.terraform_initialised import Initialised
from services.provisioner.adapters.terraform_output import Transcript, open_outputs, resource_of
from services.provisioner.adapters.terraform_plan import planned_changes
from services.provisioner.adapters.terraform_process import Finished, StopSwitch, run
from services.provisioner.adapters.terraform_provider.provider import SlipwayProvider
from services.provisioner.adapters.terraform_spans import ResourceSpans
from services.provisioner.adapters.terraform_workspace import TerraformKnobs, lay_out, mark, write
from services.provisioner.domain import DATA_KINDS, ROOT_MODULE
from services.provisioner.ports import Applied, Files, Line

UNDER_WAY: Final = "under-way"
"""Beside the state from before an apply until it is known to be complete: more may exist than is recorded."""
_DESTROYING: Final = "destroying.json"
STATE: Final = "terraform.tfstate"
CONFIGURATION: Final = "configuration"
_ONLY_READ: Final = frozenset({"init", "plan", "show", "output"})
"""Commands that write no state."""


class TerraformCommand(Terraform):  # type: ignore[misc] # python_terraform has no types
    """One environment's Terraform. `transcript` is what the last command with `-json` told."""

    def __init__(
        self,
        argv: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        *,
        tell: Callable[[Line], None],
        entered: Callable[[], None],
        switch: StopSwitch,
        timeout_seconds: float,
    ) -> None:
        """`environment` is everything the process sees; `tell` gets lines for people, in the calling thread;
        `entered` is called inside each command's span, before the command starts."""
        self._argv = list(argv)
        self._directory = directory
        self._environment = dict(environment)
        self._tell = tell
        self._entered = entered
        self._switch = switch
        self._timeout_seconds = timeout_seconds
        self.transcript = Transcript()
        super().__init__(working_dir=str(directory))

    def read_state_file(self, file_path: str | None = None) -> None:
        """Nothing: the library would load the whole state, values and all, at every command."""

    def cmd(self, cmd: str, *args: str, capture: bool = False, **kwargs: object) -> tuple[int, str, str]:
        """Run one command: (exit code, stdout if `capture`, end of stderr). A failed one raises what it means.

        Exit code 2 of a plan with `-detailed-exitcode` means changes and is no failure.
        """
        arguments = self.generate_cmd_string(cmd, *args, **kwargs)[1:]
        self.transcript = transcript = Transcript()
        captured: list[str] = []
        spans = ResourceSpans()

        def take(text: str) -> None:
            spans.take(text)
            if capture:
                captured.append(text)
            elif line := transcript.add(text):
                self._tell(line)

        if self._switch.thrown:
            raise failure_of(cmd, Finished(0, "", timed_out=False, cancelled=True), [])
        with tracing.span(f"terraform {cmd}", attributes={"slipway.environment": self._directory.parent.name}):
            self._entered()
            finished = run(
                [*self._argv, *arguments],
                directory=self._directory,
                environment=self._environment,
                on_line=take,
                switch=self._switch,
                timeout_seconds=self._timeout_seconds,
                saves_state=cmd not in _ONLY_READ,
            )
            spans.end()
            accepted = {0, 2} if "detailed_exitcode" in kwargs else {0}
            if finished.exit_code not in accepted:
                raise failure_of(cmd, finished, transcript.errors)
        return finished.exit_code, "\n".join(captured), finished.stderr


@dataclass
class TerraformRun:
    """One pass over one environment's directory; everything here happens in one worker thread."""

    knobs: TerraformKnobs
    directory: Path
    """Holds the configuration and the state."""
    provider: SlipwayProvider
    terraform: TerraformCommand
    initialised: Initialised
    tell: Callable[[Line], None]

    def initialise(self, files: Files) -> None:
        """Lay out the configuration and make Terraform ready to work on it."""
        configuration = self.directory / CONFIGURATION
        lay_out(configuration, files)
        if not self.initialised.give(configuration, files):
            self.terraform.init(var=None, capture=True)
            self.initialised.keep(configuration, files)
        self.recover_state()

    def look(self, files: Files) -> tuple[PlannedChange, ...]:
        """What an apply would change. For a directory of its own, with a copy of the state: takes no lock."""
        self.initialise(files)
        self.terraform.plan(json=IsFlagged, out="look.tfplan", var=None, lock="false")
        return planned_changes(self.show("look.tfplan"), self.provider)

    def apply(self, files: Files, *, keep_data: bool) -> Applied:
        """Bring everything to what `files` say."""
        self.initialise(files)
        done = Transcript()
        # What an earlier life's undo removed is not this one's to tell.
        (self.directory / _DESTROYING).unlink(missing_ok=True)
        # Where nothing is recorded yet nothing can be lost: Terraform plans and applies in one process.
        at_once = _keeps_state_here(files) and not (self.directory / STATE).exists()
        if at_once or self.plan("apply.tfplan"):
            if not at_once:
                self._mind_the_data(keep_data=keep_data)
            mark(self.directory / UNDER_WAY)
            try:
                self.apply_plan(None if at_once else "apply.tfplan")
            except (TransientError, PermanentError):
                self.recover_state()
                raise
            done = self.terraform.transcript
            outputs = done.outputs
        else:
            _, text, _ = self.terraform.cmd("output", capture=True, json=IsFlagged)
            outputs = open_outputs(json.loads(text))
        self.complete()
        return Applied(
            outputs=outputs,
            resources=tuple(self.terraform.transcript.found.values()),
            created=done.of("create"),
            changed=done.of("update"),
            destroyed=done.of("delete"),
        )

    def complete(self) -> None:
        """Plan once more; TransientError unless there is nothing left to do."""
        self.plan(None)
        if self.terraform.transcript.planned:
            left = ", ".join(sorted(self.terraform.transcript.planned))
            raise TransientError(f"a plan after the apply still wants to change {left}")
        (self.directory / UNDER_WAY).unlink(missing_ok=True)

    def destroy(self, files: Files) -> Receipt:
        """Remove everything that `files` made."""
        self.initialise(files)
        if (self.directory / UNDER_WAY).exists() or not (self.directory / STATE).exists():
            self.sweep(keep=(), remember=self._remember)
        self.plan("destroy.tfplan", destroy=IsFlagged)
        planned = self.terraform.transcript
        expected = self._remember(planned.found)
        refused: PermanentError | None = None
        try:
            self.apply_plan("destroy.tfplan")
        except TransientError:
            self.recover_state()
            raise
        except PermanentError as permanent:
            refused = permanent
        done = self.terraform.transcript
        if refused is not None:
            self.recover_state()
        gone = {finished.address for finished in done.done if finished.action == "delete"}
        why = {told.address: str(told) for told in done.errors if told.address}
        # Besides what Terraform could not delete: what it found to be somebody else's by now, and has forgotten.
        taken = self.taken()
        why |= {address: taken[resource] for address, resource in planned.found.items() if resource in taken}
        left = {
            address: resource
            for address, resource in planned.found.items()
            if resource in taken or (address in planned.planned and address not in gone)
        }
        return Receipt(
            removed=tuple(resource for address, resource in expected.items() if address not in left),
            left_behind=tuple(
                LeftBehind(resource=resource, reason=why.get(address, str(refused or "Terraform left it"))[:2000])
                for address, resource in left.items()
            ),
        )

    def plan(self, out: str | None, **options: object) -> bool:
        """Plan; True when there is something to do, be it only an output to write."""
        code, _, _ = self.terraform.plan(json=IsFlagged, out=out, var=None, lock_timeout=self._lock_timeout, **options)
        return bool(code == 2)

    def apply_plan(self, plan: str | None) -> None:
        """Carry out a plan that was saved; None plans now."""
        # var=None: with an empty dict the library would pass an empty -var-file, which a saved plan refuses.
        self.terraform.apply(plan, json=IsFlagged, var=None, lock_timeout=self._lock_timeout, skip_plan=plan is None)

    def show(self, plan: str) -> dict[str, Any]:
        """A saved plan, whole."""
        _, text, _ = self.terraform.cmd("show", plan, capture=True, json=IsFlagged)
        shown: dict[str, Any] = json.loads(text)
        return shown

    def taken(self) -> dict[Resource, str]:
        """What was found to be somebody else's by now, and why."""
        return {resource_of("", kind, identifier): reason for (kind, identifier), reason in self.provider.taken.items()}

    def sweep(self, *, keep: Collection[str], remember: Callable[[Mapping[str, Resource]], object]) -> None:
        """Remove what carries our mark and is in no state, but for the addresses in `keep`: a run was killed between a
        deed and its record."""
        self.plan("sweep.tfplan")
        if not self.terraform.transcript.planned:
            return
        unrecorded = [
            (change["address"], change["type"], change["change"]["after"])
            for change in self.show("sweep.tfplan").get("resource_changes", [])
            if change["change"]["actions"] == ["create"] and change["address"] not in keep
        ]
        found: dict[str, Resource] = {}
        for address, resource_type, values in unrecorded:
            if identifier := self.provider.find(resource_type, values):
                found[address] = resource_of(address, resource_type, identifier)
        # Written down before it is gone, so that a kill between the two loses nothing of the receipt.
        remember(found)
        for _, resource_type, values in unrecorded:
            self.provider.remove(resource_type, values)

    def recover_state(self) -> None:
        """Push the state that Terraform could not save (`errored.tfstate`), which is the newest there is."""
        errored = self.directory / CONFIGURATION / "errored.tfstate"
        if errored.exists():
            self.terraform.cmd("state push", errored.name, capture=True)
            errored.unlink()

    @property
    def _lock_timeout(self) -> str:
        return f"{self.knobs.lock_timeout_seconds}s"

    def _mind_the_data(self, *, keep_data: bool) -> None:
        """Before a plan is carried out: data that would be lost is kept, or its loss is told."""
        transcript = self.terraform.transcript
        for address, action in transcript.planned.items():
            resource = transcript.found.get(address)
            if resource is None or resource.kind not in DATA_KINDS or action not in {"delete", "replace"}:
                continue
            lost = f"the {resource.kind} {resource.id} and everything in it"
            if keep_data:
                raise PermanentError(
                    "would_lose_data",
                    f"this would {action} {lost}, which nobody asked for",
                    next_step="Nothing was changed. To lose it on purpose, change the parameter that asks for it.",
                )
            self.tell(Line(f"This destroys {lost}, as asked.", "warning"))

    def _remember(self, found: Mapping[str, Resource]) -> dict[str, Resource]:
        """Add to the record of what this destroy removes, so that a repeat after a kill tells all of it."""
        record = self.directory / _DESTROYING
        known: dict[str, Any] = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        known |= {address: resource.model_dump() for address, resource in found.items()}
        write(record, json.dumps(known).encode())
        return {address: Resource.model_validate(value) for address, value in known.items()}


def _keeps_state_here(files: Files) -> bool:
    """Whether the state is a file beside the configuration, and not in a bucket, where it cannot be seen from here."""
    return ROOT_MODULE in files and "local" in json.loads(files[ROOT_MODULE])["terraform"]["backend"]

"""The twins: each port of the provisioner in memory, with the same promises. For tests, rehearsals and demos."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chassis.failures import PermanentError
from contracts.envelope import Event
from contracts.plans import PlannedChange
from contracts.values import LeftBehind, Receipt, Resource
from services.provisioner.domain import DATA_KINDS, MODULES, VARIABLES
from services.provisioner.ports import Applied, Change, Committed, Files, Level, Line, Report

_ALL_PARTS: Final = frozenset({"namespace", "database", "dns", "ingress"})


@dataclass
class Thing:
    """Something on the twin's machine: whose it is (empty: nobody's we know) and how it is set."""

    mark: str
    properties: dict[str, Any]


@dataclass
class Restoring:
    """What the restore of one run does: what is to go, what is put back, and what of that had held data."""

    run_id: str
    gone: set[Resource] = field(default_factory=set)
    restored: set[Resource] = field(default_factory=set)
    anew: set[Resource] = field(default_factory=set)


@dataclass
class MemoryInfrastructure:
    """The port `Infrastructure`: a machine that is a dictionary."""

    things: dict[Resource, Thing] = field(default_factory=dict)
    recorded: dict[str, set[Resource]] = field(default_factory=dict)
    """By environment, what Terraform's state would have."""
    destroying: dict[str, set[Resource]] = field(default_factory=dict)
    restoring: dict[str, Restoring] = field(default_factory=dict)

    async def plan(self, environment: str, files: Files, *, new: bool) -> tuple[PlannedChange, ...]:
        """See the port."""
        wanted = _wanted(files)
        there = set() if new else {one for one in self.recorded.get(environment, ()) if one in self.things}
        changes = [PlannedChange(action="create", resource=one) for one in wanted.keys() - there]
        changes += [PlannedChange(action="destroy", resource=one) for one in there - wanted.keys()]
        for resource in there & wanted.keys():
            found, right = self.things[resource].properties, wanted[resource]
            if differing := sorted(key for key in found.keys() | right.keys() if found.get(key) != right.get(key)):
                changes.append(PlannedChange(action="update", resource=resource, detail=", ".join(differing)))
        return tuple(sorted(changes, key=lambda change: (change.resource.kind, change.resource.id)))

    async def apply(self, environment: str, files: Files, report: Report, *, keep_data: bool = False) -> Applied:
        """See the port."""
        variables = json.loads(files[VARIABLES])
        mark = f"{environment} {variables['incarnation']}"
        wanted = _wanted(files)
        recorded = self.recorded.setdefault(environment, set())
        for losing in (one for one in recorded - wanted.keys() if one.kind in DATA_KINDS and one in self.things):
            if keep_data:
                raise PermanentError(
                    "would_lose_data", f"this would destroy {losing.kind} {losing.id}", next_step="Ask for that."
                )
            report(Line(f"This destroys the {losing.kind} {losing.id} and everything in it, as asked.", "warning"))
        created, changed, refused = [], [], []
        for resource, properties in wanted.items():
            found = self.things.get(resource)
            if found is not None and found.mark != mark:
                refused.append(resource)
                continue
            if found is None or resource not in recorded:
                created.append(resource)
            elif found.properties != properties:
                changed.append(resource)
            self.things[resource] = Thing(mark, dict(properties))
            recorded.add(resource)
        destroyed = [resource for resource in recorded - wanted.keys() if self.things.pop(resource, None)]
        recorded -= set(destroyed)
        if refused:
            names = ", ".join(f"{resource.kind} {resource.id}" for resource in refused)
            raise PermanentError(
                "foreign_resource", f"{names} belongs to somebody else", next_step="Choose another name."
            )
        report(Line(f"{len(created)} added, {len(changed)} changed, {len(destroyed)} destroyed."))
        return Applied(
            outputs=_outputs(files),
            resources=tuple(wanted),
            created=tuple(created),
            changed=tuple(changed),
            destroyed=tuple(destroyed),
        )

    async def restore(self, environment: str, failed: Files, before: Files, run_id: str, report: Report) -> Receipt:
        """See the port."""
        variables = json.loads(before[VARIABLES])
        mark = f"{environment} {variables['incarnation']}"
        wanted = _wanted(before)
        recorded = self.recorded.setdefault(environment, set())
        made = recorded | {one for one in _wanted(failed) if self._is(one, mark)}
        if (kept := self.restoring.get(environment)) is None or kept.run_id != run_id:
            kept = self.restoring[environment] = Restoring(run_id)
        kept.gone |= {one for one in made - wanted.keys() if one in self.things}
        kept.anew |= {one for one in wanted if one.kind in DATA_KINDS and one not in self.things}
        left = [one for one in kept.gone if one in self.things and not self._is(one, mark)]
        for resource in kept.gone.difference(left):
            self.things.pop(resource, None)
        for resource, properties in wanted.items():
            if resource in self.things and not self._is(resource, mark):
                left.append(resource)
            elif resource not in self.things or self.things[resource].properties != properties:
                self.things[resource] = Thing(mark, dict(properties))
                kept.restored.add(resource)
        self.recorded[environment] = wanted.keys() - set(left)
        report(Line(f"{len(kept.gone.difference(left))} destroyed."))
        return Receipt(
            removed=tuple(sorted(kept.gone.difference(left), key=str)),
            restored=tuple(sorted(kept.restored.difference(left), key=str)),
            left_behind=(
                *(LeftBehind(resource=one, reason="belongs to somebody else") for one in left),
                *(LeftBehind(resource=one, reason="what it held is gone") for one in sorted(kept.anew, key=str)),
            ),
        )

    async def destroy(self, environment: str, files: Files, report: Report) -> Receipt:
        """See the port."""
        variables = json.loads(files[VARIABLES])
        mark = f"{environment} {variables['incarnation']}"
        recorded = self.recorded.setdefault(environment, set())
        ours = recorded | {resource for resource in _wanted(files) if self._is(resource, mark)}
        expected = self.destroying.setdefault(environment, set())
        expected |= {resource for resource in ours if resource in self.things}
        left = {resource for resource in expected if resource in self.things and not self._is(resource, mark)}
        for resource in ours - left:
            self.things.pop(resource, None)
        recorded.clear()
        report(Line(f"{len(expected - left)} destroyed."))
        return Receipt(
            removed=tuple(sorted(expected - left, key=str)),
            left_behind=tuple(LeftBehind(resource=resource, reason="belongs to somebody else") for resource in left),
        )

    async def forget(self, environment: str) -> None:
        """See the port."""
        if not self.recorded.get(environment):
            self.recorded.pop(environment, None)
            self.destroying.pop(environment, None)

    def _is(self, resource: Resource, mark: str) -> bool:
        found = self.things.get(resource)
        return found is not None and found.mark == mark


def _parts(files: Files, variables: Mapping[str, Any]) -> set[str]:
    """The modules that the environment uses: those in its snapshot, but no database where that is turned off. A
    snapshot without modules, which is enough for tests, stands for one with all of them."""
    parts = {path.split("/")[1] for path in files if path.startswith(f"{MODULES}/")} & _ALL_PARTS or set(_ALL_PARTS)
    return parts if variables.get("database", True) else parts - {"database"}


def _wanted(files: Files) -> dict[Resource, dict[str, Any]]:
    variables = json.loads(files[VARIABLES])
    name, platform = variables["name"], variables["platform"]
    labels = {key: variables[key] for key in ("owner", "team", "kind", "repository", "branch")}
    route = {"branch": variables["branch"], "clone_url": variables["clone_url"]}
    possible: dict[str, tuple[Resource, dict[str, Any]]] = {
        "namespace": (Resource(kind="namespace", id=name), {"labels": labels}),
        "dns": (
            Resource(kind="dns_record", id=f"{name}.{platform['zone']}/A"),
            {"value": platform["ingress_address"], "ttl": 60},
        ),
        "ingress": (Resource(kind="route", id=f"env-{name}"), route),
        "database": (Resource(kind="database", id=f"{platform['database_name']}/{_schema(name)}"), {"login": False}),
    }
    parts = _parts(files, variables)
    return dict(thing for part, thing in possible.items() if part in parts)


def _schema(name: str) -> str:
    return f"env_{name.replace('-', '_')}"


def _outputs(files: Files) -> dict[str, Any]:
    variables = json.loads(files[VARIABLES])
    name, platform, parts = variables["name"], variables["platform"], _parts(files, variables)
    hostname = f"{name}.{platform['zone']}"
    database = {
        "host": platform["database_host"],
        "port": platform["database_port"],
        "database": platform["database_name"],
        "schema": _schema(name),
        "role": _schema(name),
    }
    return {
        "url": f"http://{hostname}:{platform['ingress_port']}" if "ingress" in parts else None,
        "hostname": hostname if "dns" in parts else None,
        "namespace": name,
        "database": database if "database" in parts else None,
    }


@dataclass
class MemoryEnvironments:
    """The port `EnvironmentsRepository`: directories in a dictionary, and the changes that made them so."""

    directories: dict[str, Committed] = field(default_factory=dict)
    history: list[tuple[str, Change, Receipt | None]] = field(default_factory=list)
    """Every commit: the environment, why, and for a removal its receipt."""
    versions: list[tuple[str, str, Committed | None]] = field(default_factory=list)
    """Every commit: its id, the environment, and the directory as it left it."""

    async def write(self, environment: str, files: Files, change: Change) -> Committed:
        """See the port."""
        found = self.directories.get(environment)
        if found is None or dict(found.files) != dict(files):
            found = Committed(self._commit(environment, change, None), dict(files))
            self.directories[environment] = found
            self.versions.append((found.commit, environment, found))
        return found

    async def read(self, environment: str, commit: str | None = None) -> Committed | None:
        """See the port."""
        if commit is None:
            return self.directories.get(environment)
        commits = [version[0] for version in self.versions]
        if commit not in commits:
            return None
        until = self.versions[: commits.index(commit) + 1]
        return next((version for _, name, version in reversed(until) if name == environment), None)

    async def earlier(self, environment: str, commit: str | None) -> Committed | None:
        """See the port."""
        ours = [version for _, name, version in self.versions if name == environment]
        if commit is not None:
            commits = [version.commit if version is not None else None for version in ours]
            ours = ours[: commits.index(commit)]
        return next((version for version in reversed(ours) if version is not None), None)

    async def remove(self, environment: str, receipt: Receipt, change: Change) -> None:
        """See the port."""
        if self.directories.pop(environment, None) is not None:
            self.versions.append((self._commit(environment, change, receipt), environment, None))

    async def receipt(self, environment: str, run_id: str) -> Receipt | None:
        """See the port."""
        for name, change, receipt in reversed(self.history):
            if name == environment and change.run_id == run_id and receipt is not None:
                return receipt
        return None

    def _commit(self, environment: str, change: Change, receipt: Receipt | None) -> str:
        self.history.append((environment, change, receipt))
        return hashlib.sha1(str(len(self.history)).encode(), usedforsecurity=False).hexdigest()


@dataclass
class MemoryGoldenPaths:
    """The port `GoldenPaths`: snapshots by name."""

    snapshots: dict[str, Files]

    async def modules(self, golden_path: str) -> Files:
        """See the port."""
        if golden_path not in self.snapshots:
            raise PermanentError(
                "unknown_golden_path", f"no golden path called {golden_path}", next_step="Choose another one."
            )
        return self.snapshots[golden_path]


@dataclass
class MemoryStepLog:
    """The port `StepLog`: lines in a list."""

    lines: list[tuple[str, Level]] = field(default_factory=list)

    async def line(self, event: Event, text: str, level: Level = "info") -> None:  # noqa: ARG002 - one run at a time
        """See the port."""
        self.lines.append((text, level))

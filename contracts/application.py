"""An application's manifest, as a developer keeps it in their repository, and what it asks the platform for.

    apiVersion: platform/v1
    kind: Application
    metadata:
      name: orders
    spec:
      runtime: nodejs-22
      database: postgresql
      scaling: {min: 2, max: 4}
      ingress: public

Invariant: nobody gets less than they asked for without being told. What the platform does otherwise is a warning that
says how; what it cannot do is a refusal that says the way out. Reading YAML is the business of whoever is handed the
file; this module does no I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.golden_path import GoldenPath
from contracts.names import BranchName, EnvironmentName, GoldenPathName, RepositoryName, RepositoryPath, TeamName
from contracts.parameters import ParameterValue
from contracts.values import Kind

RuntimeName = Literal["nodejs-18", "nodejs-20", "nodejs-22", "nodejs-24"]
Ingress = Literal["internal", "public", "none"]

RETIRED: Final[Mapping[str, str]] = {"nodejs-18": "nodejs-20"}
"""Runtimes that get no security fixes any more (Node.js release schedule), and what takes their place here."""
LISTENING_PATH: Final = "nodejs-api"
SILENT_PATH: Final = "worker"
"""The golden paths of those who name none: with an ingress, and without."""


class Strict(BaseModel):
    """A part of the manifest: exactly these fields, of exactly these types. An error never repeats what was given."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, hide_input_in_errors=True
    )


class Metadata(Strict):
    """Which application."""

    name: EnvironmentName


class Scaling(Strict):
    """How many instances run, from the fewest to the most."""

    min: int = Field(ge=1, le=1000)
    max: int = Field(ge=1, le=1000)

    @model_validator(mode="after")
    def _most_is_not_below_fewest(self) -> Self:
        if self.max < self.min:
            raise ValueError("max must not be less than min")
        return self


class ApplicationSpec(Strict):
    """What the application needs. What is left out is as the golden path has it."""

    runtime: RuntimeName
    database: Literal["postgresql", "none"] | None = None
    cache: Literal["redis", "none"] = "none"
    monitoring: Literal["enabled", "disabled"] = "enabled"
    scaling: Scaling | None = None
    ingress: Ingress | None = None
    """Who reaches it: the organisation's own network, everybody, nobody."""
    repository: RepositoryName | None = None
    branch: BranchName | None = None
    path: RepositoryPath | None = None
    """The directory of the repository that the application is in."""
    kind: Kind | None = None
    team: TeamName | None = None
    golden_path: GoldenPathName | None = Field(default=None, alias="goldenPath")
    depends_on: Annotated[tuple[EnvironmentName, ...], Field(strict=False, max_length=50)] = Field(
        default=(), alias="dependsOn"
    )
    """Other environments that it calls."""


class Application(Strict):
    """The manifest."""

    api_version: Literal["platform/v1"] = Field(alias="apiVersion")
    kind: Literal["Application"]
    metadata: Metadata
    spec: ApplicationSpec

    @model_validator(mode="after")
    def _depends_on_others_and_once(self) -> Self:
        if len(set(self.spec.depends_on)) != len(self.spec.depends_on):
            raise ValueError("dependsOn names an environment twice")
        if self.metadata.name in self.spec.depends_on:
            raise ValueError("an application does not depend on itself")
        return self


@dataclass(frozen=True)
class Target:
    """What the machine or cloud can do that the platform runs on."""

    ingresses: frozenset[Ingress]
    caches: frozenset[str] = frozenset()


LOCAL: Final = Target(ingresses=frozenset({"internal"}))
"""One machine: its ingress answers on the loopback interface, and there is no cache."""


@dataclass(frozen=True)
class Remark:
    """Something to be told about a field of the manifest."""

    field: str
    """Its path, for instance `spec.cache`."""
    message: str


@dataclass(frozen=True)
class Problem(Remark):
    """Why the manifest cannot be carried out, and the way out."""

    way_out: str


class ApplicationError(ValueError):
    """The platform cannot do what the manifest asks for. Names every field in the way; nothing was changed."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}. {problem.way_out}" for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class Translation:
    """The manifest in the words of a request for an environment. None is left to the platform's defaults."""

    name: str
    golden_path: str
    runtime: str
    """The runtime it gets, at the least."""
    parameters: dict[str, ParameterValue]
    """Only what the manifest decides."""
    repository: str | None
    branch: str | None
    path: str | None
    kind: Kind | None
    team: str | None
    depends_on: tuple[str, ...] | None
    warnings: tuple[Remark, ...]


def translate(application: Application, published: Mapping[str, GoldenPath], target: Target = LOCAL) -> Translation:
    """What the manifest asks for, as a golden path with parameters. Raises `ApplicationError` with every problem."""
    spec = application.spec
    name = spec.golden_path or (SILENT_PATH if spec.ingress == "none" else LISTENING_PATH)
    path = published.get(name)
    if path is None:
        there_are = ", ".join(sorted(published)) or "none"
        problem = Problem("spec.goldenPath", "this platform has no such golden path", f"Choose one of: {there_are}.")
        raise ApplicationError((problem,))
    work = _Work(spec, path, published, target)
    runtime = work.runtime()
    for step in (work.database, work.cache, work.monitoring, work.scaling, work.ingress, work.kind):
        step()
    if work.problems:
        raise ApplicationError(tuple(work.problems))
    return Translation(
        name=application.metadata.name,
        golden_path=name,
        runtime=runtime,
        parameters=work.parameters,
        repository=spec.repository,
        branch=spec.branch,
        path=spec.path,
        kind=spec.kind,
        team=spec.team,
        depends_on=spec.depends_on if "depends_on" in spec.model_fields_set else None,
        warnings=tuple(work.warnings),
    )


@dataclass
class _Work:
    """One translation under way: a method for each field, which adds what it finds."""

    spec: ApplicationSpec
    path: GoldenPath
    published: Mapping[str, GoldenPath]
    target: Target
    parameters: dict[str, ParameterValue] = field(default_factory=dict)
    warnings: list[Remark] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def runtime(self) -> str:
        asked = self.spec.runtime
        language, _, version = RETIRED.get(asked, asked).partition("-")
        oldest = int(self.path.runtime.version.partition(".")[0])
        if language != self.path.runtime.language:
            self._refuse("spec.runtime", f"{self.path.name} runs on {self.path.runtime.language}", self._choose_other())
        given = f"{language}-{max(int(version), oldest)}"
        if given != asked:
            self._warn("spec.runtime", f"{asked} is retired here; the application gets {given} or newer")
        elif int(version) > oldest:
            self._warn(
                "spec.runtime",
                f"{self.path.name} promises {language}-{oldest} or newer, not {asked} in particular; to insist, add"
                f' "engines": {{"node": ">={version}"}} to package.json',
            )
        return given

    def database(self) -> None:
        wanted = self.spec.database
        if wanted is None:
            return
        if self._may_set("database", "boolean"):
            self.parameters["database"] = wanted == "postgresql"
        elif wanted == "postgresql" and not _always_has_database(self.path):
            others = [name for name, path in self.published.items() if _can_have_database(path)]
            self._refuse("spec.database", f"{self.path.name} has no database", self._choose_other(others))
        elif wanted == "none" and _always_has_database(self.path):
            message = f"{self.path.name} always has a database"
            self._refuse("spec.database", message, f"Leave spec.database out. {self._choose_other()}")

    def cache(self) -> None:
        wanted = self.spec.cache
        if wanted == "none":
            if "cache" in self.spec.model_fields_set and self._may_set("cache", "boolean"):
                self.parameters["cache"] = False
        elif wanted in self.target.caches and self._may_set("cache", "boolean"):
            self.parameters["cache"] = True
        else:
            who = self.path.name if wanted in self.target.caches else "this platform"
            way_out = "Leave spec.cache out and keep what is cached in the database or in memory"
            self._refuse("spec.cache", f"{who} has no {wanted}", f"{way_out}, or ask the platform team for one.")

    def monitoring(self) -> None:
        if self.spec.monitoring == "disabled":
            self._warn("spec.monitoring", "every environment is monitored; this cannot be turned off")

    def scaling(self) -> None:
        scaling = self.spec.scaling
        if scaling is None:
            return
        if not self._may_set("instances", "integer"):
            if scaling.min > 1:
                message = f"{self.path.name} runs one instance"
                self._refuse("spec.scaling.min", message, "Leave spec.scaling out.")
            return
        if broken := self.path.parameters.properties["instances"].broken_rule(scaling.min):
            self._refuse("spec.scaling.min", broken, "Change it, or leave spec.scaling out.")
            return
        self.parameters["instances"] = scaling.min
        if scaling.max > scaling.min:
            message = f"nothing scales by itself here: {scaling.min} run, however busy they are"
            self._warn("spec.scaling.max", f"{message}; to have more, raise spec.scaling.min")

    def ingress(self) -> None:
        wanted = self.spec.ingress
        if wanted is None:
            return
        if (wanted != "none") != _listens(self.path):
            others = [name for name, path in self.published.items() if _listens(path) == (wanted != "none")]
            message = f"{self.path.name} {'has an' if wanted == 'none' else 'answers nobody and has no'} ingress"
            self._refuse("spec.ingress", message, f"Leave spec.ingress out. {self._choose_other(others)}")
        elif wanted == "public" and wanted not in self.target.ingresses:
            self._warn("spec.ingress", "this platform's ingress is internal: it is not reached from outside")
        elif wanted == "internal" and wanted not in self.target.ingresses:
            # Never more exposed than was asked for.
            message = "this platform's ingress is public: everybody would reach it"
            self._refuse("spec.ingress", message, "Say spec.ingress: public if that is what you want.")

    def kind(self) -> None:
        if self.spec.kind is not None and self.spec.kind not in self.path.kinds:
            offered = ", ".join(self.path.kinds)
            self._refuse("spec.kind", f"{self.path.name} does not offer it", f"Choose one of: {offered}.")

    def _may_set(self, parameter: str, kind: str) -> bool:
        declared = self.path.parameters.properties.get(parameter)
        return declared is not None and declared.type == kind and parameter in self.path.overridable

    def _choose_other(self, names: list[str] | None = None) -> str:
        others = sorted(set(self.published if names is None else names) - {self.path.name})
        return f"Or choose another spec.goldenPath: {', '.join(others)}." if others else "Ask the platform team."

    def _warn(self, where: str, message: str) -> None:
        self.warnings.append(Remark(where, message))

    def _refuse(self, where: str, message: str, way_out: str) -> None:
        self.problems.append(Problem(where, message, way_out))


def _listens(path: GoldenPath) -> bool:
    return path.runtime.port_variable is not None


def _always_has_database(path: GoldenPath) -> bool:
    return any(dependency.kind == "database" and not dependency.when for dependency in path.dependencies)


def _can_have_database(path: GoldenPath) -> bool:
    return any(dependency.kind == "database" for dependency in path.dependencies)

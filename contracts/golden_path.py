"""The manifest of a golden path: what `golden_paths/<name>/golden_path.yaml` may say.

Invariant: a manifest that loads is consistent in itself. Every default keeps its own rule, every name it refers to is
declared, and a developer who gives nothing but a name gets a complete environment. Reading the file is the business
of whoever serves it; this module does no I/O.
"""

from collections.abc import Mapping
from decimal import Decimal
from string import Formatter
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from contracts.names import BranchName, GoldenPathName, SemanticVersion, TeamName
from contracts.parameters import ParameterError, ParameterName, Parameters, ParameterValue
from contracts.runtime import Line, RelativePath, Runtime, StaticFiles
from contracts.values import Kind

LINK_FIELDS: Final = frozenset({"name", "kind", "url", "hostname", "namespace"})
"""What a link's template may name in braces."""


class Strict(BaseModel):
    """A part of a manifest: frozen, and a key that it does not know is a mistake worth an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ManifestStaticFiles(StaticFiles):
    """The same in a manifest, where an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ManifestRuntime(Runtime):
    """The same in a manifest, where an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    static: ManifestStaticFiles | None = None

    def in_force(self) -> Runtime:
        """As it is told to others."""
        return Runtime.model_validate(self.model_dump())


class TimeToLive(Strict):
    """How long an environment of one kind lives."""

    days: int = Field(ge=1, le=365)
    """Days from the last activity."""
    max_days: int = Field(ge=1, le=365)
    """Days from the creation after which no activity helps."""

    @model_validator(mode="after")
    def _cap_is_not_below(self) -> Self:
        if self.max_days < self.days:
            raise ValueError("max_days must not be less than days")
        return self


class Defaults(Strict):
    """What a developer gets who says nothing but a name."""

    kind: Kind = "preview"
    branch: BranchName = "main"
    time_to_live: dict[Kind, TimeToLive] = Field(default_factory=dict)
    """By kind; a kind that is not named lives until it is deleted."""
    parameters: dict[Kind, dict[ParameterName, ParameterValue]] = Field(default_factory=dict)
    """Where a kind's default differs from the parameter's own."""


class Price(Strict):
    """One line of what an environment costs."""

    item: Line
    per_hour: Decimal = Field(ge=0, le=10_000, allow_inf_nan=False)
    times: ParameterName | None = None
    """An integer parameter that multiplies the price."""
    when: dict[ParameterName, ParameterValue] = Field(default_factory=dict)
    """The line counts only where every one of these parameters has this value."""


class Prices(Strict):
    """What an environment costs while it exists."""

    currency: Annotated[str, StringConstraints(pattern=r"\A[A-Z]{3}\z")]
    """ISO 4217."""
    items: tuple[Price, ...] = ()


class Dependency(Strict):
    """Something that an environment of this golden path stands on; a node of its graph."""

    name: Annotated[str, StringConstraints(pattern=r"\A[a-z][a-z0-9_-]{0,39}\z")]
    kind: Literal["database", "cache", "queue", "bucket", "service"]
    title: Line
    when: dict[ParameterName, ParameterValue] = Field(default_factory=dict)
    """It exists only where every one of these parameters has this value."""


class PipelineFiles(Strict):
    """Where the golden path keeps what goes into a repository; paths within its own directory."""

    workflow_template: RelativePath = "pipeline/deploy.yml.j2"
    skeleton: RelativePath = "skeleton"

    @field_validator("workflow_template", "skeleton")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if ".." in path.split("/"):
            raise ValueError("a path stays within the golden path's directory")
        return path


class Links(Strict):
    """Where to look when something is up: templates with `{name}`, `{kind}`, `{url}`, `{hostname}`, `{namespace}`.
    Each is https or a path of the portal."""

    logs: str = Field(max_length=500)
    metrics: str = Field(max_length=500)
    runbook: str = Field(max_length=500)

    @field_validator("*")
    @classmethod
    def _is_a_safe_template(cls, template: str) -> str:
        if not template.startswith("https://") and (not template.startswith("/") or template.startswith("//")):
            raise ValueError("a link begins with https:// or is a path that begins with a single /")
        if any(character.isspace() or ord(character) < 32 or character == "\\" for character in template):
            raise ValueError("a link has no spaces, control characters or backslashes")
        for _, field, specification, conversion in Formatter().parse(template):
            # Nothing but a bare name: str.format would also follow attributes and indexes.
            if field is not None and (field not in LINK_FIELDS or specification or conversion):
                raise ValueError(f"a link may name {', '.join(sorted(LINK_FIELDS))} in braces, not {{{field}}}")
        return template


class GoldenPath(Strict):
    """A golden path: the paved way from a name to a running environment."""

    name: GoldenPathName
    version: SemanticVersion
    title: Line
    description: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    owner: TeamName
    """The team that answers for the golden path."""
    runtime: ManifestRuntime
    kinds: tuple[Kind, ...] = Field(min_length=1)
    """The kinds of environment that it may be used for."""
    defaults: Defaults = Defaults()
    parameters: Parameters = Parameters()
    overridable: tuple[ParameterName, ...] = ()
    """The parameters that a developer may set; the others stay at their defaults."""
    prices: Prices
    usual_duration_seconds: int = Field(ge=1, le=7200)
    """How long a creation usually takes, until the platform has measured its own."""
    links: Links
    dependencies: tuple[Dependency, ...] = ()
    pipeline: PipelineFiles = PipelineFiles()

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        self._kinds_are_offered()
        self._names_are_declared("overridable", self.overridable)
        if len({dependency.name for dependency in self.dependencies}) != len(self.dependencies):
            raise ValueError("a dependency's name is used once")
        for given in self.defaults.parameters.values():
            self.parameters.check(given)
        for dependency in self.dependencies:
            self.parameters.check(dependency.when)
        for price in self.prices.items:
            self.parameters.check(price.when)
            if price.times is not None:
                self._names_are_declared(f"the price {price.item!r}", (price.times,))
                if self.parameters.properties[price.times].type != "integer":
                    raise ValueError(f"the price {price.item!r} can only be multiplied by an integer parameter")
        return self

    def _kinds_are_offered(self) -> None:
        if len(set(self.kinds)) != len(self.kinds):
            raise ValueError("a kind is named once")
        for kind in (self.defaults.kind, *self.defaults.time_to_live, *self.defaults.parameters):
            if kind not in self.kinds:
                raise ValueError(f"defaults speak of the kind {kind!r}, which is not among kinds")

    def _names_are_declared(self, where: str, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.parameters.properties:
                raise ValueError(f"{where} names the parameter {name!r}, which is not declared")

    def resolve(self, kind: Kind, chosen: Mapping[str, JsonValue]) -> dict[str, ParameterValue]:
        """Every parameter's value for an environment of this kind: what was chosen over the kind's default over the
        parameter's own. Raises `ParameterError` for a value that breaks its rule, a parameter that does not exist or
        may not be set, and a kind that the golden path does not offer."""
        if kind not in self.kinds:
            raise ParameterError("kind", f"{self.name} offers {', '.join(self.kinds)}")
        unchosen = self.parameters.defaults() | self.defaults.parameters.get(kind, {})
        for name, value in chosen.items():
            # Who says again what holds anyway, as an answer of ours does, chooses nothing.
            if name in unchosen and name not in self.overridable and value != unchosen[name]:
                raise ParameterError(name, "is set by the platform and cannot be chosen")
        return unchosen | self.parameters.check(chosen)

    def form(self, kind: Kind) -> dict[str, Any]:
        """JSON Schema (2020-12) of what a developer may set for this kind, with the defaults they get otherwise."""
        of_kind = self.defaults.parameters.get(kind, {})
        return self.parameters.json_schema(only=self.overridable, defaults=of_kind)

    def cost_per_hour(self, parameters: Mapping[str, ParameterValue]) -> Decimal:
        """What an environment with these (resolved) parameters costs an hour, in `prices.currency`."""
        total = Decimal(0)
        for price in self.prices.items:
            if _holds(price.when, parameters):
                total += price.per_hour * (Decimal(parameters[price.times]) if price.times is not None else 1)
        return total

    def dependencies_of(self, parameters: Mapping[str, ParameterValue]) -> tuple[Dependency, ...]:
        """The dependencies that an environment with these (resolved) parameters has."""
        return tuple(dependency for dependency in self.dependencies if _holds(dependency.when, parameters))

    def links_of(self, known: Mapping[str, str]) -> dict[str, str]:
        """The links of one environment. A link that names something not in `known` is left out."""
        found: dict[str, str] = {}
        for title, template in self.links.model_dump().items():
            parts = list(Formatter().parse(template))
            if all(field is None or field in known for _, field, _, _ in parts):
                found[title] = "".join(text + (known[field] if field else "") for text, field, _, _ in parts)
        return found


def _holds(when: Mapping[str, ParameterValue], parameters: Mapping[str, ParameterValue]) -> bool:
    return all(parameters.get(name) == value for name, value in when.items())

"""The template every resource follows: a span, the deed, and one place that turns failures into diagnostics.

Invariant: an exception never leaves a resource. Terraform gets a diagnostic with an address and a next step,
whose summary is one of the constants below: they are how the runner tells what a retry may cure.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from opentelemetry.trace import SpanKind, Status, StatusCode
from tf.iface import (
    CreateContext,
    DeleteContext,
    ImportContext,
    PlanContext,
    ReadContext,
    Resource,
    UpdateContext,
)
from tf.schema import Attribute, Schema
from tf.types import String
from tf.utils import Diagnostics

from .marks import Busy, Mark, Refused

if TYPE_CHECKING:
    from .provider import SlipwayProvider

State = dict[str, Any]

FOREIGN: Final = "Belongs to somebody else"
BUSY: Final = "Not reachable now"
REFUSED_INPUT: Final = "Refused"
FOREIGN_FOUND: Final = "Left behind: not ours"


class MarkedResource(Resource):  # type: ignore[misc] # tf has no types
    """One kind of thing; subclasses say how to make, look at, change and remove it."""

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1
    ENVIRONMENT: ClassVar[str] = "environment"
    """The attribute that names the environment."""

    def __init__(self, provider: SlipwayProvider) -> None:
        """`provider` carries the access, the tracer and the count of deeds under way."""
        self._provider = provider
        self._access = provider.access

    # -- what a subclass says --

    @classmethod
    @abstractmethod
    def attributes(cls) -> list[Attribute]:
        """The attributes beside `id`, `environment` and `incarnation`."""

    @abstractmethod
    def ensure(self, mark: Mark, wanted: State) -> State:
        """Make the thing, or adopt and repair what carries `mark`; returns its state. May raise `Refused`."""

    @abstractmethod
    def look(self, mark: Mark, known: State) -> State | None:
        """The thing as it is, None when it is gone. May raise `Refused`: then it is no longer ours."""

    @abstractmethod
    def remove(self, mark: Mark, known: State) -> None:
        """Take away what carries `mark`; nothing happens when it is gone. May raise `Refused`."""

    @classmethod
    @abstractmethod
    def key(cls, state: State) -> str:
        """The thing's identifier, as `terraform import` takes it after `<environment>/<incarnation>/`."""

    def identify(self, state: State) -> str:
        """What the thing is called where it lives, for as long as it lives: its `id`, and what people are told."""
        return self.key(state)

    @classmethod
    @abstractmethod
    def from_key(cls, key: str) -> State:
        """The attributes that `key` stands for."""

    # -- what the framework calls --

    @classmethod
    def get_name(cls) -> str:
        """The type's name without the provider's prefix."""
        return cls.NAME

    @classmethod
    def get_schema(cls) -> Schema:
        """Terraform's view of the attributes; whose a thing is cannot be changed, only replaced."""
        return Schema(
            version=cls.VERSION,
            attributes=[
                Attribute("id", String(), computed=True),
                Attribute(cls.ENVIRONMENT, String(), required=True, requires_replace=True),
                Attribute("incarnation", String(), required=True, requires_replace=True),
                *cls.attributes(),
            ],
        )

    def validate(self, diags: Diagnostics, type_name: str, config: State) -> None:
        """Refuse values that no mark, name or route could carry, before anything is made."""
        super().validate(diags, type_name, config)
        # Unknown values are of other types: the library's own, or msgpack's where Terraform knows something of them.
        known: State = {
            name: value for name, value in config.items() if isinstance(value, str | int | float | dict | list)
        }
        try:
            Mark(known.get(self.ENVIRONMENT, "x"), known.get("incarnation", "x"))
            self.check(known)
        except ValueError as wrong:
            diags.add_error(REFUSED_INPUT, str(wrong))

    def check(self, known: State) -> None:
        """Raise ValueError for a value that this kind cannot take; `known` holds the given values only."""

    def healthy(self, planned: State) -> State:  # noqa: ARG002 - a hook: most kinds have nothing to compute
        """The computed attributes of a thing in health; any other value is drift, and planned away."""
        return {}

    def plan(self, ctx: PlanContext, current: State | None, planned: State) -> State:  # noqa: ARG002 - the framework's
        """Plan computed attributes back to health: drift becomes a change."""
        return planned | self.healthy(planned)

    def create(self, ctx: CreateContext, planned: State) -> State | None:
        """Make or adopt the thing."""
        return self._deed("create", ctx.diagnostics, planned, lambda mark: self._ensured(mark, planned), None)

    def update(self, ctx: UpdateContext, current: State, planned: State) -> State | None:
        """Bring the thing to `planned`; on failure the state stays as it was."""
        return self._deed("update", ctx.diagnostics, planned, lambda mark: self._ensured(mark, planned), current)

    def delete(self, ctx: DeleteContext, current: State) -> State | None:
        """Remove the thing; on failure the state keeps it, so that a repeat finds it again."""

        def remove(mark: Mark) -> None:
            self.remove(mark, current)

        return self._deed("delete", ctx.diagnostics, current, remove, current)

    def read(self, ctx: ReadContext, current: State) -> State | None:
        """Look at the thing. What is no longer ours is forgotten with a warning: reported, never deleted."""

        def look(mark: Mark) -> State | None:
            try:
                found = self.look(mark, current)
            except Refused as refused:
                ctx.diagnostics.add_warning(FOREIGN_FOUND, str(refused))
                self._provider.taken[ctx.type_name, str(current["id"])] = str(refused)
                return None
            return None if found is None else self._owned(mark, found)

        return self._deed("read", ctx.diagnostics, current, look, current)

    def import_(self, ctx: ImportContext, id: str) -> State | None:  # noqa: A002 -- the framework's name
        """Take over a thing that carries the mark named in `<environment>/<incarnation>/<key>`."""
        parts = id.split("/", 2)
        if len(parts) != 3:
            ctx.diagnostics.add_error(REFUSED_INPUT, "The id to import is <environment>/<incarnation>/<name>.")
            return None
        wanted = {self.ENVIRONMENT: parts[0], "incarnation": parts[1]} | self.from_key(parts[2])

        def look(mark: Mark) -> State | None:
            found = self.look(mark, wanted)
            return None if found is None else self._owned(mark, found)

        return self._deed("import", ctx.diagnostics, wanted, look, None)

    @classmethod
    def mark_of(cls, state: State) -> Mark:
        """Whose the thing with these attributes is to be. Raises KeyError or ValueError where they do not say."""
        return Mark(state[cls.ENVIRONMENT], state["incarnation"])

    # -- the template --

    def _ensured(self, mark: Mark, wanted: State) -> State:
        return self._owned(mark, self.ensure(mark, wanted))

    def _owned(self, mark: Mark, state: State) -> State:
        owned = state | {self.ENVIRONMENT: mark.environment, "incarnation": mark.incarnation}
        return owned | {"id": self.identify(owned)}

    def _deed(
        self,
        verb: str,
        diagnostics: Diagnostics,
        state: State,
        deed: Callable[[Mark], State | None],
        otherwise: State | None,
    ) -> State | None:
        """Run `deed` in a span and as counted work; `otherwise` is the state when it fails."""
        with (
            self._provider.under_way(),
            self._provider.tracer.start_as_current_span(
                f"slipway_{self.NAME} {verb}",
                context=self._provider.parent_context,
                kind=SpanKind.CLIENT,
                attributes={
                    "slipway.environment": str(state.get(self.ENVIRONMENT)),
                    "terraform.resource_type": f"slipway_{self.NAME}",
                    "terraform.action": verb,
                },
                record_exception=False,
            ) as span,
        ):
            try:
                return deed(self.mark_of(state))
            except Exception as failure:  # noqa: BLE001 - the one place where a failure becomes a diagnostic
                summary, detail = explain(failure, self.NAME)
                span.set_status(Status(StatusCode.ERROR, summary))
                diagnostics.add_error(summary, detail)
                return otherwise


def explain(failure: Exception, kind: str) -> tuple[str, str]:
    """The diagnostic for a failed deed: summary (one of the constants) and what to do next."""
    if isinstance(failure, Refused):
        return FOREIGN, str(failure)
    if isinstance(failure, (Busy, OSError)):
        return BUSY, f"{failure} The same run can be repeated."
    if isinstance(failure, ValueError):
        return REFUSED_INPUT, str(failure)
    return f"The {kind} could not be handled", f"{type(failure).__name__}: {failure}"

"""Every subject on the bus, and the only place that builds or takes apart one."""

from typing import Final
from uuid import UUID

from contracts.envelope import Event
from contracts.signals import Signal
from contracts.values import Step

ENVIRONMENTS: Final = "ENVIRONMENTS"
"""Stream: the whole history of every environment."""
SIGNALS: Final = "SIGNALS"
"""Stream: facts from outside."""
TIMERS: Final = "TIMERS"
"""Stream: message schedules and their firings."""
STEP_LOGS: Final = "STEP_LOGS"
"""Stream: output lines of runs."""
DEAD_LETTERS: Final = "DEAD_LETTERS"
"""Stream: messages nobody could handle, with reason and original bytes."""
REPLAYS: Final = "REPLAYS"
"""Stream: dead letters that an operator sent back to the one service that could not handle them."""
FEEDS: Final = "FEEDS"
"""Stream: the events of the teams that have readers, by team."""

ALL_ENVIRONMENT_EVENTS: Final = "environment.*.*"
ALL_SIGNALS: Final = "signal.*.*"


def of(event: Event) -> str:
    """`environment.<name>.<event_in_snake_case>`."""
    return f"environment.{event.subject}.{event.kind}"


def every_signal_of_kind(kind: str) -> str:
    """The facts of one kind, whatever they are about."""
    return f"signal.*.{kind}"


def of_signal(signal: Signal) -> str:
    """`signal.<name>.<signal_in_snake_case>`; the name `platform` (reserved) where no environment is meant."""
    return f"signal.{signal.subject or 'platform'}.{signal.kind}"


def of_platform(kind: type[Signal]) -> str:
    """The facts of one kind that are about no environment."""
    return f"signal.platform.{kind.kind}"


def kind_and_environment(subject: str) -> tuple[str, str] | None:
    """The kind and the environment of the event that stands there; None where it is no subject of an event."""
    first, _, rest = subject.partition(".")
    environment, _, kind = rest.partition(".")
    return (kind, environment) if first == "environment" and kind and "." not in kind else None


def every_event_of(environment: str) -> str:
    """All events of one environment."""
    return f"environment.{environment}.>"


def every_event_of_kind(kind: str) -> str:
    """All events of one kind."""
    return f"environment.*.{kind}"


def one_kind_of(environment: str, kind: str) -> str:
    """The events of one kind of one environment."""
    return f"environment.{environment}.{kind}"


def step_log(run_id: UUID, step: Step) -> str:
    """Output lines of one step of a run."""
    return f"step_log.{run_id}.{step}"


def step_logs_of(run_id: UUID) -> str:
    """Output lines of all steps of a run."""
    return f"step_log.{run_id}.*"


def dead_letter(service: str, original: str) -> str:
    """Where a service lays a message that it cannot handle."""
    return f"dead_letter.{service}.{original}"


def replay(service: str, original: str) -> str:
    """Where a dead letter is put back for the service that laid it down."""
    return f"replay.{service}.{original}"


def original(subject: str) -> str:
    """Where a message stood before it was sent back; a subject that is no `replay` is its own."""
    return subject.split(".", 2)[2] if subject.startswith("replay.") else subject


def query(name: str, service: str = "catalog") -> str:
    """A question to a service (request/reply)."""
    return f"query.{service}.{name}"


def timer_set(environment: str, kind: str) -> str:
    """Where a message schedule is set; a later one on the same subject replaces it."""
    return f"timer.set.{environment}.{kind}"


def timer_fired(environment: str, kind: str) -> str:
    """Where it fires."""
    return f"timer.fired.{environment}.{kind}"


def request(name: str) -> str:
    """A request to the gateway (request/reply), for other systems."""
    return f"request.gateway.{name}"


def fed(team: str, environment: str, kind: str) -> str:
    """`feed.<team>.<environment>.<event_in_snake_case>`: where a team's readers find an event."""
    return f"feed.{team}.{environment}.{kind}"


def feed_of(team: str) -> str:
    """Everything in a team's feed."""
    return f"feed.{team}.>"

"""What every process counts, in Prometheus' terms."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

HANDLED: Final = Counter(
    "slipway_events_handled_total", "Events handled, by what came of them", ["service", "event", "outcome"]
)
DURATION: Final = Histogram(
    "slipway_event_seconds",
    "Seconds from receiving an event to settling it",
    ["service", "event"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
IN_FLIGHT: Final = Gauge("slipway_events_in_flight", "Events being handled now", ["service"])
DEAD_LETTERS: Final = Counter("slipway_dead_letters_total", "Messages laid aside", ["service", "reason"])
CONSUMER_LAG: Final = Gauge(
    "slipway_consumer_oldest_seconds",
    "Age of the oldest event that is neither handled nor in flight",
    ["service", "stream"],
)
RUN_SECONDS: Final = Histogram(
    "slipway_run_seconds",
    "Seconds from asking for a run to its verdict, by the verdict",
    ["service", "verdict"],
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600),
)
RUNS_STALLED: Final = Counter("slipway_runs_stalled_total", "Runs that were said to have stalled", ["service"])
WEBHOOK_ATTEMPTS: Final = Counter(
    "slipway_webhook_attempts_total",
    "Attempts to tell a webhook, by what became of its delivery",
    ["service", "outcome"],
)
READY: Final = Gauge("slipway_ready", "Whether the last look found every dependency usable (1) or not (0)", ["service"])
CONSUMER_PENDING: Final = Gauge("slipway_consumer_pending", "Events that wait to be fetched", ["service", "stream"])


class Meter:
    """The counters of one kind of event in one service. Looking each up by its labels costs more than counting."""

    def __init__(self, service: str, kind: str) -> None:
        self._labels = (service, kind)
        self._in_flight = IN_FLIGHT.labels(service)
        self._duration = DURATION.labels(service, kind)
        self._handled: dict[str, Counter] = {}

    def begin(self) -> None:
        """An event is being handled."""
        self._in_flight.inc()

    def end(self, outcome: str, seconds: float) -> None:
        """What came of it, and after how long."""
        self._in_flight.dec()
        self._duration.observe(seconds)
        if outcome not in self._handled:
            self._handled[outcome] = HANDLED.labels(*self._labels, outcome)
        self._handled[outcome].inc()

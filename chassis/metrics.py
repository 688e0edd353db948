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
CONSUMER_PENDING: Final = Gauge("slipway_consumer_pending", "Events that wait to be fetched", ["service", "stream"])

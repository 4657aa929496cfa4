"""What the broker of the device does: one structured log line and one count each."""

import json
import logging

from prometheus_client import CollectorRegistry, Counter

log = logging.getLogger(__name__)


class Journal:
    """Records events of models and leases; registry: where their counts are read from."""

    def __init__(self, registry: CollectorRegistry | None = None):
        self.registry = registry or CollectorRegistry()
        self._events = Counter(
            "atelier_broker_events",
            "What the broker of the device did, by event.",
            ["event"],
            registry=self.registry,
        )
        self._seconds = Counter(
            "atelier_broker_seconds",
            "Time that the broker's events took, by event.",
            ["event"],
            registry=self.registry,
        )
        self._evictions = Counter(
            "atelier_evictions",
            "Models that left the device, by where they went and what for.",
            ["to", "why"],
            registry=self.registry,
        )

    def record(self, event: str, **facts: str | float) -> None:
        """Note one event; a fact named `seconds` is summed up as well."""
        self._events.labels(event).inc()
        if "seconds" in facts:
            self._seconds.labels(event).inc(float(facts["seconds"]))
        told = " ".join(f"{name}={_value(value)}" for name, value in facts.items())
        log.info("broker event=%s %s", event, told, extra={"facts": {"event": event, **facts}})

    def evicted(self, to: str, why: str) -> None:
        """Count a model that left the device; to: memory or nowhere, why: for what it went."""
        self._evictions.labels(to, why.partition(" for ")[0]).inc()


def _value(value: str | float) -> str:
    """A number as it is, a text in quotes where it needs them."""
    if isinstance(value, str):
        return value if value.replace("-", "").replace("_", "").isalnum() else json.dumps(value)
    return str(value)

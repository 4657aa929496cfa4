"""What is measured at the moment somebody asks: memory, disk, the line of jobs."""

import shutil
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from studio import __version__
from studio.device.remote import Remote
from studio.engine import Engine
from studio.errors import AtelierError
from studio.models.devices import main_memory
from studio.people import Deed, acting
from studio.services import Services


def at_the_moment(services: Services) -> CollectorRegistry:
    """A registry whose figures are taken when it is read."""
    registry = CollectorRegistry()
    registry.register(_Studio(services))
    ProcessCollector(registry=registry)
    return registry


def written(services: Services, registries: Iterable[CollectorRegistry]) -> bytes:
    """All figures for Prometheus; Forbidden when they are not for who is at work."""
    if services.settings.metrics == "administrators":
        acting().must_be_allowed(Deed.SEE_FIGURES)
    return b"".join(generate_latest(each) for each in registries)


class _Studio(Collector):
    """Gauges of the studio, each read from where it is known."""

    def __init__(self, services: Services):
        self._services = services

    def collect(self) -> Iterator[Metric]:
        """All gauges."""
        database = self._services.database.name
        labels = {"database": database, "version": __version__}
        yield _gauge("info", "The version that runs, and on which database.", labels, 1)
        yield from self._line()
        yield self._memory()
        free = shutil.disk_usage(self._services.settings.data_dir).free
        yield _gauge("disk_free_bytes", "Room on the disk of the data folder.", {}, free)

    def _line(self) -> Iterator[Metric]:
        """Jobs that run and wait, where the database can tell."""
        line = GaugeMetricFamily("atelier_line", "Jobs that run and wait.", labels=["state"])
        try:
            now = self._services.queue.line()
        except AtelierError:  # all other figures are wanted just then
            now = None
        if now is not None:
            line.add_metric(["running"], now.running)
            line.add_metric(["waiting"], now.waiting)
            yield line
        yield _gauge("database_up", "Whether the database answers.", {}, now is not None)

    def _memory(self) -> Metric:
        """Bytes of each tier: what there is, is used, is held by models, and may be held."""
        told = GaugeMetricFamily(
            "atelier_memory_bytes",
            "Memory by device, tier (device or main) and what is counted.",
            labels=["device", "tier", "what"],
        )
        # A device that is named twice has one memory all the same.
        engines = {e.known_device.name: e for e in self._services.engines if e.known_device}
        for name, engine in engines.items():
            _add_memory(told, name, engine)
        return told


def _add_memory(told: GaugeMetricFamily, name: str, engine: Engine | Remote) -> None:
    held, now = engine.models.held(), engine.memory()
    here = sum(each.bytes for each in held if not each.resting)
    tiers = {"device": (now.used, now.total, here, engine.budget())}
    if resting := engine.resting_budget():
        main, there = main_memory(), sum(each.bytes for each in held if each.resting)
        tiers["main"] = (main.used, main.total, there, resting)
    for tier, figures in tiers.items():
        for what, figure in zip(("used", "total", "models", "budget"), figures, strict=True):
            told.add_metric([name, tier, what], figure)


def _gauge(name: str, meaning: str, labels: dict[str, str], value: float) -> Metric:
    metric = GaugeMetricFamily(f"atelier_{name}", meaning, labels=list(labels))
    metric.add_metric(list(labels.values()), value)
    return metric

"""A cluster of Ray on this machine, whose nodes are processes, and services that work on them."""

import time
from pathlib import Path
from typing import Any

from at_work import AtWork
from ray.cluster_utils import Cluster

from studio.cluster.node import Whereabouts
from studio.services import Services, build_services
from studio.settings import Settings

_STORE = 80 * 2**20
"""Bytes of each node's object store, near the least that Ray takes."""


def begun() -> Cluster:
    """A cluster without places."""
    head = {
        "num_cpus": 0,
        "include_dashboard": False,
        "object_store_memory": _STORE,
        "_system_config": {"health_check_period_ms": 500, "health_check_failure_threshold": 3},
    }
    return Cluster(initialize_head=True, head_node_args=head)


def with_place(cluster: Cluster, variables: dict[str, str] | None = None) -> Any:
    """One more node, on whose processor one worker can be; variables: of its environment."""
    return cluster.add_node(
        num_cpus=1,
        resources={"atelier": 1},
        object_store_memory=_STORE,
        env_vars=variables or {},
    )


class Lab(AtWork):
    """A cluster without places at first, and services on it; fields: of the settings.

    here: the id of a node that a test leaves to the next.
    """

    def __init__(self, folder: Path, **fields: object):
        self.folder = folder
        self.here = ""
        self.cluster = begun()
        given = {"data_dir": folder / "data", "device": "cpu", "dtype": "float32", **fields}
        self.services = self.serve(Settings(**given))

    def serve(self, settings: Settings) -> Services:
        """Services that are at work."""
        services = build_services(settings, cluster=self.cluster.address)
        services.start()
        return services

    def close(self) -> None:
        """End all of it."""
        self.services.stop()
        self.cluster.shutdown()

    def add(self, own_folder: bool = False) -> Any:
        """One more node; own_folder: with a data folder of its own."""
        folder = self.folder / f"node-{len(self.cluster.worker_nodes)}" if own_folder else ""
        return with_place(self.cluster, {"ATELIER_DATA_DIR": str(folder)} if folder else {})

    def busy(self) -> Whereabouts:
        """Where the one worker is that has a job."""
        (place,) = (h.places[-1] for h in self.services.crew.roster.hands if not h.worker.is_idle)
        return place

    def kill_node(self, node: str) -> None:
        """End a node at once, as the loss of its power does; node: its id."""
        (raylet,) = (each for each in self.cluster.worker_nodes if each.node_id == node)
        self.cluster.remove_node(raylet, allow_graceful=False)

    def up(self, count: int) -> None:
        """Wait until so many workers can work, and no more are there."""
        until = time.monotonic() + self.wait
        while [engine.is_up for engine in self.services.crew.engines] != [True] * count:
            assert time.monotonic() < until, self.services.crew.engines
            time.sleep(0.05)

"""The server as one of those who use a cluster of Ray."""

import importlib.util
import logging
import signal
import threading

from studio.cluster.placed import ATELIER, GPU
from studio.errors import SettingsError, first_words

log = logging.getLogger(__name__)


def join(address: str) -> None:
    """Connect with a cluster; address: auto for the one of this machine, or its head's.

    Raises SettingsError when that cannot be reached, or Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise SettingsError(
            f"Setting cluster (ATELIER_CLUSTER) is {address!r}, but Ray is not installed; install "
            "atelier[cluster] or leave the setting empty."
        )
    import ray
    from ray.exceptions import RayError

    if ray.is_initialized():
        raise SettingsError("This process is connected with a cluster of Ray already.")
    # Ray takes over the signal by which the server is told to end.
    ours = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, namespace="atelier", log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise SettingsError(
            f"Setting cluster (ATELIER_CLUSTER) is {address!r}, but that cannot be reached "
            f"({first_words(error)}); begin it by `ray start` on this machine, or correct the "
            "setting."
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)


def leave() -> None:
    """Let go of the cluster; what was placed there ends."""
    import ray

    ray.shutdown()


def places() -> dict[str, int]:
    """How many workers there can be right now, by what each takes of its node."""
    import ray

    there = ray.cluster_resources()
    return {resource: int(there.get(resource, 0)) for resource in (GPU, ATELIER)}

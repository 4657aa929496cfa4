"""Whether work can start, and what stands in its way."""

import shutil

from studio.errors import AtelierError
from studio.services import Services

_LEAST_DISK = 200 * 10**6
"""Bytes below which no picture should be begun."""


def obstacles(services: Services) -> list[str]:
    """What work still waits for, in words that a stranger may read; empty when it can start."""
    found = []
    if services.engine.known_device is None:
        found.append("the device is being prepared")
    elif not any(engine.is_up for engine in services.engines):
        found.append("the device's process is being begun again")
    crew = services.crew
    if crew is not None and not any(engine.is_up for engine in crew.engines):
        found.append("no node of the cluster can work")
    try:
        services.queue.line()
    except AtelierError:
        found.append("the database cannot be read")
    if not services.workers.run:
        found.append("a worker does not run")
    try:
        if shutil.disk_usage(services.settings.data_dir).free < _LEAST_DISK:
            found.append("the disk is full")
    except OSError:
        found.append("the data folder is gone")
    return found

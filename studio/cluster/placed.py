"""A device's process that Ray has placed on one of its nodes, as the server reaches it."""

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

from studio import __version__
from studio.cluster.node import Node, Whereabouts
from studio.device.messages import read_frame
from studio.errors import AtelierError, first_words

log = logging.getLogger(__name__)
GPU, ATELIER = "GPU", "atelier"
"""What a worker takes of a node: one of its cards, or one of the places that a person gave it."""
_LOOK_SECONDS = 0.5
_GROUPS = {"telling": 1, "hearing": 1}
"""A thread each, so that what is told comes in order, however long somebody waits for news."""


class Placed:
    """One such process; actor: the handle that Ray has of it."""

    def __init__(self, actor: Any, where: Whereabouts):
        self._actor = actor
        self._end: Exception | None = None
        self.where = where
        self.input = _Wire(actor)

    def frames(self) -> Iterator[bytes]:
        """What it tells, message by message, until it has ended."""
        while content := self._heard():
            stream = io.BytesIO(content)
            while (frame := read_frame(stream)) is not None:
                yield frame

    def kill(self) -> None:
        """End it at once."""
        self.input.close()

    def ended(self) -> tuple[str, str]:
        """Why it has ended, in words and in one, once it tells nothing any more."""
        self.kill()  # one that the network has cut off would keep its card
        told = str(self._end)
        if self._end is None:
            return "it ended by itself", "exit"
        if "its node has died" in told or "unavailable" in told:
            return f"its node {self.where.host} is gone", "node"
        return f"it was killed on the node {self.where.host}", "exit"

    def _heard(self) -> bytes:
        import ray
        from ray.exceptions import RayError

        told = self._actor.told.options(concurrency_group="hearing")
        try:
            content: bytes = ray.get(told.remote())
            return content
        except RayError as error:
            self._end = error
            return b""


class _Wire:
    """What the server tells an actor, in order."""

    def __init__(self, actor: Any):
        self._actor = actor

    def write(self, content: bytes) -> None:
        """Tell it, and wait until it has heard; OSError when it does not live any more."""
        import ray
        from ray.exceptions import RayError

        tell = self._actor.tell.options(concurrency_group="telling")
        try:
            ray.get(tell.remote(content))
        except RayError as error:
            raise OSError(first_words(error)) from error

    def flush(self) -> None:
        """It has been told already."""

    def close(self) -> None:
        """End the actor: nobody tells it anything any more."""
        import ray

        if ray.is_initialized():
            ray.kill(self._actor)


def placed(
    resource: str, on_place: Callable[[Whereabouts], object]
) -> Callable[[Callable[[], bool]], Placed | None]:
    """Has Ray place processes that take one of a resource each; on_place: told where one is."""

    def begin(is_wanted: Callable[[], bool]) -> Placed | None:
        import ray
        from ray.exceptions import RayError

        takes = {"num_gpus": 1} if resource == GPU else {"resources": {resource: 1}}
        # Begun again by who keeps it, and not by Ray: with it goes the work that it did.
        remote: Any = ray.remote  # whose types know less than it does
        made = remote(concurrency_groups=_GROUPS)(Node).options(
            num_cpus=0, max_restarts=0, max_task_retries=0, **takes
        )
        actor = made.remote()
        asked = actor.whereabouts.remote()
        while not ray.wait([asked], timeout=_LOOK_SECONDS)[0]:
            if not is_wanted():
                ray.kill(actor)
                return None
        try:
            where = ray.get(asked)
        except RayError as error:
            raise AtelierError(
                f"a node of the cluster could not begin it ({first_words(error)}); "
                f"Atelier {__version__} must be installed on each."
            ) from error
        if where.version != __version__:
            ray.kill(actor)
            raise AtelierError(
                f"the node {where.host} has Atelier {where.version}, but this is {__version__}; "
                "install the same on all."
            )
        log.info("A worker was placed on the node %s (process %d).", where.host, where.process)
        on_place(where)
        return Placed(actor, where)

    return begin

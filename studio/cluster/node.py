"""The program of a device as an actor of Ray, on the node where that has put it."""

import io
import os
import queue
import socket
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from studio import __version__
from studio.device.desk import Desk
from studio.device.messages import Begin, Sender, read_frame
from studio.device.program import Serving, begin_of, log_upstream
from studio.errors import AtelierError, ModelError, from_os_error
from studio.models.devices import Device
from studio.settings import Settings
from studio.store.nowhere import NoDatabase


@dataclass(frozen=True)
class Whereabouts:
    """Where an actor is: name of the machine, process, the node's id in Ray, Atelier's version."""

    host: str
    process: int
    node: str
    version: str


class Node:
    """What the server calls; messages go both ways as bytes, in the frames of a pipe."""

    def __init__(self) -> None:
        self._out = _Outbox()
        self._serving: Serving | None = None

    def whereabouts(self) -> Whereabouts:
        """Where this is."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        return Whereabouts(socket.gethostname(), os.getpid(), node, __version__)

    def tell(self, content: bytes) -> None:
        """Take messages of the server, the first of which begins the work."""
        stream = io.BytesIO(content)
        while (frame := read_frame(stream)) is not None:
            if self._serving is None:
                self._begin(begin_of(frame))
            else:
                self._serving.take(frame)

    def told(self) -> bytes:
        """What there is to tell, once there is something; nothing at the end."""
        return self._out.take()

    def _begin(self, begin: Begin) -> None:
        # Where the node's own environment names no folder, it is to have the server's.
        folder = os.environ.get("ATELIER_DATA_DIR") or begin.settings["data_dir"]
        given = {**begin.settings, "device": begin.device, "data_dir": folder}
        settings = Settings(**given)
        sender = Sender(self._out)
        log_upstream(sender, settings)
        self._serving = Serving(partial(_desk, settings, begin), sender)
        if not self._serving.start():
            self._out.close()


class NodeDesk(Desk):
    """A desk whose database is the server's, which has its pictures sent."""

    def __init__(self, settings: Settings, begin: Begin, sender: Sender):
        super().__init__(settings, begin, sender, NoDatabase())
        self._here = f"{socket.gethostname()} ({settings.data_dir})"

    def prepare(self) -> Device:
        """Find the device, and name it so that it is known among those of all nodes."""
        import ray

        device, host = super().prepare(), socket.gethostname()
        numbers = ray.get_gpu_ids()  # here each worker sees one card, which it calls the first
        name = f"{device.sort}:{numbers[0]}" if numbers else device.name
        return replace(device, name=f"{name} on {host}", label=f"{device.label} on {host}")

    def refuse(self, error: BaseException) -> BaseException:
        """A failure as it is told: of a model that is missing, with the place where it is."""
        if type(error) is ModelError:
            return ModelError(f"{error} This is of the node {self._here}, which reads its own.")
        return error


def _desk(settings: Settings, begin: Begin, sender: Sender) -> Desk:
    try:
        for part in ("models", "inputs"):
            (Path(settings.data_dir) / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = from_os_error(error, f"write to the data folder {settings.data_dir}")
        raise AtelierError(f"The node {socket.gethostname()} cannot work. {found}") from error
    return NodeDesk(settings, begin, sender)


class _Outbox:
    """A stream that keeps what is written until the server takes it."""

    def __init__(self) -> None:
        self._parts: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def write(self, content: bytes) -> None:
        """Keep a whole frame."""
        self._parts.put(content)

    def flush(self) -> None:
        """It can be taken already."""

    def close(self) -> None:
        """Nothing more comes."""
        self._parts.put(b"")

    def take(self) -> bytes:
        """All that is there, waiting for the first of it; nothing at the end."""
        parts = [self._parts.get()]
        while parts[-1] and not self._parts.empty():
            parts.append(self._parts.get())
        return b"".join(parts)

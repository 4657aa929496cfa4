"""Lets models go that nobody has wanted for long."""

import logging
import threading

from studio.errors import AtelierError
from studio.models.slots import InMemory

log = logging.getLogger(__name__)
_LOOKS_A_SPAN = 10
"""How often it is looked within the time that a model may be idle."""


class Tidying:
    """A thread that drops idle models of devices.

    minutes: that one may be idle, 0 to keep it for ever.
    """

    def __init__(self, models: InMemory, minutes: float):
        self._models = models
        self._seconds = minutes * 60
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="tidying", daemon=True)

    def start(self) -> None:
        """Begin to look, where there is a limit."""
        if self._seconds:
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        while not self._closing.wait(self._seconds / _LOOKS_A_SPAN):
            try:
                titles = self._models.drop_idle(self._seconds)
            except AtelierError as error:  # a device's process has just died
                log.warning("Idle models could not be looked for: %s", error)
                continue
            for title in titles:
                log.info("%s left memory: nobody used it for long.", title)

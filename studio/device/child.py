"""The process of a device as the server keeps it: begun, listened to, and begun again when it dies.

A thread begins the process, listens to it and learns of its end; another one ends it when it shows
no sign of life. Who has called it then is told so by DeviceLost. The process is begun by a thread
that lives as long as it is wanted, since Linux ends it with the thread that began it.
"""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator

from pydantic import BaseModel

from studio.device.life import Call, Life
from studio.device.line import Opener
from studio.device.messages import (
    UPSTREAM,
    Alive,
    Begin,
    Evicted,
    Logged,
    Noted,
    OfCall,
    Ready,
    State,
    Unusable,
)
from studio.errors import AtelierError, DeviceLost, SettingsError
from studio.models.devices import Device
from studio.models.journal import Journal

log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
_STARTS = 3
"""How often in a row a process may die at its beginning before whoever waits for it is told so."""
_LONGEST_PAUSE = 60.0
_END_SECONDS = 1.5


class Child:
    """One device's process; begin: what it is told first. silence: seconds without a sign of life.

    lost: told why, in a word, whenever the process has died. open_line: begins the process.
    """

    def __init__(
        self,
        begin: Begin,
        silence: float,
        journal: Journal,
        lost: Callable[[str], object],
        open_line: Opener,
    ):
        self._begin = begin
        self._silence = silence
        self._journal = journal
        self._lost = lost
        self._open = open_line
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._life: Life | None = None
        self._failed_starts = 0
        self._unusable = ""
        self._closing = False
        self._keeper = threading.Thread(target=self._keep, name="device", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name="device-watch", daemon=True)
        self.device: Device | None = None
        self.state: State | None = None
        self.deaths = 0

    @property
    def name(self) -> str:
        """The device, as the settings call it."""
        return self._begin.device

    @property
    def is_up(self) -> bool:
        """Whether the process can work right now."""
        return self._life is not None and self._life.is_ready

    @property
    def is_hopeless(self) -> bool:
        """Whether the process cannot work as it is set, or has died at its beginning too often."""
        return bool(self._unusable) or self._failed_starts >= _STARTS

    def start(self) -> None:
        """Begin the process, where that was not done yet."""
        with self._changed:
            if self._keeper.ident is None and not self._closing:
                self._keeper.start()
                self._watcher.start()

    def stop(self) -> None:
        """End the process; whoever has called it is told that it is lost."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if (life := self._life) is not None:
            # Apart, for it waits for whoever is just writing, and that may be for ever.
            threading.Thread(target=life.close, daemon=True).start()
        if self._keeper.ident is not None:
            self._keeper.join(_END_SECONDS)
            if self._keeper.is_alive() and life is not None:
                life.kill("")
                self._keeper.join(_END_SECONDS)
            self._watcher.join(_END_SECONDS)

    def wait(self, check: Callable[[], object] = lambda: None) -> Life:
        """The process once it can work; check: called now and then, and what it raises ends this.

        Raises SettingsError when it cannot work as it is set, DeviceLost when it does not come up.
        """
        self.start()
        before = self._failed_starts
        while True:
            with self._changed:
                if self._life is not None and self._life.is_ready:
                    return self._life
                if self._unusable:
                    raise SettingsError(self._unusable)
                if self._closing:
                    raise DeviceLost("The server ends.", to_blame=False)
                if self._failed_starts >= max(_STARTS, before + 1):
                    raise DeviceLost(
                        f"The process of the device {self.name} ended {_STARTS} times at its "
                        "beginning; the log has the details."
                    )
                self._changed.wait(_LOOK_SECONDS)
            check()

    def call(
        self, message: Callable[[int], BaseModel], check: Callable[[], object] = lambda: None
    ) -> Call:
        """Begin a call; message: makes it of the call's number. check: as of waiting."""
        while True:
            life = self.wait(check)
            if (call := life.call(next(self._numbers), message)) is not None:
                return call
            # It has ended just now, but before there was anything that could be lost.

    def _keep(self) -> None:
        pause = 0.0
        while not self._closing and not self._unusable:
            with self._changed:
                if pause and not self._closing:
                    self._changed.wait(pause)
                if self._closing:
                    return
            ready = self._live()
            pause = 0.0 if ready else min(_LONGEST_PAUSE, max(1.0, 2 * pause))

    def _live(self) -> bool:
        """One life of the process, to its end; whether it ever could work."""
        try:
            line = self._open(lambda: not self._closing)
        except (OSError, AtelierError) as error:
            log.error("The process of the device %s could not be begun: %s", self.name, error)
            with self._changed:
                self._failed_starts += 1
                self._changed.notify_all()
            return False
        if line is None:
            return False
        life = Life(line)
        with self._changed:
            self._life = life
            closing = self._closing
        life.send(self._begin)
        if closing:
            life.close()
        try:
            self._listen(life, line.frames())
        except Exception:  # or nobody would begin it again
            log.exception("What the process of the device %s told could not be read", self.name)
            life.kill("it told something that could not be read")
        words, why = line.ended()
        if life.killed_for:
            words, why = life.killed_for, "silence"
        with self._changed:
            self._life = None
            self._failed_starts = 0 if life.is_ready else self._failed_starts + 1
            over = self._closing or bool(self._unusable)
            self._changed.notify_all()
        if over:
            life.end("The server ends.")
            return life.is_ready
        log.error(
            "The process of the device %s has ended: %s. It is begun again.", self.name, words
        )
        self.deaths += 1
        self._lost(why)
        life.end(f"The process of the device ended in the middle of its work: {words}.")
        return life.is_ready

    def _listen(self, life: Life, frames: Iterator[bytes]) -> None:
        for frame in frames:
            life.beat()
            message = UPSTREAM.validate_json(frame)
            match message:
                case Alive():
                    life.signs(message.signs)
                case State():
                    self.state = message
                case Noted():
                    self._journal.record(message.event, **message.facts)
                case Evicted():
                    self._journal.evicted(message.to, message.why)
                case Logged():
                    logger = logging.getLogger(message.logger)
                    logger.log(message.level, "%s", message.message, extra={"job": message.job})
                case Ready():
                    with self._changed:
                        self.device = message.device
                        life.is_ready = True
                        self._changed.notify_all()
                case Unusable():
                    log.error("%s", message.reason)
                    with self._changed:
                        self._unusable = message.reason
                        self._changed.notify_all()
                case _:
                    _deliver(life, message)

    def _watch(self) -> None:
        """End a process that shows no sign of life."""
        while not self._closing:
            time.sleep(_LOOK_SECONDS)
            life = self._life
            if life is not None and (guilty := life.silent(self._silence)) is not None:
                for call in guilty:
                    call.is_to_blame = True
                life.kill(f"no sign of life for {self._silence:g} s")


def _deliver(life: Life, message: OfCall) -> None:
    if (call := life.calls.get(message.call)) is not None:
        call.put(message)

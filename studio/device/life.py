"""One life of a device's process, and the calls that are open in it."""

import queue
import threading
import time
from collections.abc import Callable, Iterable

from pydantic import BaseModel

from studio.device.line import Line
from studio.device.messages import OfCall, Run, Sender, Stop
from studio.errors import DeviceLost

_START_SECONDS = 300.0
"""What the beginning may take at least: native libraries are loaded without a sign of life."""


class Call:
    """Something that the process was told to do, and what it has told of that so far."""

    def __init__(self, number: int, life: "Life"):
        self.number = number
        self._life = life
        self._told: queue.SimpleQueue[OfCall | str] = queue.SimpleQueue()
        self.sign_at = time.monotonic()
        self.is_to_blame = False

    def put(self, message: OfCall | str) -> None:
        """Take in a message, or why there will be none."""
        self.sign_at = time.monotonic()
        self._told.put(message)

    def next(self, seconds: float | None = None) -> OfCall | None:
        """The next message, None when there is none for so long; DeviceLost when it has died."""
        try:
            told = self._told.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(told, str):
            raise DeviceLost(told, to_blame=self.is_to_blame)
        return told

    def send(self, message: BaseModel) -> None:
        """Tell the process something about this call."""
        self._life.send(message)

    def close(self) -> None:
        """Forget the call: it has ended."""
        self._life.calls.pop(self.number, None)

    def stopped(self, *, closing: bool = False) -> Stop:
        """The message that stops it."""
        return Stop(call=self.number, closing=closing)


class Life:
    """A process from its beginning to its end."""

    def __init__(self, line: Line):
        self._line = line
        self._sender = Sender(line.input)
        self._lock = threading.Lock()
        self._ended = False
        self._beat_at = time.monotonic()
        self.calls: dict[int, Call] = {}
        self.is_ready = False
        self.killed_for = ""

    def call(self, number: int, message: Callable[[int], BaseModel]) -> Call | None:
        """Begin a call; None when the process has ended."""
        call = Call(number, self)
        asked = message(number)
        call.is_to_blame = isinstance(asked, Run)
        with self._lock:
            if self._ended:
                return None
            self.calls[number] = call
        self.send(asked)
        return call

    def send(self, message: BaseModel) -> None:
        """Send a message; when nobody reads any more, the end of the process is told elsewhere."""
        self._sender.send(message)

    def beat(self) -> None:
        """Note that the process has told something."""
        self._beat_at = time.monotonic()

    def signs(self, numbers: Iterable[int]) -> None:
        """Note that these calls have shown a sign of life."""
        now = time.monotonic()
        for number in numbers:
            if (call := self.calls.get(number)) is not None:
                call.sign_at = now

    def silent(self, seconds: float) -> list[Call] | None:
        """The calls without a sign of life for so long, all when the process has none; else None.

        When some have none, nobody else is to blame for what follows.
        """
        if not seconds or self.killed_for:
            return None
        since = time.monotonic() - (seconds if self.is_ready else max(seconds, _START_SECONDS))
        calls = list(self.calls.values())
        if self._beat_at < since:
            return calls
        guilty = [call for call in calls if call.sign_at < since]
        if not guilty:
            return None
        for call in calls:
            call.is_to_blame = False
        return guilty

    def close(self) -> None:
        """Let the process end: nobody tells it anything any more."""
        try:
            self._line.input.close()
        except OSError:
            return

    def kill(self, why: str) -> None:
        """End it at once."""
        self.killed_for = why
        self._line.kill()

    def end(self, why: str) -> None:
        """Tell all calls that the process has ended."""
        self.close()
        with self._lock:
            self._ended = True
        for call in list(self.calls.values()):
            call.put(why)

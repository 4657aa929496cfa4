"""One job's events, from the worker that emits to any number of listeners."""

import threading
from collections.abc import Callable, Iterator

from studio.context import Signal
from studio.errors import Cancelled, ServerEnds
from studio.events import FINAL, TRANSIENT, Event


class Channel:
    """Events of one job. Late listeners first get what they missed; stale progress is dropped.

    watch: is given every event as it is told.
    """

    def __init__(self, watch: Callable[[Event], None] = lambda event: None) -> None:
        self._watch = watch
        self._changed = threading.Condition()
        self._number = 0
        self._lasting: list[tuple[int, Event]] = []
        self._latest: dict[type, tuple[int, Event]] = {}
        self._closed = False
        self._at_end: list[Callable[[], object]] = []
        self._attached: list[Callable[[], object]] = []

    def emit(self, event: Event) -> None:
        """Tell all listeners; a final event closes the channel, and nothing follows it."""
        with self._changed:
            if self._closed:
                return
            self._number += 1
            if isinstance(event, TRANSIENT):
                self._latest[type(event)] = (self._number, event)
            else:
                self._lasting.append((self._number, event))
            if isinstance(event, FINAL):
                self._closed = True
                self._latest.clear()
            self._changed.notify_all()
            calls = [*self._attached]
            if self._closed:
                calls += self._at_end
                self._at_end = []
        self._watch(event)
        for call in calls:
            call()

    @property
    def closed(self) -> bool:
        """Whether the final event has been told."""
        return self._closed

    def when_closed(self, call: Callable[[], object]) -> None:
        """Have something called once the final event is told, by who tells it; at once if it is.

        It must not wait nor raise. Whoever waits in an event loop is woken so without a thread.
        """
        with self._changed:
            if not self._closed:
                self._at_end.append(call)
                return
        call()

    def attach(self, call: Callable[[], object]) -> None:
        """Have something called after every event, by who tells it, until it is detached.

        It must not wait nor raise; what there is to hear `told` tells.
        """
        with self._changed:
            self._attached.append(call)

    def detach(self, call: Callable[[], object]) -> None:
        """Call it no more."""
        with self._changed:
            self._attached.remove(call)

    def told(self, after: int = 0) -> list[tuple[int, Event]]:
        """What a late listener would get at once, in order, each with its number, beyond one."""
        with self._changed:
            return self._after(after)

    def wake(self) -> None:
        """Let listeners see that nothing has happened, before their heartbeat does."""
        with self._changed:
            self._changed.notify_all()

    def now(self) -> list[Event]:
        """All that a late listener would get at once, in order."""
        return [event for _, event in self.told()]

    def listen(self, heartbeat: float | None = None) -> Iterator[Event | None]:
        """Events from the start to the final one, in order.

        heartbeat: seconds after which None is yielded when nothing happened; None waits for ever.
        """
        seen = 0
        while True:
            with self._changed:
                fresh = self._after(seen)
                if not fresh and not self._closed:
                    self._changed.wait(heartbeat)
                    fresh = self._after(seen)
                closed = self._closed
            if not fresh:
                if closed:
                    return
                yield None
            for seen, event in fresh:  # noqa: B007 - the last number is where to go on
                yield event
                if isinstance(event, FINAL):
                    return

    def _after(self, number: int) -> list[tuple[int, Event]]:
        known = [*self._lasting, *self._latest.values()]
        return sorted((item for item in known if item[0] > number), key=lambda item: item[0])


class CancelToken:
    """A person's wish to stop or to skip, read by the worker between steps."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._closing = False
        self._skipped = threading.Event()

    def cancel(self, *, closing: bool = False) -> None:
        """Stop the job at its next step; closing: for the server ends, not because of a person."""
        self._closing = closing and not self._cancelled.is_set()
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether the job is to stop."""
        return self._cancelled.is_set()

    @property
    def is_taken_back(self) -> bool:
        """Whether a person wants the job to stop."""
        return self._cancelled.is_set() and not self._closing

    def skip(self) -> None:
        """Leave out the rest of the running item."""
        self._skipped.set()

    def check(self) -> Signal:
        """Cancelled (or ServerEnds) when the job is to stop; SKIP once for each wish to skip."""
        if self._cancelled.is_set():
            raise ServerEnds if self._closing else Cancelled
        if self._skipped.is_set():
            self._skipped.clear()
            return Signal.SKIP
        return Signal.GO_ON

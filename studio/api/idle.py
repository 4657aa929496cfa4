"""Ends the server that nobody uses, where that costs money."""

import logging
import os
import shlex
import threading
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from studio.api.guard import OPEN
from studio.errors import AtelierError

log = logging.getLogger(__name__)
_UNCOUNTED = OPEN | {"/metrics"}
"""What watches the studio uses it not."""
_HEARTBEAT = "/heartbeat/"
"""Gradio's own request that stays open as long as a page is, whether or not it is looked at."""
_LOOKS = 20
"""How often it is looked within the time that is allowed."""


class Seen:
    """When somebody last asked for anything; a page that is looked at does every two seconds.

    open: requests that are not answered yet; of the event loop's thread alone.
    """

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.open = 0

    def now(self) -> None:
        """Somebody did."""
        self.last = time.monotonic()


class Watching:
    """The middleware that notes when requests come and when they are answered."""

    def __init__(self, app: ASGIApp, seen: Seen):
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the request and pass it on."""
        if scope["type"] == "lifespan" or scope["path"] in _UNCOUNTED:
            await self._app(scope, receive, send)
            return
        self._seen.now()
        if _HEARTBEAT in scope["path"]:
            await self._app(scope, receive, send)
            return
        self._seen.open += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._seen.open -= 1
            self._seen.now()


class IdleStop:
    """A thread that stops the server after minutes without page and job; 0 for never.

    is_busy: whether jobs run or wait. stop: is called once, and `happened` is true then.
    """

    def __init__(
        self, minutes: float, seen: Seen, is_busy: Callable[[], bool], stop: Callable[[], None]
    ):
        self._seconds = minutes * 60
        self._seen = seen
        self._is_busy = is_busy
        self._stop = stop
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="idle", daemon=True)
        self.happened = False

    def __enter__(self) -> "IdleStop":
        """Begin to look, where there is a limit."""
        if self._seconds:
            self._seen.now()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        while not self._closing.wait(min(30.0, self._seconds / _LOOKS)):
            try:
                if self._seen.open or self._is_busy():
                    self._seen.now()
            except AtelierError as error:
                log.warning("Whether jobs run could not be found out: %s", error)
                continue
            idle = time.monotonic() - self._seen.last
            if idle >= self._seconds:
                log.info("Nobody has used the studio for %.1f minutes: it ends.", idle / 60)
                self.happened = True
                self._stop()
                return


def become(line: str) -> None:
    """Do what is to be done once the server has ended for being idle, in its place; "" for nothing.

    The command takes over this process, so that nothing is left that could end it too soon.
    """
    if not line:
        return
    log.info("Idle: running %s", line)
    try:
        words = shlex.split(line)
        os.execvp(words[0], words)
    except (OSError, ValueError, IndexError) as error:
        log.error("The command for the end of an idle server (%s) did not run: %s", line, error)

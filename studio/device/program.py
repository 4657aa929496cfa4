"""The program of a device: does what the server tells it by its standard input.

It lives no longer than its server: it ends when that input does.
"""

import ctypes
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout
from pydantic import BaseModel

from studio import logs
from studio.device.desk import Desk
from studio.device.faults import refused
from studio.device.messages import (
    DOWNSTREAM,
    Begin,
    Logged,
    Ready,
    Sender,
    Skip,
    Stop,
    Unusable,
    read_frame,
)
from studio.errors import AtelierError, StorageError
from studio.settings import Settings

log = logging.getLogger(__name__)
_BEAT_SECONDS = 1.0
_TOGETHER = 32
"""Calls that are worked on at once."""
_BEFORE_SECONDS = 60.0
"""How long the end of the process before this one may take."""
_BEHIND = 5
"""Niceness of a process whose device is the processor."""
_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG."""


def main(build: Callable[[Settings, Begin, Sender], Desk] = Desk) -> None:
    """Serve until standard input ends; build: what does the work."""
    stdin, stdout = sys.stdin.buffer, _own_output()
    _outlive_signals()
    faulthandler.enable()
    sender = Sender(stdout, gone=lambda: os._exit(0))
    first = read_frame(stdin)
    if first is None:
        return
    begin = begin_of(first)
    settings = Settings(**{**begin.settings, "device": begin.device})
    log_upstream(sender, settings)
    lock = FileLock(settings.data_dir / f"device-{begin.number}.lock")
    serving = Serving(partial(build, settings, begin), sender, partial(_take, lock))
    try:
        if not serving.start():
            return
    except StorageError as error:  # it may pass, as when a database is being begun again
        log.error("%s", error)
        os._exit(1)
    while (frame := read_frame(stdin)) is not None:
        serving.take(frame)
    os._exit(0)  # whatever is still at work: nobody waits for it


def begin_of(frame: bytes) -> Begin:
    """The first message of a server."""
    begin = DOWNSTREAM.validate_json(frame)
    assert isinstance(begin, Begin)
    return begin


class Serving:
    """A desk that does what the server tells; build: makes it, of who sends what it tells.

    before: called before each call, such as to see that nothing is done twice at a time.
    """

    def __init__(
        self,
        build: Callable[[Sender], Desk],
        sender: Sender,
        before: Callable[[], object] = lambda: None,
    ):
        self._build = build
        self._sender = sender
        self._before = before
        self._desk: Desk | None = None
        self._pool = ThreadPoolExecutor(_TOGETHER, thread_name_prefix="call")

    def start(self) -> bool:
        """Make the desk and prepare its device; False, and told, when it cannot work as it is set.

        What is needed for that is imported in the background. Raises StorageError.
        """
        try:
            desk = self._desk = self._build(self._sender)
        except StorageError:
            raise
        except AtelierError as error:
            self._sender.send(Unusable(reason=str(error)))
            return False
        self._pool.submit(_prepare, desk, self._sender)
        threading.Thread(target=_beat, args=(desk, self._sender), name="beat", daemon=True).start()
        return True

    def take(self, frame: bytes) -> None:
        """Do what a message asks for, or begin to."""
        assert self._desk is not None
        message = DOWNSTREAM.validate_json(frame)
        if isinstance(message, Stop | Skip):
            self._desk.signal(message)
        else:
            self._before()
            self._desk.expect(message)
            self._pool.submit(_answer, self._desk, self._sender, message)


def _take(lock: FileLock) -> None:
    """Wait for the process before this one: that of a server which was killed may still be ending.

    Thus nothing is done twice at a time.
    """
    if lock.is_locked:
        return
    try:
        lock.acquire(_BEFORE_SECONDS)
    except Timeout:
        log.error("Another process of this device does not end; end it.")
        os._exit(1)


def _answer(desk: Desk, sender: Sender, message: BaseModel) -> None:
    call: int = message.call  # type: ignore[attr-defined]
    try:
        sender.send(desk.answer(message))
    except BaseException as error:  # of work, whose thread must live on
        if not isinstance(error, AtelierError):
            log.exception("A call failed")
        sender.send(refused(call, desk.refuse(error)))


def _prepare(desk: Desk, sender: Sender) -> None:
    """Find the device and import what the first job needs."""
    try:
        device = desk.prepare()
    except AtelierError as error:
        sender.send(Unusable(reason=str(error)))
    except BaseException:  # nothing will work then: the server is to know why
        log.exception("The device could not be prepared")
        os._exit(1)
    else:
        if device.sort == "cpu":
            _stand_back()
        desk.tell_state()
        sender.send(Ready(device=device))


def _beat(desk: Desk, sender: Sender) -> None:
    """Tell again and again that the process is alive and how it is."""
    while True:
        time.sleep(_BEAT_SECONDS)
        sender.send(desk.alive())
        desk.tell_state()


def _stand_back() -> None:
    """Let the server go first where both want the processor: a page that answers costs little."""
    if sys.platform == "linux":  # which knows it by thread; those that come later inherit it
        for thread in Path("/proc/self/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), _BEHIND)
    elif hasattr(os, "nice"):
        os.nice(_BEHIND)


def _own_output() -> BinaryIO:
    """Standard output for messages alone: what anything prints goes to standard error."""
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return own


def _outlive_signals() -> None:
    """Leave signals for all processes to the server, and end when that is killed."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    if sys.platform == "linux":
        # The end of standard input tells it too, but not while native code holds Python's lock.
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


def log_upstream(sender: Sender, settings: Settings) -> None:
    """Have the server write the log."""
    root = logging.getLogger()
    root.handlers = [_Upstream(sender)]
    root.setLevel(settings.log_level.upper())
    logging.captureWarnings(settings.log_format == "json")


class _Upstream(logging.Handler):
    def __init__(self, sender: Sender):
        super().__init__()
        self._sender = sender
        self.addFilter(logs.note_job)
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Send the line, with the fault that it tells of."""
        told = self.format(record).encode("utf-8", "replace").decode()
        job = getattr(record, "job", "")
        self._sender.send(Logged(level=record.levelno, logger=record.name, message=told, job=job))

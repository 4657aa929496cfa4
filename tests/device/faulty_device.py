"""The program of a device that has faults: run in the place of `python -m studio.device`.

A file `faults` in the data folder names them, one a line and used once: the sort, and after which
step of a job it comes.
"""

import ctypes
import os
import signal
import time
from pathlib import Path

from studio.device.desk import Desk
from studio.device.messages import Begin, Sender
from studio.device.program import main
from studio.events import Event, Progress
from studio.settings import Settings


class FaultyDesk(Desk):
    """A desk at which jobs meet their faults."""

    def __init__(self, settings: Settings, begin: Begin, sender: Sender):
        super().__init__(settings, begin, sender)
        self._faults = settings.data_dir / "faults"

    def _tell(self, call: int, token: object, event: Event) -> None:
        super()._tell(call, token, event)
        if isinstance(event, Progress) and (sort := taken(self._faults, event)):
            FAULTS[sort]()


def taken(faults: Path, event: Progress) -> str:
    """The sort of fault that is next, if it comes now; "" for none."""
    if not faults.is_file() or not (lines := faults.read_text().splitlines()):
        return ""
    sort, item, step = lines[0].split()
    if (int(item), int(step)) != (event.item, event.step):
        return ""
    faults.write_text("\n".join(lines[1:]))
    return sort


def hang() -> None:
    """Do nothing any more, in one thread."""
    while True:
        time.sleep(60)


FAULTS = {
    "segfault": lambda: ctypes.string_at(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "hang": hang,
    "freeze": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "error": lambda: 1 / 0,
}


if __name__ == "__main__":
    main(FaultyDesk)

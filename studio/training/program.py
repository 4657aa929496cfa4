"""The program of a run: `python -m studio.training [--measure] RUN`.

RUN holds task.json. --measure: only a few steps, to tell what the run will cost. The run goes on
from its newest checkpoint by itself. It tells by the files of run_folder.py and is told by them.
SIGTERM and SIGINT: a checkpoint, then the end, to be gone on with. A server need not be there.
"""

import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType

from studio.errors import AtelierError, StorageError, first_words
from studio.training.beat import Beat
from studio.training.run_folder import Phase, RunFolder, Wish
from studio.training.task import Task, read_task

MEASURE = "--measure"
PAUSED = 75
"""Exit code of a run that can be gone on with; EX_TEMPFAIL of sysexits.h."""
_PATIENCE = 60.0
"""Seconds that the run's folder is waited for: an earlier process may be writing a checkpoint."""


def main() -> None:
    """Do the run that the argument names."""
    folder = RunFolder(Path(sys.argv[-1]).absolute() if len(sys.argv) > 1 else Path())
    ending = threading.Event()

    def asked_to_end(number: int, frame: FrameType | None) -> None:
        ending.set()

    signal.signal(signal.SIGTERM, asked_to_end)
    signal.signal(signal.SIGINT, asked_to_end)
    # Of several processes, the first one tells how it goes.
    code = _alone(folder, ending) if os.environ.get("RANK", "0") == "0" else _beside(folder, ending)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of libraries must not hold up the end


def _alone(folder: RunFolder, ending: threading.Event) -> int:
    import filelock

    lock = filelock.FileLock(folder.path / "lock")
    try:
        lock.acquire(timeout=_PATIENCE)
    except (filelock.Timeout, OSError):
        print(f"The run in {folder.path} is being done by another process.", file=sys.stderr)
        return 1
    beat = Beat(folder)
    try:
        finished = _run(read_task(folder.path), folder, beat, ending)
    except AtelierError as error:
        traceback.print_exc()
        beat.end(Phase.FAILED, str(error))
        return 1
    except Exception as error:  # whoever follows the run must be told of any fault
        traceback.print_exc()
        beat.end(Phase.FAILED, in_words(error))
        return 1
    if finished:
        beat.end(Phase.FINISHED)
        return 0
    beat.end(Phase.STOPPED if folder.wished() is Wish.STOP else Phase.PAUSED)
    return PAUSED


def _beside(folder: RunFolder, ending: threading.Event) -> int:
    """One of the other processes: what it has to say stands in the log."""
    try:
        return 0 if _run(read_task(folder.path), folder, None, ending) else PAUSED
    except Exception:
        traceback.print_exc()
        return 1


def _run(task: Task, folder: RunFolder, beat: Beat | None, ending: threading.Event) -> bool:
    """Train, or go on with it, or measure; whether it is finished."""
    if MEASURE in sys.argv:
        from studio.training.measuring import measure

        return measure(task, folder, beat, ending)
    from studio.training.training import train

    return train(task, folder, beat, ending)


def in_words(error: Exception) -> str:
    """A sentence for a fault that nobody has foreseen."""
    from studio.models.devices import is_out_of_memory

    if isinstance(error, OSError):
        return str(StorageError(f"The run could not be written or read ({error})."))
    if is_out_of_memory(error):
        return "The run does not fit into memory; take smaller pictures, batches or ranks."
    first = first_words(error)
    return (
        f"An unexpected fault stopped the run ({type(error).__name__}: {first}); "
        "its log has the details."
    )

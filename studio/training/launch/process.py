"""The process of a run: begun apart from the server, which may end meanwhile, and ended by force.

One process is begun as such. Several, and whatever a configuration of accelerate asks for, are
begun by accelerate's launcher, whose workers are then sessions of their own each; what belongs to a
run is known by its command line.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

import studio
from studio.errors import from_os_error
from studio.models.devices import Device
from studio.training.run_folder import LOG, SILENCE, Phase, RunFolder, RunStatus, Wish

PROGRAM = ("-m", "studio.training")
"""What Python is told to do; the run's folder comes after it."""
_PROCESS, _DESK = "process.json", "desk"
_SECRET = re.compile(
    r"ATELIER_.*|(?:.*_)?(?:TOKENS?|SECRETS?|PASS|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|KEYS?|"
    r"APIKEY|AUTH|PAT)(?:_.*)?",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"://[^/@\s]*:[^/@\s]*@")
"""A name and a password in an address."""
_LOG_TAIL = 4096
_KILL_SECONDS = 10.0


def command(
    run: Path,
    processes: int = 1,
    accelerate_config: Path | None = None,
    program: Sequence[str] = PROGRAM,
) -> list[str]:
    """The command line that does a run."""
    line = [*program, str(run)]
    if processes == 1 and accelerate_config is None:
        # What accelerate's launcher would do for one is to set variables, and to stay in memory.
        return [sys.executable, *line]
    launch = [sys.executable, "-m", "accelerate.commands.launch"]
    if accelerate_config is not None:
        launch += ["--config_file", str(accelerate_config)]
        return [*launch, *(["--num_processes", str(processes)] if processes > 1 else []), *line]
    # "multi_gpu" is its word for several processes, which are on the CPU where that is chosen.
    launch += ["--multi_gpu", "--num_machines", "1", "--num_processes", str(processes)]
    # All named, so that nobody's own configuration of accelerate has a say.
    launch += ["--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no"]
    return [*launch, *line]


def environment(
    given: Mapping[str, str], device: Device, processes: int = 1, *, configured: bool = False
) -> dict[str, str]:
    """The environment of a run: the server's without its secrets and its settings.

    configured: whether a configuration of accelerate says which devices there are.
    """
    root = str(Path(studio.__file__).resolve().parents[1])
    kept = {
        name: value
        for name, value in given.items()
        if not _SECRET.fullmatch(name) and not _LOGIN.search(value)
    }
    paths = [root, *filter(None, [given.get("PYTHONPATH")])]
    kept |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
    if configured:
        return kept
    if device.sort == "cpu":
        kept["ACCELERATE_USE_CPU"] = "true"
    elif processes == 1:
        kept["ACCELERATE_TORCH_DEVICE"] = device.name
    return kept


def begin(
    run: RunFolder,
    device: Device,
    processes: int = 1,
    accelerate_config: Path | None = None,
    *,
    job_id: str = "",
    program: Sequence[str] = PROGRAM,
) -> int:
    """Begin the process of a run, or go on with it; its process id.

    It has nothing of this one: no terminal, no pipe, no session. job_id: of the job that began it.
    Raises StorageError when the system refuses.
    """
    configured = accelerate_config is not None
    try:
        (run.path / _DESK).mkdir(parents=True, exist_ok=True)
        (run.path / _PROCESS).unlink(missing_ok=True)
        run.wish(None)
        # Before it begins, so that nothing is written over what it tells itself.
        told = run.status()
        run.tell(RunStatus(Phase.PREPARING, step=told.step, steps=told.steps))
        with (run.path / LOG).open("ab") as log:
            child = subprocess.Popen(
                command(run.path, processes, accelerate_config, program),
                env=environment(os.environ, device, processes, configured=configured),
                # A folder of no models, so that the name of one is never that of a folder.
                cwd=run.path / _DESK,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
                | getattr(subprocess, "DETACHED_PROCESS", 0),
            )
    except OSError as error:
        raise from_os_error(error, f"begin the training in {run.path}") from None
    _note(run, child.pid, job_id)
    # Or it would stay a zombie for as long as this process lives.
    threading.Thread(target=child.wait, name="training", daemon=True).start()
    return child.pid


def job_of(run: RunFolder) -> str:
    """Id of the job that began the run's newest process, "" when nobody knows."""
    return str(_noted(run).get("job", ""))


def is_running(run: RunFolder) -> bool:
    """Whether a process of this machine does the run right now."""
    status = run.status()
    if status.phase.is_final or status.phase is Phase.WAITING:
        return False
    return status.is_alive() if status.pid else _has_launcher(run)


def is_dead(run: RunFolder, now: float | None = None) -> bool:
    """Whether a run that was begun ended without saying so.

    At once when its process is known and gone, after 15 s without a sign of life when none is.
    """
    status = run.status()
    if status.phase.is_final or status.phase is Phase.WAITING or is_running(run):
        return False
    if status.pid or _noted(run):
        # It may have told its end between the two looks.
        return not run.status().phase.is_final
    return (now or time.time()) - status.beat > SILENCE


def kill(run: RunFolder, program: Sequence[str] = PROGRAM) -> None:
    """End all processes of a run at once; what was learnt since the last checkpoint is lost."""
    run.wish(Wish.STOP)  # so that whoever sees it gone knows that a person wanted it
    end_processes(run, program)
    status = run.status()
    if not status.phase.is_final:
        run.tell(replace(status, phase=Phase.STOPPED, seconds_left=None))


def end_processes(run: RunFolder, program: Sequence[str] = PROGRAM) -> None:
    """End whatever processes of a run are left, its launcher and its workers among them."""
    until = time.monotonic() + _KILL_SECONDS
    while (left := processes_of(run, program)) and time.monotonic() < until:
        for each in left:
            try:
                each.kill()
            except psutil.Error:
                continue
        psutil.wait_procs(left, timeout=0.5)


def processes_of(run: RunFolder, program: Sequence[str] = PROGRAM) -> list[psutil.Process]:
    """All processes that do a run: by their command line, with all that they have begun."""
    tail = [*program, str(run.path)]
    found: dict[int, psutil.Process] = {}
    for each in psutil.process_iter():
        try:
            if each.cmdline()[-len(tail) :] == tail:
                found |= {one.pid: one for one in (each, *each.children(recursive=True))}
        except psutil.Error:
            continue
    return list(found.values())


def last_words(run: RunFolder) -> str:
    """The last line of a run's log, at most 200 characters of it."""
    try:
        with (run.path / LOG).open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LOG_TAIL))
            lines = stream.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")


def _note(run: RunFolder, pid: int, job_id: str) -> None:
    """Keep what is known of a process before it says so itself."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:  # it has ended already
        started = 0.0
    aside = run.path / f"{_PROCESS}.part"
    aside.write_text(json.dumps({"pid": pid, "started": started, "job": job_id}), encoding="utf-8")
    aside.replace(run.path / _PROCESS)


def _noted(run: RunFolder) -> dict[str, object]:
    try:
        told = json.loads((run.path / _PROCESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _has_launcher(run: RunFolder) -> bool:
    """Whether what was begun is there: for the time until the program itself tells of itself."""
    told = _noted(run)
    pid, started = told.get("pid"), told.get("started")
    if not isinstance(pid, int) or not isinstance(started, float):
        return False
    return RunStatus(Phase.PREPARING, pid, started).is_alive()

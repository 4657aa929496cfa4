"""A program that does a run as the real one does, but learns nothing: `python stand_in.py RUN`.

It follows the contract of run_folder.py: a status every step, points of a curve, checkpoints, a
sample, wishes and SIGTERM, which save first. The run's trigger says how it is to behave: "fails",
"stubborn" (hears of no wish), "mute" (ends without a word) or "slow".
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from studio.training.run_folder import Phase, RunFolder, RunStatus, Wish
from studio.training.task import read_task

SECONDS = 0.05
EVERY = 5
WEBP = bytes.fromhex("524946461a000000574542505650384c0d0000002f00000010071011118888fe0700")


def main(run: RunFolder) -> int:
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ending.append(number))
    request = read_task(run.path).request
    pid = os.getpid()
    steps = request.steps or 20
    folder = run.path / "checkpoints"
    found = sorted(folder.glob("step-*"))
    step = int(found[-1].name[5:]) if found else 0
    status = {"pid": pid, "started": psutil.Process(pid).create_time(), "steps": steps}

    def tell(phase: Phase, **more: object) -> None:
        run.tell(RunStatus(phase, step=step, **status, **more))

    def save() -> None:
        (folder / f"step-{step:08}").mkdir(parents=True, exist_ok=True)

    tell(Phase.PREPARING)
    print("begun with", json.dumps({name: os.environ[name] for name in sorted(os.environ)}))
    if request.trigger == "mute":
        print("Something broke.")
        return 3
    if step:
        run.notice(f"Goes on from step {step}.", step)
    run.cut(step)
    while step < steps:
        step += 1
        time.sleep(SECONDS * (10 if request.trigger == "slow" else 1))
        run.measure(step, {"loss": 1 / step, "learning_rate": 1e-4})
        tell(Phase.TRAINING, seconds_left=(steps - step) * SECONDS)
        if step % EVERY == 0:
            save()
            place = run.sample_path(step, 0)
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(WEBP)
        if request.trigger == "fails":
            tell(Phase.FAILED, reason="The loss is not a number; take a lower learning rate.")
            return 1
        wish = None if request.trigger == "stubborn" else run.wished()
        if wish or ending:
            save()
            tell(Phase.STOPPED if wish is Wish.STOP else Phase.PAUSED)
            return 75
    save()
    (run.path / "result").mkdir(exist_ok=True)
    (run.path / "result" / f"{request.name}.safetensors").write_bytes(b"learnt")
    tell(Phase.FINISHED)
    return 0


def beside(run: RunFolder) -> int:
    """One of the other processes."""
    (run.path / f"rank-{os.environ['RANK']}").write_text(str(os.getpid()))
    while not run.status().phase.is_final:
        time.sleep(0.05)
    return 0


if __name__ == "__main__":
    FOLDER = RunFolder(Path(sys.argv[1]))
    sys.exit(main(FOLDER) if os.environ.get("RANK", "0") == "0" else beside(FOLDER))

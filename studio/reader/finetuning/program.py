"""The program of a run: `python -m studio.reader.finetuning RUN [--with-parent]`.

RUN holds options.json. The run goes on from its newest checkpoint by itself. What happens is
printed as JSON, an object a line, each with its `type`: started, progress, scores, saved, notice,
and last one of finished, stopped and failed. SIGTERM and SIGINT: a checkpoint, then exit code 75.
--with-parent: the same when standard input is closed, as it is when the parent is killed.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from studio.errors import AtelierError, StorageError
from studio.reader.finetuning.options import Options, read_options

if TYPE_CHECKING:
    from accelerate import Accelerator

    from studio.reader.finetuning.loop import Run

STOPPED = 75
"""Exit code of a run that was told to stop and can be gone on with; EX_TEMPFAIL of sysexits.h."""
_PATIENCE = 60.0
"""Seconds that the run's folder is waited for: an earlier process may be writing a checkpoint."""


def main() -> None:
    """Do the run that the arguments name."""
    folder = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else Path()
    stop = threading.Event()

    def asked_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, asked_to_stop)
    signal.signal(signal.SIGINT, asked_to_stop)
    if "--with-parent" in sys.argv:
        threading.Thread(target=_watch, args=(stop,), daemon=True).start()
    try:
        code = _run(folder, stop)
    except AtelierError as error:
        tell({"type": "failed", "reason": str(error)})
        code = 1
    # Threads of libraries must not hold up the end.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def tell(told: dict[str, Any]) -> None:
    """Print a line; nobody may be listening any more, which does not stop the run."""
    try:
        print(json.dumps(told), flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - for the rest of the process


def _watch(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


def _run(folder: Path, stop: threading.Event) -> int:
    import filelock

    options = read_options(folder)
    accelerator = _accelerator(options)
    lock = filelock.FileLock(folder / "lock")
    if accelerator.is_main_process:
        try:
            lock.acquire(timeout=_PATIENCE)
        except filelock.Timeout:
            raise StorageError(
                f"The run in {folder} is being done by another process; wait for it or stop it."
            ) from None
    accelerator.wait_for_everyone()
    run = _prepared(folder, options, accelerator)
    if accelerator.is_main_process:
        tell({"type": "started", "step": run.state.step, "steps": run.steps})
    outcome = run.go(tell, stop.is_set)
    if accelerator.is_main_process:
        told: dict[str, Any] = {"type": outcome.value, "step": run.state.step}
        if outcome == "finished":
            told |= {"model": str(run.best()), "best_step": run.state.best_step}
        tell(told)
    lock.release()
    if accelerator.num_processes > 1:
        accelerator.end_training()
    return 0 if outcome == "finished" else STOPPED


def _accelerator(options: Options) -> "Accelerator":
    import torch
    from accelerate import Accelerator

    if options.threads:
        torch.set_num_threads(options.threads)
    precision = options.precision
    if precision == "auto":
        fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        precision = "bfloat16" if fast else "float32"
    names = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
    return Accelerator(
        mixed_precision=names[precision], gradient_accumulation_steps=options.accumulate
    )


def _prepared(folder: Path, options: Options, accelerator: "Accelerator") -> "Run":
    import datasets

    from studio.reader.finetuning.features import features, tokenizer_hash
    from studio.reader.finetuning.loop import Run
    from studio.reader.finetuning.model import load, longest
    from studio.reader.finetuning.scores import DevScores
    from studio.reader.squad import read_squad
    from studio.reader.windows import Encoder

    datasets.disable_progress_bars()
    model, tokenizer = load(options.base, options.seed, options.dropout, options.attention_dropout)
    places = longest(model.config, tokenizer)
    encoder = Encoder(tokenizer, places, options.max_length, options.overlap)
    train = read_squad(options.train)
    with accelerator.main_process_first():
        cache = options.cache or folder / "windows"
        data = features(train, encoder, tokenizer_hash(tokenizer), cache)
    score = None
    if options.dev is not None:
        dev = read_squad(options.dev)
        score = DevScores(dev, encoder, options.dev_questions, options.seed)
    return Run(folder, options, accelerator, model, tokenizer, data, score)

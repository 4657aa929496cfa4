"""The program of a run: `python -m studio.reader.finetuning RUN [--with-parent]`.

RUN holds options.json. The run goes on from its newest checkpoint by itself. What happens is
printed as JSON, an object a line, each with its `type`: started, labelled, progress, scores, saved,
reading, calibrated, and last one of finished, stopped and failed. SIGTERM and SIGINT: a checkpoint,
then exit code 75.
--with-parent: the same when standard input is closed, as it is when the parent is killed.
"""

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from studio.errors import AtelierError, StorageError, first_words
from studio.reader.finetuning.options import Options, read_options

if TYPE_CHECKING:
    from accelerate import Accelerator

    from studio.reader.finetuning.loop import Run, Score
    from studio.reader.squad import Squad
    from studio.reader.windows import Encoder

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
    except Exception as error:  # whoever listens must be told of any fault
        traceback.print_exc()
        tell({"type": "failed", "reason": _in_words(error)})
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


def _in_words(error: Exception) -> str:
    from studio.models.devices import is_out_of_memory

    if is_out_of_memory(error):
        return "The batches do not fit into memory; take smaller ones, and accumulate more of them."
    first = first_words(error)
    return (
        f"An unexpected fault stopped the training ({type(error).__name__}: {first}); "
        "its log has the details."
    )


def _watch(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


def _run(folder: Path, stop: threading.Event) -> int:
    import filelock

    options = read_options(folder)
    accelerator = accelerator_of(options)
    lock = filelock.FileLock(folder / "lock")
    if accelerator.is_main_process:
        try:
            lock.acquire(timeout=_PATIENCE)
        except filelock.Timeout:
            raise StorageError(
                f"The run in {folder} is being done by another process; wait for it or stop it."
            ) from None
    accelerator.wait_for_everyone()
    run = prepared(folder, options, accelerator)
    if accelerator.is_main_process:
        tell({"type": "started", "step": run.state.step, "steps": run.steps})
    outcome = run.go(tell, stop.is_set)
    if outcome == "finished" and options.held_out and accelerator.is_main_process:
        _calibrate(run.best(), options, accelerator.device)
    if accelerator.is_main_process:
        told: dict[str, Any] = {"type": outcome.value, "step": run.state.step}
        if outcome == "finished":
            told |= {"model": str(run.best()), "best_step": run.state.best_step}
        tell(told)
    lock.release()
    if accelerator.num_processes > 1:
        accelerator.end_training()
    return 0 if outcome == "finished" else STOPPED


def accelerator_of(options: Options) -> "Accelerator":
    """What spreads the work over devices and formats; ModelError where there is no such format."""
    import torch

    from studio.models.accelerators import accelerator_in

    fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return accelerator_in(
        options.precision,
        auto="bfloat16" if fast else "float32",
        threads=options.threads,
        gradient_accumulation_steps=options.accumulate,
    )


def prepared(folder: Path, options: Options, accelerator: "Accelerator") -> "Run":
    """The run of a folder, ready to go on: model and data loaded, windows cut.

    Raises ModelError and DataError for what cannot be used.
    """
    import datasets

    from studio.models.readers import longest
    from studio.reader.finetuning.features import features, tokenizer_hash
    from studio.reader.finetuning.held_out import split
    from studio.reader.finetuning.loop import Facts, Matter, Run
    from studio.reader.finetuning.model import load
    from studio.reader.finetuning.soft_labels import SoftLabels
    from studio.reader.squad import read_squad
    from studio.reader.windows import Encoder

    datasets.disable_progress_bars()
    model, tokenizer = load(options.base, options.seed, options.dropout, options.attention_dropout)
    places = longest(model.config, tokenizer)
    encoder = Encoder(tokenizer, places, options.max_length, options.overlap)
    squad = read_squad(options.train)
    train, held = split(squad, options.held_out, options.seed)
    dev = None if options.dev is None else read_squad(options.dev)
    cache = options.cache or folder / "windows"
    with accelerator.main_process_first():
        data = features(train, encoder, tokenizer_hash(tokenizer), cache)
    asked = list(train.asked())
    facts = Facts(
        base=options.base,
        train_sha256=squad.sha256,
        dev_sha256=dev.sha256 if dev else "",
        questions=len(asked),
        answerable=sum(each.question.has_answer for each in asked),
        held_out=sum(1 for _ in held.asked()),
    )
    score = _score(dev, options.dev_questions, encoder, tokenizer) if dev else None
    soft = None
    if options.teachers:
        soft = SoftLabels(options.teachers, data, options.temperature, cache)
    return Run(folder, options, accelerator, Matter(model, tokenizer, data, facts, score, soft))


def _score(dev: "Squad", questions: int, encoder: "Encoder", tokenizer: Any) -> "Score":
    from studio.reader.evaluation import evenly, quick_scores
    from studio.reader.finetuning.features import takes_types
    from studio.reader.reading import Reader
    from studio.reader.windows import refuse_long

    asked = evenly(dev, questions)
    refuse_long(encoder, asked)  # now, and not after an epoch

    def score(model: Any) -> dict[str, float]:
        return quick_scores(Reader(model, encoder, takes_types=takes_types(tokenizer)), asked)

    return score


def _calibrate(best: Path, options: Options, device: Any) -> None:
    from studio.reader.finetuning.held_out import calibrate, split
    from studio.reader.squad import read_squad

    _, held = split(read_squad(options.train), options.held_out, options.seed)

    def on_done(done: int, total: int) -> None:
        tell({"type": "reading", "step": done, "steps": total})

    tell({"type": "calibrated", "values": calibrate(best, held, device, on_done)})

"""The loop of a run: a step, a report, scores, a checkpoint.

AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) with a linear warm-up and a linear decay, as in
BERT (Devlin et al. 2019, arXiv 1810.04805, appendix A). All that a step depends on besides the
weights follows from its number: the windows, the rates and the dropout masks. So a run that was
killed goes on as if nothing had been.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.errors import DataError, ModelError
from studio.reader.finetuning.batches import Plan, share
from studio.reader.finetuning.checkpoint import Checkpoints
from studio.reader.finetuning.features import Features, takes_types
from studio.reader.finetuning.model import groups
from studio.reader.finetuning.options import Options
from studio.reader.finetuning.soft_labels import SoftLabels, distilled
from studio.store.writing import write_folder

if TYPE_CHECKING:
    from accelerate import Accelerator

Score = Callable[[Any], dict[str, float]]
CURVE = "curve.jsonl"
BEST = "best"
TRAINING = "training.json"
"""In the folder of a model: where in the run it was kept, its scores and what it was made from."""
MEASURE = "f1"
"""The score by which the best model is chosen."""


class Outcome(StrEnum):
    """How a run ended: through, or told to stop with a checkpoint to go on from."""

    FINISHED = "finished"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Facts:
    """What a model was made from. The sums are SHA-256 of the unpacked files, "" for none."""

    base: str
    train_sha256: str
    dev_sha256: str
    questions: int
    answerable: int
    held_out: int


@dataclass(frozen=True)
class Matter:
    """What a run works on: the model, its tokenizer and the windows that it learns from.

    facts: what the finished model is to tell of its data. score: scores of the model as it is, None
    for none. soft: what its teachers say, None without.
    """

    model: Any
    tokenizer: Any
    data: Features
    facts: Facts
    score: Score | None = None
    soft: SoftLabels | None = None


class Run:
    """A model being fine-tuned in a folder."""

    def __init__(self, folder: Path, options: Options, accelerator: "Accelerator", matter: Matter):
        import torch

        self._folder = folder
        self._options = options
        self._accelerator = accelerator
        self._tokenizer = matter.tokenizer
        self._data = data = matter.data
        self._facts = matter.facts
        self._score = matter.score
        self._soft = matter.soft
        model = matter.model
        processes = accelerator.num_processes
        self._plan = Plan(
            data.lengths, options.batch_size * options.accumulate * processes, options.seed
        )
        self.steps = options.max_steps or math.ceil(self._plan.steps_an_epoch * options.epochs)
        self._checkpoints = Checkpoints(folder)
        self.state = self._checkpoints.state()
        if self.state.data not in ("", data.name):
            raise DataError(
                f"The data, the tokenizer or the windows of the run in {folder} are not those that "
                "it began with; bring them back, or begin another run."
            )
        self.state = replace(self.state, data=data.name)
        self._checkpoints.load_weights(model)
        self._takes_types = takes_types(matter.tokenizer)
        optimiser = torch.optim.AdamW(groups(model, options), lr=options.learning_rate, fused=True)
        self._model, self._optimiser = accelerator.prepare(model, optimiser)
        self._checkpoints.load_optimiser(self._optimiser.optimizer)
        if self.state.scale and accelerator.scaler is not None:
            accelerator.scaler.load_state_dict(self.state.scale)
        self._multiple = 1 if accelerator.device.type == "cpu" else 8
        self._every = options.evaluate_every or self._plan.steps_an_epoch

    @property
    def model(self) -> Any:
        """The model itself, without what spreads it over processes."""
        return self._accelerator.unwrap_model(self._model)

    def go(self, tell: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]) -> Outcome:
        """Do all steps that are left.

        tell: takes what is to be reported. stopping: whether the run has been told to stop.
        """
        main = self._accelerator.is_main_process
        self._tell = tell if main else lambda told: None
        if main:
            self._cut_curve()
        if self._agreed(stopping()):
            return Outcome.STOPPED
        if self._soft is not None and not self._ask_teachers(self._soft, stopping):
            return Outcome.STOPPED
        began = saved = time.monotonic()
        first, losses = self.state.step, []
        self._model.train()
        while self.state.step < self.steps:
            losses.append(self._step(self.state.step))
            self.state = replace(self.state, step=self.state.step + 1)
            step = self.state.step
            if step % self._options.report_every == 0 or step == self.steps:
                seconds = (time.monotonic() - began) / (step - first)
                self._report(losses, seconds)
                losses = []
            if self._score is not None and (step % self._every == 0 or step == self.steps):
                self._evaluate()
            stop = self._agreed(stopping() or self._out_of_time(began))
            late = main and time.monotonic() - saved >= 60 * self._options.save_minutes
            if stop or step == self.steps or self._agreed(late):
                self._save()
                saved = time.monotonic()
            if stop and step < self.steps:
                return Outcome.STOPPED
        if main and self._score is None:
            self._keep(self.steps, {})
        self._accelerator.wait_for_everyone()
        return Outcome.FINISHED

    def best(self) -> Path:
        """The folder of the best model, which is the last one where nothing was scored."""
        return self._folder / BEST

    def _step(self, number: int) -> "Any":
        """One step of the optimiser; returns the mean loss of this process's windows."""
        import torch

        options, accelerator = self._options, self._accelerator
        rate = options.learning_rate * factor(number, self.steps, options.warmup)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["rate"]
        mine = share(
            self._plan.step(number),
            options.accumulate,
            accelerator.process_index,
            accelerator.num_processes,
        )
        total = torch.zeros(())
        for part, places in enumerate(mine):
            torch.manual_seed(mask_seed(options.seed, number, part, accelerator.process_index))
            with accelerator.accumulate(self._model):
                loss = self._loss(places)
                accelerator.backward(loss)
                if accelerator.sync_gradients and options.clip_norm:
                    accelerator.clip_grad_norm_(self._model.parameters(), options.clip_norm)
                self._optimiser.step()
                self._optimiser.zero_grad()
            total += loss.detach().float().cpu() / len(mine)
        return total

    def _loss(self, places: np.ndarray) -> Any:
        """The loss of some windows: of their labels, and of what the teachers say of them."""
        device, options = self._accelerator.device, self._options
        batch = self._data.batch(places, self._multiple)
        inputs = batch.inputs(device, self._takes_types)
        mask = inputs["attention_mask"]
        out = self._model(**inputs)
        ends = (
            (out.start_logits, batch.start.to(device)),
            (out.end_logits, batch.end.to(device)),
        )
        hard = sum(
            cross_entropy(logits, wanted, mask, options.label_smoothing) for logits, wanted in ends
        )
        if self._soft is None:
            return hard / 2
        told = self._soft.batch(places, mask.shape[1]).to(device)
        soft = sum(
            distilled(logits, wanted, mask, options.temperature)
            for (logits, _), wanted in zip(ends, told, strict=True)
        )
        return ((1 - options.distill) * hard + options.distill * soft) / 2

    def _ask_teachers(self, soft: SoftLabels, stopping: Callable[[], bool]) -> bool:
        """Have all soft labels; False when the run was told to stop meanwhile."""
        accelerator = self._accelerator
        mine = range(accelerator.process_index, soft.chunks, accelerator.num_processes)

        def on_done(chunk: int) -> bool:
            self._tell({"type": "labelled", "step": chunk + 1, "steps": soft.chunks})
            return stopping()

        soft.make(accelerator.device, self._tokenizer, mine, on_done)
        accelerator.wait_for_everyone()
        return not self._agreed(stopping())

    def _report(self, losses: list[Any], seconds_a_step: float) -> None:
        import torch

        mean = torch.stack(losses).mean().to(self._accelerator.device)
        loss = float(self._accelerator.reduce(mean, "mean"))
        if not math.isfinite(loss):
            raise ModelError(
                f"The loss is no longer a number at step {self.state.step}; "
                "take a lower learning rate or another precision."
            )
        step = self.state.step
        rate = self._options.learning_rate * factor(step - 1, self.steps, self._options.warmup)
        told = {
            "type": "progress",
            "step": step,
            "steps": self.steps,
            "loss": loss,
            "learning_rate": rate,
            "seconds_left": round(seconds_a_step * (self.steps - step), 1),
        }
        self._tell(told)
        self._draw({"step": step, "loss": loss, "learning_rate": rate})

    def _evaluate(self) -> None:
        assert self._score is not None
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process:
            self._model.eval()
            scores = self._score(self.model)
            self._model.train()
            step = self.state.step
            self._tell({"type": "scores", "step": step, "steps": self.steps, "values": scores})
            self._draw({"step": step, **scores})
            value = scores[MEASURE]
            if self.state.best is None or value > self.state.best:
                self.state = replace(self.state, best=value, best_step=step)
                self._keep(step, scores)
        self._accelerator.wait_for_everyone()

    def _keep(self, step: int, scores: dict[str, float]) -> None:
        def fill(folder: Path) -> None:
            self.model.save_pretrained(folder)
            self._tokenizer.save_pretrained(folder)
            told = {"step": step, "steps": self.steps, "scores": scores, **asdict(self._facts)}
            (folder / TRAINING).write_text(json.dumps(told, indent=2), encoding="utf-8")

        write_folder(self.best(), fill)

    def _save(self) -> None:
        if self._accelerator.is_main_process:
            scaler = self._accelerator.scaler
            scale = scaler.state_dict() if scaler is not None else None
            self.state = replace(self.state, scale=scale)
            self._checkpoints.save(self.model, self._optimiser.optimizer, self.state)
            self._tell({"type": "saved", "step": self.state.step})
        self._accelerator.wait_for_everyone()

    def _agreed(self, wish: bool) -> bool:
        """Whether any process wishes it, so that all of them do the same."""
        if self._accelerator.num_processes == 1:
            return wish
        import torch

        told = torch.tensor([float(wish)], device=self._accelerator.device)
        return bool(self._accelerator.reduce(told, "sum").item())

    def _out_of_time(self, began: float) -> bool:
        limit = self._options.max_minutes
        return bool(limit) and time.monotonic() - began >= 60 * limit

    def _draw(self, told: dict[str, Any]) -> None:
        if self._accelerator.is_main_process:
            with (self._folder / CURVE).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(told) + "\n")

    def _cut_curve(self) -> None:
        """Forget what was drawn after the checkpoint that the run goes on from."""
        path = self._folder / CURVE
        kept = [point for point in curve(self._folder) if point["step"] <= self.state.step]
        aside = path.with_suffix(".part")
        aside.write_text("".join(json.dumps(point) + "\n" for point in kept), encoding="utf-8")
        aside.replace(path)


def curve(folder: Path) -> list[dict[str, Any]]:
    """What a run has measured so far: a step with loss and rate, or with scores, each."""
    path = folder / CURVE
    points = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                points.append(json.loads(line))
            except json.JSONDecodeError:
                break  # the process was killed while it wrote
    return points


def factor(step: int, steps: int, warmup: float) -> float:
    """The share of the learning rate at a step, counted from 0: up to 1, then down towards 0."""
    warm = max(1, round(steps * warmup)) if warmup else 0
    if step < warm:
        return (step + 1) / warm
    return (steps - step) / max(1, steps - warm)


def mask_seed(seed: int, step: int, part: int, process: int) -> int:
    """The seed of a batch's dropout masks, below 2**63: a hash, so that no two are near."""
    digest = hashlib.sha256(f"{seed} {step} {part} {process}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def cross_entropy(logits: Any, wanted: Any, mask: Any, smoothing: float) -> Any:
    """Mean over windows of the loss of one end of the span.

    logits: (windows, tokens). wanted: (windows,) token places. mask: 0 on padding, which is no
    choice. smoothing: share of the label that is spread over all tokens of the window.
    """
    import torch

    chances = logits.float().masked_fill(mask == 0, -torch.inf).log_softmax(-1)
    loss = -chances.gather(1, wanted[:, None])[:, 0]
    if smoothing:
        spread = -(chances.masked_fill(mask == 0, 0.0).sum(1) / mask.sum(1))
        loss = (1 - smoothing) * loss + smoothing * spread
    return loss.mean()

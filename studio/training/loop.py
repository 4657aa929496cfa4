"""The loop of a run: steps, what is measured and looked at, and checkpoints.

All that a step depends on besides the weights follows from its number (plan.py, lessons.py), so
that a run that was killed goes on as if nothing had been.
"""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import torch

from studio.errors import DataError, ModelError
from studio.models.devices import is_out_of_memory
from studio.training import optimisers
from studio.training.checkpoints import Checkpoints, Saved, State, read
from studio.training.ema import Ema
from studio.training.lessons import Lessons
from studio.training.methods.trained import Trained
from studio.training.plan import Plan, Slot, parts, seed_of, shared
from studio.training.rates import factor
from studio.training_requests import TrainRequest

if TYPE_CHECKING:
    from accelerate import Accelerator

_LOWER = 0.5
"""What the learning rates are multiplied by once the loss has gone astray."""
_POINTS = 2000
"""Of a curve, about."""
_MEASURED = 20
"""Times that what is held out is measured, at least, for a verdict needs that many points."""
_APART = 10
"""Steps between two measurements at least, for each takes about as long as a few steps."""
_PACE = 0.1
"""Weight of the newest step in the mean time of a step."""


class Outcome(StrEnum):
    """How a loop ended: through, or because it was wished."""

    FINISHED = "finished"
    ENDED = "ended"


class Watcher(Protocol):
    """Whoever looks at a run on the way; all of it happens on the main process alone."""

    def began(self, step: int, steps: int) -> None:
        """The loop begins, or goes on, at a step."""
        ...

    def stepped(self, step: int, seconds_left: float | None) -> None:
        """A step is done."""
        ...

    def measured(self, step: int, values: dict[str, float]) -> None:
        """There is a point of the curves."""
        ...

    def looked(self, step: int) -> dict[str, float]:
        """Make samples, measure what is held out; the curves' values."""
        ...

    def compared(self, step: int) -> dict[str, float]:
        """Measure what is held out alone."""
        ...

    def saved(self, step: int) -> None:
        """A checkpoint is on the disk; the weights are as they are to be used."""
        ...

    def noticed(self, text: str) -> None:
        """Something that the person should know."""
        ...

    def wished(self) -> bool:
        """Whether the loop should save and end."""
        ...


@dataclass(frozen=True)
class Matter:
    """What a loop works on. data: name of the pictures with all that shapes them.

    recompute: lets the denoiser recompute activations instead of keeping them.
    """

    request: TrainRequest
    learner: torch.nn.Module
    trained: Trained
    lessons: Lessons
    plan: Plan
    checkpoints: Checkpoints
    data: str
    recompute: Callable[[], None]


class Loop:
    """The steps of a run."""

    def __init__(self, matter: Matter, accelerator: "Accelerator", watcher: Watcher):
        self._matter = matter
        self._request = request = matter.request
        self._accelerator = accelerator
        self._watcher = watcher
        self._trained = matter.trained
        self._plan = matter.plan
        self._checkpoints = matter.checkpoints
        self._buckets = [placed.bucket for placed in matter.lessons.placed]
        self._main = accelerator.is_main_process
        assert request.steps
        assert request.learning_rate
        self.steps = request.steps
        optimiser = optimisers.build(
            request.optimiser,
            matter.trained.groups(request.learning_rate, request.text_rate or 0.0),
            request.weight_decay,
        )
        self._model, self._optimiser = accelerator.prepare(matter.learner, optimiser)
        self._ema = Ema(matter.trained.weights, request.ema) if request.ema else None
        self.state = State(data=matter.data)
        self.recomputes = bool(request.checkpointing)
        self._load()
        self._pace: float | None = None
        self._seen: list[tuple[float, float]] = []

    def go(self) -> Outcome:
        """Do all steps that are left, or as many as are wished."""
        if self._main:
            self._watcher.began(self.state.step, self.steps)
        if self.state.step == 0 and not self._checkpoints.all():
            self._begin()
        self._model.train()
        while self.state.step < self.steps:
            began = time.monotonic()
            if not self._step(self.state.step):
                continue
            self.state = replace(self.state, step=self.state.step + 1)
            self._count(time.monotonic() - began)
            step = self.state.step
            ends = self._agreed(self._main and self._watcher.wished()) and step < self.steps
            saves = self._due(step, self._request.save_every)
            if self._due(step, self._request.sample_every):
                self._look(step, self._watcher.looked, kept=saves or ends)
            elif saves or self._due(step, max(_APART, self.steps // _MEASURED)):
                self._look(step, self._watcher.compared, kept=saves or ends)
            if saves or ends:
                self.save()
            if ends:
                return Outcome.ENDED
        self._accelerator.wait_for_everyone()
        return Outcome.FINISHED

    def save(self) -> None:
        """Write a checkpoint."""
        if self._main:
            tensors, told = optimisers.state_tensors(self._optimiser.optimizer)
            kept: dict[str, Mapping[str, torch.Tensor]] = {
                "weights": dict(self._trained.weights),
                "optimiser": tensors,
            }
            if self._ema:
                kept["ema"] = self._ema.means
            scaler = self._accelerator.scaler
            scale = scaler.state_dict() if scaler is not None else None
            self._checkpoints.write(self.state, Saved(kept, {"optimiser": told, "scale": scale}))
            with self.at_rest():
                self._watcher.saved(self.state.step)
        self._accelerator.wait_for_everyone()

    def tried(self, count: int) -> list[float]:
        """Seconds of the first steps, taken to measure them and not kept."""
        seconds: list[float] = []
        self._model.train()
        while len(seconds) < count:
            began = time.monotonic()
            if self._step(len(seconds)):
                seconds.append(time.monotonic() - began)
                self._watcher.stepped(len(seconds), None)
        return seconds

    def size(self) -> int:
        """Bytes of a checkpoint, once a step has been taken."""
        tensors, _ = optimisers.state_tensors(self._optimiser.optimizer)
        means = self._ema.means.values() if self._ema else ()
        kept = (*self._trained.weights.values(), *tensors.values(), *means)
        return sum(each.numel() * each.element_size() for each in kept)

    @contextlib.contextmanager
    def at_rest(self) -> Any:
        """The model as it is to be used: without dropout, and with the mean weights if any."""
        self._model.eval()
        worn = self._ema.worn(self._trained.weights) if self._ema else contextlib.nullcontext()
        with optimisers.evaluating(self._optimiser.optimizer), worn:
            yield
        self._model.train()

    def _begin(self) -> None:
        """Look at the model as it was, and have something to go back to."""
        if not self._request.trains_weights:
            self.save()
        if self._request.sample_every:
            self._look(0, self._watcher.looked, kept=False)

    def _load(self) -> None:
        """Take up the newest checkpoint, when there is one."""
        place = self._checkpoints.newest()
        if place is None:
            return
        state, saved = read(place)
        if state.data != self._matter.data:
            raise DataError(
                "The pictures, the captions or the model of this run are not those that it began "
                "with; bring them back, or begin another run."
            )
        self.state = state
        with torch.no_grad():
            for name, weight in self._trained.weights.items():
                weight.copy_(saved.tensors["weights"][name])
        gathered = dict(saved.tensors.get("optimiser", {}))
        optimisers.load_state(self._optimiser.optimizer, gathered, saved.told["optimiser"])
        if self._ema:
            for name, mean in self._ema.means.items():
                mean.copy_(saved.tensors["ema"][name])
        if saved.told.get("scale") and self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(saved.told["scale"])

    def _step(self, number: int) -> bool:
        """One step of the optimiser; False when it has to be done again."""
        request = self._request
        rate = factor(number, self.steps, request.schedule, request.warmup) * self.state.rate
        for group in self._optimiser.param_groups:
            group["lr"] = group["rate"] * rate
        slots = self._plan.step(number)
        try:
            loss = self._passes(slots, number)
        except Exception as error:
            if not is_out_of_memory(error) or self._accelerator.num_processes > 1:
                raise
            self._optimiser.zero_grad()
            self._make_room(error)
            return False
        norm = self._accelerator.clip_grad_norm_(
            list(self._trained.weights.values()), request.clip_norm or math.inf
        )
        norm = float(norm) if norm is not None else 0.0
        # In half precision too large gradients are the scaler's business.
        fine = math.isfinite(loss) and (math.isfinite(norm) or self._accelerator.scaler is not None)
        if self._agreed(not fine):
            self._optimiser.zero_grad()
            self._go_back(number, slots)
            return False
        self._optimiser.step()
        self._optimiser.zero_grad()
        if self._ema:
            self._ema.update(self._trained.weights, number + 1)
        self._note(number + 1, loss, norm)
        return True

    def _passes(self, slots: Sequence[Slot], number: int) -> float:
        """Let all pictures of a step through the model; the loss of them all."""
        accelerator, request = self._accelerator, self._request
        world = accelerator.num_processes
        mine = shared(slots, accelerator.process_index, world)
        groups = parts(mine, self._buckets, self._micro_batch())
        total = torch.zeros(())
        for index, group in enumerate(groups):
            torch.manual_seed(seed_of(request.seed, number, group[0].seed))  # of dropout
            counts = request.prior_weight if group[0].prior else 1.0
            alone = index < len(groups) - 1 and world > 1
            with accelerator.no_sync(self._model) if alone else contextlib.nullcontext():
                with accelerator.autocast():
                    losses = self._model(self._matter.lessons.of(group))
                # Devices take the mean of their gradients, pictures of a step the mean of theirs.
                share = losses.sum() * counts / request.batch_size
                accelerator.backward(share * world)
            total += share.detach().float().cpu()
        if world > 1:
            total = accelerator.reduce(total.to(accelerator.device), "sum").cpu()
        return float(total)

    def _micro_batch(self) -> int:
        return self.state.micro_batch or self._request.micro_batch or self._request.batch_size

    def _make_room(self, error: BaseException) -> None:
        """Take smaller batches, which add up to the same step, or recompute activations."""
        size = self._micro_batch()
        if size > 1:
            self.state = replace(self.state, micro_batch=size // 2)
            told = f"{size} pictures at a time did not fit into memory; now it is {size // 2}."
        elif not self.recomputes:
            self.recomputes = True
            self._matter.recompute()
            told = "One picture did not fit into memory; activations are computed twice now."
        else:
            raise ModelError(
                "Not even one picture fits into memory; take a lower resolution, a smaller rank or "
                "a smaller model."
            ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._watcher.noticed(told)

    def _go_back(self, number: int, slots: Sequence[Slot]) -> None:
        """The loss is no number any more: back to the last checkpoint, once, with lower rates."""
        files = sorted({self._matter.lessons.placed[each.place].example.name for each in slots})
        shown = ", ".join(files[:5]) + (" and others" if len(files) > 5 else "")
        told = f"The loss was no longer a number at step {number + 1} ({shown})"
        if self.state.rate < 1 or self._checkpoints.newest() is None:
            raise ModelError(
                f"{told}, with a lower learning rate too; take these pictures out, or begin with a "
                "much lower rate."
                if self.state.rate < 1
                else f"{told}; take a lower learning rate or another precision."
            )
        self._load()
        self.state = replace(self.state, rate=_LOWER)
        if self._main:
            self._watcher.began(self.state.step, self.steps)
            self._watcher.noticed(
                f"{told}; it goes on from step {self.state.step} with {_LOWER:g} of the rate."
            )

    def _look(self, step: int, look: Callable[[int], dict[str, float]], *, kept: bool) -> None:
        """Look at the weights; kept: whether they are saved, so that they can be the best ones."""
        self._accelerator.wait_for_everyone()
        values: dict[str, float] = {}
        if self._main:
            with self.at_rest(), torch.no_grad():
                values = look(step)
            if values:
                self._watcher.measured(step, values)
            held = values.get("held_out") if kept else None
            if held is not None and (self.state.best is None or held < self.state.best):
                self.state = replace(self.state, best=held, best_step=step)
        self._accelerator.wait_for_everyone()

    def _note(self, step: int, loss: float, norm: float) -> None:
        """Take a point of the curves, the mean of some steps where there are very many."""
        if not self._main:
            return
        self._seen.append((loss, norm))
        every = max(1, self.steps // _POINTS)
        if step % every and step != self.steps:
            return
        losses, norms = zip(*self._seen, strict=True)
        values = {
            "loss": sum(losses) / len(losses),
            "gradient": sum(norms) / len(norms),
            "learning_rate": self._optimiser.param_groups[0]["lr"],
        }
        self._seen = []
        self._watcher.measured(step, values)

    def _count(self, seconds: float) -> None:
        before = self._pace
        self._pace = seconds if before is None else (1 - _PACE) * before + _PACE * seconds
        if self._main:
            left = (self.steps - self.state.step) * self._pace
            self._watcher.stepped(self.state.step, left)

    def _due(self, step: int, every: int | None) -> bool:
        return bool(every) and (step % every == 0 or step == self.steps)  # type: ignore[operator]

    def _agreed(self, wish: bool) -> bool:
        """Whether any process wishes it, so that all of them do the same."""
        if self._accelerator.num_processes == 1:
            return wish
        told = torch.tensor([float(wish)], device=self._accelerator.device)
        return bool(self._accelerator.reduce(told, "sum").item())

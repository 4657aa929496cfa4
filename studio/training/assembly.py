"""Puts a run together: model, pictures, what is trained of the one and learnt from the other."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from studio.diffusion.conditioning import TextEncoding
from studio.diffusion.texts import texts_of
from studio.errors import RequestError
from studio.models.accelerators import accelerator_in
from studio.models.catalogue import Catalogue
from studio.models.devices import NOTES, Device, Dtype, cpu_dtype
from studio.models.diffusion_loader import DiffusionLoader
from studio.models.entry import ModelEntry
from studio.training.cache.kept import Kept, fingerprint
from studio.training.cache.latents import Latents
from studio.training.cache.texts import RememberedTexts
from studio.training.checkpoints import Checkpoints
from studio.training.learner import Learner
from studio.training.lessons import Lessons
from studio.training.loop import Loop, Matter, Watcher
from studio.training.methods.choice import trained
from studio.training.methods.trained import Trained
from studio.training.noise import process_of
from studio.training.pictures.buckets import place
from studio.training.pictures.captions import literal
from studio.training.pictures.example import Example, Placed
from studio.training.pictures.examples import examples
from studio.training.plan import Plan
from studio.training.run_folder import RunFolder
from studio.training.samples import Sampler
from studio.training.task import Task
from studio.training.watching.held_out import Split, split
from studio.training_requests import CaptionSource, TrainRequest

if TYPE_CHECKING:
    from accelerate import Accelerator

OnDone = Callable[[int, int], object]
"""Takes how many are done, and of how many."""


@dataclass(frozen=True)
class Parts:
    """A run put together, before its loop: what measures and what trains have in common.

    mark: of the model's files. count: of the subject's pictures, which stand before the class's.
    note: what a person should know of what is held out, or "".
    """

    task: Task
    folder: RunFolder
    entry: ModelEntry
    pipe: Any
    changed: Trained
    lessons: Lessons
    encoding: TextEncoding
    plan: Plan
    sampler: Sampler
    accelerator: "Accelerator"
    mark: str
    count: int
    note: str

    @property
    def request(self) -> TrainRequest:
        """What is asked of the run."""
        return self.task.request

    def cache(self, steps: Sequence[int], on_done: OnDone) -> None:
        """Compute what is computed once: for these steps, for all of them without any."""
        slots = [slot for number in steps for slot in self.plan.step(number)]
        places = sorted({slot.place for slot in slots}) if steps else None
        with self.accelerator.main_process_first():
            self.lessons.latents.prepare(self.lessons.pictures(places), on_done)
            if self.changed.reads:
                return
            texts = self.lessons.captions(places)
            for number, text in enumerate(texts):
                on_done(number, len(texts))
                self.encoding.encode(self.encoding.chunks(literal(text)), 1)
            self.sampler.read_ahead()

    def learner(self) -> Learner:
        """The model that learns, with only that on the device which it needs."""
        request, family = self.request, self.entry.family
        assert family is not None
        _put_away(self.pipe, self.entry, self.changed, request)
        denoiser = getattr(self.pipe, family.denoiser)
        if request.checkpointing:
            denoiser.enable_gradient_checkpointing()
        if request.compile:
            denoiser.compile()
        return Learner(
            self.pipe,
            family,
            self.lessons.process,
            self.encoding,
            self.changed.modules,
            free=self.changed.reads,
        )

    def loop(self, learner: Learner, watcher: Watcher) -> Loop:
        """The loop of a learner."""
        request, family = self.request, self.entry.family
        assert family is not None
        denoiser = getattr(self.pipe, family.denoiser)
        matter = Matter(
            request,
            learner,
            self.changed,
            self.lessons,
            self.plan,
            Checkpoints(self.folder.path),
            named(request, self.lessons.placed, self.mark),
            denoiser.enable_gradient_checkpointing,
        )
        return Loop(matter, self.accelerator, watcher)


def assembled(task: Task, folder: RunFolder) -> Parts:
    """The parts of a task's run."""
    request = task.request
    accelerator = accelerator_of(request, task.data)
    entry = Catalogue(task.data / "models").usable(request.model)
    family = entry.family
    assert family is not None
    pipe = loaded(task, entry, accelerator)
    changed = trained(request, pipe, family)
    apart, others = placed_of(task, entry)
    placed, count = [*apart.learnt, *others], len(apart.learnt)
    process = process_of(pipe.scheduler.config, flow=family.flow, gamma=request.min_snr_gamma)
    mark = fingerprint(entry)
    kept = Kept(task.data / "cache" / "training")
    encoding: TextEncoding = texts_of(family, pipe, changed.words)
    if not changed.reads:
        encoding = RememberedTexts(kept, encoding, mark)
    plan = Plan(
        [each.bucket for each in placed[:count]],
        [each.example.repeats for each in placed[:count]],
        request.batch_size,
        request.seed,
        len(placed) - count,
    )
    return Parts(
        task,
        folder,
        entry,
        pipe,
        changed,
        Lessons(request, placed, apart.held, Latents(kept, pipe.vae, mark), process),
        encoding,
        plan,
        Sampler(request, entry, pipe, encoding),
        accelerator,
        mark,
        count,
        apart.note,
    )


def accelerator_of(request: TrainRequest, data: Path) -> "Accelerator":
    """What spreads the work over devices and formats; ModelError where there is no such format."""
    from accelerate.utils import DistributedDataParallelKwargs

    # Of text encoders the last layers are not read by all families.
    unused = DistributedDataParallelKwargs(find_unused_parameters=request.text_encoder)
    accelerator = accelerator_in(
        request.precision,
        auto="bfloat16" if is_fast_in_bfloat16(request, data) else "float32",
        threads=request.threads,
        kwargs_handlers=[unused],
    )
    if request.batch_size < accelerator.num_processes:
        raise RequestError(
            f"Batch size is {request.batch_size}, but {accelerator.num_processes} processes need a "
            "picture each; take a larger batch or fewer processes.",
            "batch_size",
        )
    return accelerator


def is_fast_in_bfloat16(request: TrainRequest, data: Path) -> bool:
    """Whether a training is faster in bfloat16 than in float32 on this machine.

    data: the data folder, which remembers what was measured on a processor.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    # Weights that learn stay in float32, and a CPU converts all of them anew in each step.
    return request.adds_lora and cpu_dtype(data / NOTES) == "bfloat16"


def loaded(task: Task, entry: ModelEntry, accelerator: "Accelerator") -> Any:
    """The model's pipeline on this process's device, in the number format that it learns in."""
    halves: dict[str, Dtype] = {"bf16": "bfloat16", "fp16": "float16"}
    dtype = halves.get(accelerator.mixed_precision, "float32")
    device = Device(str(accelerator.device), str(accelerator.device), dtype)
    loader = DiffusionLoader(Catalogue(task.data / "models"), lambda: device, "sdpa")
    pipe = loader.load(entry.id)
    if accelerator.device.type == "cuda":
        getattr(pipe, entry.family.denoiser).to(memory_format=torch.channels_last)  # type: ignore[union-attr]
    return pipe


def named(request: TrainRequest, placed: Sequence[Placed], mark: str) -> str:
    """A word for all that the order and the content of lessons depend on."""
    told = [
        (each.example.sha256, each.example.caption, each.example.repeats, each.bucket, each.crop)
        for each in placed
    ]
    return hashlib.sha256(f"{mark} {told} {request.batch_size}".encode()).hexdigest()[:24]


def placed_of(task: Task, entry: ModelEntry) -> tuple[Split, list[Placed]]:
    """The subject's pictures in their buckets, some of them held out, and the class's."""
    request = task.request
    side = request.resolution or entry.width
    own = examples(task.pictures, request)
    others: list[Example] = []
    if task.class_pictures is not None:
        prompts = request.class_prompts
        told = request.model_copy(
            update={"prompt": prompts[0], "trigger": "", "captions": CaptionSource.PROMPT}
        )
        there = examples(task.class_pictures, told)[: request.class_pictures]
        others = [
            replace(each, repeats=1, caption=prompts[int(Path(each.name).stem) % len(prompts)])
            for each in there
        ]
    shape = (side, entry.multiple, request.buckets, entry.largest)
    apart = split(place(own, *shape), request.held_out, request.flip)
    return apart, place(others, *shape)


def _put_away(pipe: Any, entry: ModelEntry, changed: Trained, request: TrainRequest) -> None:
    """Free the device of what has done its work; what a whole model is written with stays."""
    assert entry.family is not None
    gone = "cpu" if request.trains_weights else "meta"
    if not changed.reads:
        for _, name in entry.family.encoders:
            encoder = getattr(pipe, name)
            if encoder is not None:
                encoder.to(gone)
    needed = request.sample_every or entry.family.key.endswith("inpaint")
    pipe.vae.to("cpu" if needed or request.trains_weights else "meta")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

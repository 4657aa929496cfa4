"""Puts a run together: model, pictures, what is trained of the one and learnt from the other."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from studio.diffusion.conditioning import TextEncoding
from studio.diffusion.texts import texts_of
from studio.errors import ModelError, RequestError
from studio.models import torchvision_guard  # noqa: F401 - before transformers
from studio.models.catalogue import Catalogue
from studio.models.devices import Device, Dtype
from studio.models.diffusion_loader import DiffusionLoader
from studio.models.entry import ModelEntry
from studio.training.beat import Beat
from studio.training.cache.kept import Kept, fingerprint
from studio.training.cache.latents import Latents
from studio.training.cache.texts import RememberedTexts, literal
from studio.training.checkpoints import Checkpoints
from studio.training.learner import Learner
from studio.training.lessons import Lessons
from studio.training.loop import Loop, Matter, Outcome
from studio.training.methods.trained import Trained, trained
from studio.training.noise import process_of
from studio.training.pictures.buckets import place
from studio.training.pictures.example import Example, Placed
from studio.training.pictures.examples import examples
from studio.training.plan import Plan
from studio.training.run_folder import Phase, RunFolder
from studio.training.samples import Sampler
from studio.training.task import Task
from studio.training.watcher import FolderWatcher
from studio.training_requests import CaptionSource, TrainRequest

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Run:
    """A run that is ready: its loop, and what is done when that is through."""

    loop: Loop
    finish: Callable[[], None]

    def go(self) -> bool:
        """Do what is left; whether it is finished."""
        if self.loop.go() is not Outcome.FINISHED:
            return False
        self.finish()
        return True


def assembled(
    task: Task, folder: RunFolder, beat: Beat | None, ending: threading.Event
) -> Run | None:
    """The run of a task, ready to go on; None when it was told to end before that.

    beat: of the process that tells how it goes; None in the others.
    """
    request = task.request
    accelerator = accelerator_of(request)
    entry = Catalogue(task.data / "models").usable(request.model)
    family = entry.family
    assert family is not None
    pipe = loaded(task, entry, accelerator)
    changed = trained(request, pipe, family)
    placed, count = _placed(task, entry)
    process = process_of(pipe.scheduler.config, flow=family.flow, gamma=request.min_snr_gamma)
    mark = fingerprint(entry)
    kept = Kept(task.data / "cache" / "training")
    latents = Latents(kept, pipe.vae, mark)
    encoding: TextEncoding = texts_of(family, pipe, changed.words)
    if not changed.reads:
        encoding = RememberedTexts(kept, encoding, mark)
    lessons = Lessons(request, placed, latents, process)
    sampler = Sampler(request, entry, pipe, encoding)
    with accelerator.main_process_first():
        if not _cache(lessons, encoding, changed, sampler, beat, ending):
            return None
    _put_away(pipe, entry, changed, request)
    learner = Learner(pipe, family, process, encoding, changed.modules, free=changed.reads)
    watcher = FolderWatcher(folder, beat, ending, sampler)
    denoiser = getattr(pipe, family.denoiser)
    if request.checkpointing:
        denoiser.enable_gradient_checkpointing()
    if request.compile:
        denoiser.compile()
    matter = Matter(
        request,
        learner,
        changed,
        lessons,
        Plan(
            [each.bucket for each in placed[:count]],
            [each.example.repeats for each in placed[:count]],
            request.batch_size,
            request.seed,
            len(placed) - count,
        ),
        Checkpoints(folder.path),
        named(request, placed, mark),
        denoiser.enable_gradient_checkpointing,
    )
    loop = Loop(matter, accelerator, watcher)
    return Run(loop, lambda: None)


def accelerator_of(request: TrainRequest) -> "Accelerator":
    """What spreads the work over devices and formats; ModelError where there is no such format."""
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    if request.threads:
        torch.set_num_threads(request.threads)
    names = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
    fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    names["auto"] = "bf16" if fast else "no"
    # Of text encoders the last layers are not read by all families.
    unused = DistributedDataParallelKwargs(find_unused_parameters=request.text_encoder)
    try:
        accelerator = Accelerator(
            mixed_precision=names[request.precision], kwargs_handlers=[unused]
        )
    except (ValueError, RuntimeError) as error:
        raise ModelError(
            f"The training cannot begin in {request.precision} here ({error}); take precision auto."
        ) from None
    if request.batch_size < accelerator.num_processes:
        raise RequestError(
            f"Batch size is {request.batch_size}, but {accelerator.num_processes} processes need a "
            "picture each; take a larger batch or fewer processes.",
            "batch_size",
        )
    return accelerator


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


def _placed(task: Task, entry: ModelEntry) -> tuple[list[Placed], int]:
    """The pictures in their buckets, the subject's first, and how many these are."""
    request = task.request
    side = request.resolution or entry.width
    own = examples(task.pictures, request)
    others: list[Example] = []
    if task.class_pictures is not None:
        told = request.model_copy(
            update={"prompt": request.class_prompt, "trigger": "", "captions": CaptionSource.PROMPT}
        )
        others = [replace(each, repeats=1) for each in examples(task.class_pictures, told)]
    shape = (side, entry.multiple, request.buckets, entry.largest)
    placed = place(own, *shape)
    return [*placed, *place(others, *shape)], len(placed)


def _cache(
    lessons: Lessons,
    encoding: TextEncoding,
    changed: Trained,
    sampler: Sampler,
    beat: Beat | None,
    ending: threading.Event,
) -> bool:
    """Compute what is computed once; False when told to end meanwhile."""

    class Ended(Exception):
        pass

    def on_done(done: int, total: int) -> None:
        if ending.is_set():
            raise Ended
        if beat is not None:
            beat.set(phase=Phase.CACHING, step=done, steps=total)

    try:
        lessons.latents.prepare(lessons.pictures(), on_done)
        if not changed.reads:
            texts = lessons.captions()
            for number, text in enumerate(texts):
                on_done(number, len(texts))
                encoding.encode(encoding.chunks(literal(text)), 1)
            sampler.read_ahead()
    except Ended:
        return False
    return True


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

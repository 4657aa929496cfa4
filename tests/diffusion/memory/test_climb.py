"""A device that is too small for a job: how it is done all the same, and what the next one sees."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recorder import Recorder, Studio

from studio.context import ModelSpec, Rung
from studio.diffusion import generate
from studio.diffusion.memory.allocations import Allocations
from studio.diffusion.memory.need import Shape, needs
from studio.errors import OutOfMemory
from studio.events import Notice
from studio.models.devices import Device, is_out_of_memory
from studio.models.ladder import fits_rung

JOB = {"prompt": "a dog", "steps": 3, "batch_size": 4, "width": 256, "height": 256}
CPU = Device("cpu", "CPU", "float32")


@contextmanager
def device_of(studio: Studio, rungs: tuple[Rung, ...], **fields: object) -> Iterator[Allocations]:
    """A device, seen only by its allocator, on which JOB fits with these rungs and no fewer."""
    shape = Shape((256, 256), 4, **fields)
    ladder = list(needs(studio.services.catalogue.get(""), shape, CPU, free=0))
    works = {each.rungs: each.work for each in ladder}
    with Allocations(limit=int(works[rungs])) as allocator:
        yield allocator


def notices(recorder: Recorder) -> list[str]:
    return [event.text for event in recorder.events if isinstance(event, Notice)]


def one_by_one(studio: Studio) -> tuple[Rung, ...]:
    """The rungs down to single pictures; tiles, which change pixels, are not yet one of them."""
    found = next(each.rungs for each in needs_of(studio) if Rung.ONE_BY_ONE in each.rungs)
    assert Rung.VAE_TILING not in found
    return found


def test_a_full_device_is_met_with_the_next_rung(studio: Studio) -> None:
    expected = studio.make(**JOB)
    assert notices(expected) == []
    with device_of(studio, one_by_one(studio)):
        made = studio.make(**JOB)
    told = notices(made)
    assert told
    assert all(each.startswith("The device's memory was full: the job goes on") for each in told)
    assert "one picture at a time" in told[-1]
    assert len(made.images) == 4
    for mine, other in zip(made.images, expected.images, strict=True):
        assert_same(mine, other)
    assert "one picture at a time" in made_with(made)


def assert_same(mine: np.ndarray, other: np.ndarray) -> None:
    """The same picture, but for what sums in another order round otherwise."""
    assert np.abs(mine.astype(int) - other).max() <= 1


def made_with(made: Recorder) -> str:

    with Image.open(io.BytesIO(made.pictures[0].data)) as image:
        return str(image.info)


def test_the_next_job_runs_clean(studio: Studio) -> None:
    before = studio.pixels(prompt="a dog", steps=3)
    with device_of(studio, one_by_one(studio)):
        studio.make(**JOB)
    after = studio.make(prompt="a dog", steps=3)
    assert np.array_equal(after.images[0], before)
    assert notices(after) == []
    assert "one picture at a time" not in made_with(after)
    with studio.borrow() as pipe:
        assert not pipe.vae.use_slicing
        assert not pipe.vae.use_tiling


def test_what_is_done_is_not_done_again(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device fills up in the second of three batches: the first one's pictures are kept."""
    expected = studio.make(**{**JOB, "batch_size": 2, "batch_count": 3})
    denoised: list[int] = []
    real = generate.denoise

    def denoise(*args: object, **kwargs: object) -> object:
        latents = args[2]
        assert isinstance(latents, torch.Tensor)
        denoised.append(len(latents))
        if len(denoised) == 2:
            raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB.")
        return real(*args, **kwargs)

    monkeypatch.setattr(generate, "denoise", denoise)
    made = studio.make(**{**JOB, "batch_size": 2, "batch_count": 3})
    assert sum(denoised) == 6 + 2, "two for nothing"
    assert [picture.seed for picture in made.pictures] == [7, 8, 9, 10, 11, 12]
    for mine, other in zip(made.images, expected.images, strict=True):
        assert_same(mine, other)
    assert len(notices(made)) == 1


def test_an_edit_climbs_too(studio: Studio) -> None:
    source = np.random.default_rng(3).integers(0, 256, (256, 256, 3), dtype="u1")
    fields = {"prompt": "a dog", "steps": 4, "strength": 0.6, "batch_size": 4}
    expected = studio.edit(source, **fields)
    with device_of(studio, one_by_one(studio), encodes=True):
        made = studio.edit(source, **fields)
    assert notices(made)
    for mine, other in zip(made.images, expected.images, strict=True):
        assert_same(mine, other)


def test_when_no_rung_is_left_it_is_said_in_one_sentence(studio: Studio) -> None:
    with Allocations(limit=10**6), pytest.raises(OutOfMemory) as caught:
        studio.make(**JOB)
    assert str(caught.value) == (
        "A batch of 4 at 256x256 does not fit into the device's memory, whatever is saved; choose "
        "a smaller size or batch."
    )
    assert len(studio.make(prompt="a dog", steps=2).images) == 1


def test_the_need_is_told_before_the_job(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device with little free memory is never tried in vain."""
    studio.make(prompt="a dog", steps=1)  # loaded, so that its weights need no room any more
    ladder = {each.rungs: each.work for each in needs_of(studio)}
    free = [ladder[one_by_one(studio)] + 10**6]
    models = studio.services.engine.models
    monkeypatch.setattr(models, "_free", lambda: free[0])
    monkeypatch.setattr(studio.services.engine.__class__, "free", lambda self: free[0])
    with monkeypatch.context() as patch:
        workers = studio.services.engine._workers()
        patch.setattr(workers[0]._climb, "_free", lambda: free[0])
        made = studio.make(**JOB)
        (told,) = notices(made)
        assert told.startswith("Needs ")
        assert " free: works with " in told
        assert "one picture at a time" in told
        free[0] = 10**5
        with pytest.raises(OutOfMemory, match=r"needs .* with what it works on"):
            studio.make(**JOB)


def needs_of(studio: Studio) -> list:
    return list(needs(studio.services.catalogue.get(""), Shape((256, 256), 4), CPU, free=0))


def test_a_load_that_did_not_fit_is_told_without_figures_that_nobody_has(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = studio.services.engine.models
    real, tried = models.borrow, []

    def borrow(spec: ModelSpec, *args: Any, **fields: Any) -> Any:
        tried.append(spec.rungs)
        if len(tried) == 1:
            raise OutOfMemory("It did not fit on the GPU.")
        return real(spec, *args, **fields)

    monkeypatch.setattr(models, "borrow", borrow)
    made = studio.make(**JOB)
    (told,) = notices(made)
    assert told.startswith("The device's memory was full: the job goes on with")
    assert len(made.images) == 4


def test_other_faults_are_no_reason_to_climb(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def broken(*_args: object, **_kwargs: object) -> None:
        calls.append(1)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(generate, "denoise", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        studio.make(**JOB)
    assert calls == [1]


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError(12, "Cannot allocate"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: BaseException, is_memory: bool) -> None:
    assert is_out_of_memory(error) is is_memory


@pytest.mark.parametrize("rung", list(Rung))
def test_which_rungs_mean_something(rung: Rung) -> None:
    gpu = Device("cuda:0", "GPU", "float16")
    assert fits_rung(rung, gpu, sliceable=True)
    moves = rung in (Rung.ENCODERS_OFF, Rung.MODEL_OFFLOAD, Rung.SEQUENTIAL_OFFLOAD)
    assert fits_rung(rung, CPU, sliceable=True) is not moves
    assert fits_rung(rung, gpu, sliceable=False) is (rung is not Rung.ATTENTION_SLICING)

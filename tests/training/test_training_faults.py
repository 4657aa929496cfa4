"""What goes wrong in mid-run: memory, numbers, the disk."""

import errno

import pytest
import torch
from safetensors.torch import load_file
from training_runs import here

from studio.errors import DataError, ModelError, StorageError
from studio.training import checkpoints
from studio.training.checkpoints import Checkpoints
from studio.training.learner import Learner
from studio.training.run_folder import RunFolder


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    newest = Checkpoints(folder.path).newest()
    assert newest is not None
    return load_file(newest / "weights.safetensors")


def nearly(one: RunFolder, other: RunFolder) -> bool:
    """Whether two runs ended alike; where a gradient is almost nothing, Adam goes by its sign."""
    pairs = [(weights(one)[key], each) for key, each in weights(other).items()]
    apart = sum(float((a - b).abs().sum()) for a, b in pairs)
    return apart < 1e-3 * sum(float(b.abs().sum()) for _, b in pairs)


def test_memory_that_does_not_do_halves_the_batches_and_keeps_the_step(begun, tiny, monkeypatch):
    fields = {"model": tiny("sd"), "batch_size": 4, "micro_batch": 4, "steps": 3, "buckets": False}
    whole = here(begun("whole", **fields))
    forward, most = Learner.forward, []

    def small(self, lesson):
        most.append(len(lesson.latents))
        if len(lesson.latents) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, lesson)

    monkeypatch.setattr(Learner, "forward", small)
    short = begun("short", **fields)
    here(short)
    assert most[:3] == [4, 2, 1]
    assert set(most[2:]) == {1}
    assert nearly(short, whole)
    points = zip(whole.curve()[0], short.curve()[0], strict=True)
    assert all(abs(one["loss"] - other["loss"]) < 1e-5 for one, other in points)


def test_when_one_picture_does_not_fit_activations_are_computed_twice(begun, tiny, monkeypatch):
    fields = {"model": tiny("sd"), "batch_size": 1, "micro_batch": 1, "steps": 2}
    whole = here(begun("whole", **fields))
    forward = Learner.forward

    def small(self, lesson):
        if not self._held[0].unet.is_gradient_checkpointing:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, lesson)

    monkeypatch.setattr(Learner, "forward", small)
    short = here(begun("short", **fields))
    assert nearly(short, whole)

    def never(self, lesson):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Learner, "forward", never)
    with pytest.raises(ModelError, match="Not even one picture fits into memory"):
        here(begun("none", **fields))


def test_a_loss_that_is_no_number_goes_back_once_with_half_the_rate(begun, tiny, monkeypatch):
    forward, calls = Learner.forward, []

    def astray(self, lesson):
        calls.append(1)
        loss = forward(self, lesson)
        return loss * torch.nan if len(calls) == 4 else loss

    monkeypatch.setattr(Learner, "forward", astray)
    folder = here(begun("astray", model=tiny("sd"), buckets=False, schedule="constant", warmup=0))
    points = folder.curve()[0]
    assert [point["step"] for point in points] == [1, 2, 3, 4, 5, 6]
    # The fourth step failed; the third was done again from the checkpoint of the second.
    assert len(calls) == 6 + 2
    rates = [point["learning_rate"] for point in points]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 5e-4, 5e-4])
    newest = Checkpoints(folder.path).newest()
    assert newest is not None
    assert checkpoints.read(newest)[0].rate == 0.5


def test_a_loss_that_stays_astray_ends_the_run_with_the_pictures_named(begun, tiny, monkeypatch):
    forward = Learner.forward

    def astray(self, lesson):
        return forward(self, lesson) * torch.nan

    monkeypatch.setattr(Learner, "forward", astray)
    folder = begun("astray", model=tiny("sd"))
    with pytest.raises(ModelError, match=r"no longer a number at step 1 \(.*\.png.*take these"):
        here(folder)
    assert all(torch.isfinite(each).all() for each in weights(folder).values())


def test_a_disk_that_fills_up_loses_nothing_that_was_there(begun, tiny, monkeypatch):
    folder = begun("full", model=tiny("sd"))
    writes = []

    def full(place, fill):
        writes.append(place)
        if len(writes) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        fill_and_write(place, fill)

    fill_and_write = checkpoints.write_folder
    monkeypatch.setattr(checkpoints, "write_folder", full)
    with pytest.raises(OSError, match="No space"):
        here(folder)
    kept = Checkpoints(folder.path).all()
    assert [each.name for each in kept] == ["step-00000000", "step-00000002"]
    assert all(checkpoints.is_whole(each) for each in kept)
    monkeypatch.undo()
    whole = here(begun("whole", model=tiny("sd")))
    here(folder)
    assert all(torch.equal(weights(folder)[key], each) for key, each in weights(whole).items())


def test_room_is_looked_for_before_a_checkpoint_is_written(begun, tiny, monkeypatch):
    usage = checkpoints.shutil.disk_usage
    monkeypatch.setattr(
        checkpoints.shutil, "disk_usage", lambda path: usage(path)._replace(free=10**6)
    )
    with pytest.raises(StorageError, match=r"A checkpoint needs .* GB, but only 0\.00 GB are free"):
        here(begun("full", model=tiny("sd")))


def test_a_run_does_not_go_on_with_other_pictures(begun, tiny):
    folder = here(begun("whole", model=tiny("sd")))
    begun("whole", model=tiny("sd"), prompt="a photo of sks dog")
    with pytest.raises(DataError, match="are not those that it began with"):
        here(folder)

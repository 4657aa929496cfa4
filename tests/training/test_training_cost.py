"""What a run will cost, told by a few of its steps."""

import pytest
import torch
from training_runs import Program

from studio.errors import DataError
from studio.training import measuring
from studio.training.checkpoints import Checkpoints
from studio.training.cost import read_cost, steady
from studio.training.learner import Learner
from studio.training.task import read_task


def test_a_measurement_tells_time_memory_and_disk_and_leaves_no_run(begun, tiny):
    folder = begun("costly", model=tiny("sd"), steps=1000, sample_prompts=("cat",), sample_every=10)
    Program(folder, program=("-m", "studio.training", "--measure")).done()
    cost = read_cost(folder.path)
    assert cost.seconds > 1000 * cost.seconds_a_step > 0
    assert cost.pictures_a_second == pytest.approx(2 / cost.seconds_a_step)
    assert 10**8 < cost.memory < 10**10
    assert cost.free > 0
    assert cost.disk > 10**5
    assert cost.micro_batch == 2
    assert not cost.way
    assert cost.fits
    assert not Checkpoints(folder.path).all()
    assert not folder.curve()[0]


def test_the_way_down_is_found_and_told(begun, tiny, monkeypatch):
    forward = Learner.forward

    def small(self, lesson):
        if len(lesson.latents) > 1 or not self._held[0].unet.is_gradient_checkpointing:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, lesson)

    monkeypatch.setattr(Learner, "forward", small)
    folder = begun("costly", model=tiny("sd"))
    assert measuring.measure(read_task(folder.path), folder, None, None)
    cost = read_cost(folder.path)
    assert cost.micro_batch == 1
    assert cost.checkpointing
    assert len(cost.way) == 2
    assert "2 pictures at a time did not fit" in cost.way[0]


def test_the_first_step_does_not_count():
    assert steady([9.0, 2.0, 3.0]) == 2.0
    assert steady([9.0]) == 9.0


def test_without_a_measurement_it_is_said(tmp_path):
    with pytest.raises(DataError, match="Nothing was measured"):
        read_cost(tmp_path)

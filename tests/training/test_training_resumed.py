"""A run that was killed ends with the weights of one that was not, to the last bit."""

import os
import random
import signal

import pytest
import torch
from safetensors.torch import load_file
from training_runs import Program, here

from studio.training.checkpoints import Checkpoints, is_whole
from studio.training.launch.process import is_dead
from studio.training.run_folder import Phase, RunFolder, Wish

METHODS = {
    "lora": ("sd", {"dropout": 0.2, "ema": 0.9, "caption_dropout": 0.3, "flip": True}),
    "lora with texts": (
        "sd",
        {"text_encoder": True, "conv_rank": 4, "conv_alpha": 2, "dora": True, "alpha": 8},
    ),
    "dreambooth": (
        "sd",
        {
            "method": "dreambooth",
            "preservation": True,
            "class_prompt": "a photo of a cat",
            "noise_offset": 0.05,
        },
    ),
    "dreambooth whole": (
        "sd",
        {
            "method": "dreambooth",
            "whole": True,
            "text_encoder": True,
            "preservation": True,
            "class_prompt": "a photo of a cat",
            "learning_rate": 1e-5,
            "optimiser": "adafactor",
        },
    ),
    "textual inversion": ("sd", {"method": "textual-inversion", "initial_word": "cat"}),
    "textual inversion xl": ("sdxl", {"method": "textual-inversion", "vectors": 2}),
    "full": ("sd2", {"method": "full", "learning_rate": 1e-5, "multires_noise": 0.3}),
    "xl": ("sdxl", {"text_encoder": True, "rslora": True}),
    "sd3": ("sd3", {}),
    "flux": ("flux-dev", {"layers": "all", "buckets": False}),
}


def last(folder: RunFolder, part: str = "weights") -> dict[str, torch.Tensor]:
    newest = Checkpoints(folder.path).newest()
    assert newest is not None
    return load_file(newest / f"{part}.safetensors")


@pytest.mark.parametrize("name", METHODS)
def test_a_killed_run_goes_on_as_if_nothing_had_been(name, begun, tiny):
    family, fields = METHODS[name]
    fields = {**fields, "model": tiny(family)}
    whole = here(begun("whole", **fields))
    broken = begun("broken", **fields)
    program = Program(broken)
    steps = random.Random(name).randint(2, 5)
    program.until(lambda: len(broken.curve()[0]) >= steps)
    program.process.send_signal(signal.SIGKILL)
    program.wait()
    assert is_dead(broken)
    Program(broken).done()
    expected, found = last(whole), last(broken)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[key], each) for key, each in expected.items())
    began = load_file(next(iter(Checkpoints(whole.path).all())) / "weights.safetensors")
    assert any(not torch.equal(began[key], each) for key, each in expected.items())
    points = [point["loss"] for point in whole.curve()[0]]
    assert points == [point["loss"] for point in broken.curve()[0]]
    assert len(points) == 6


@pytest.mark.parametrize("way", ["signal", "wish"])
def test_a_run_that_is_told_to_pause_saves_and_goes_on(way, begun, tiny):
    whole = here(begun("whole", model=tiny("sd"), save_every=6))
    paused = begun("paused", model=tiny("sd"), save_every=6)
    program = Program(paused)
    program.until(lambda: len(paused.curve()[0]) >= 2)
    if way == "signal":
        os.kill(program.process.pid, signal.SIGTERM)
    else:
        paused.wish(Wish.PAUSE)
    assert program.wait() == 75
    assert paused.status().phase is Phase.PAUSED
    kept = Checkpoints(paused.path).all()
    assert len(kept) == 2
    assert all(is_whole(each) for each in kept)
    paused.wish(None)
    Program(paused).done()
    assert all(torch.equal(last(paused)[key], each) for key, each in last(whole).items())


def test_a_damaged_checkpoint_is_passed_over(begun, tiny):
    whole = here(begun("whole", model=tiny("sd")))
    broken = begun("broken", model=tiny("sd"))
    program = Program(broken)
    program.until(lambda: len(broken.curve()[0]) >= 5)
    program.process.send_signal(signal.SIGKILL)
    program.wait()
    newest = Checkpoints(broken.path).all()[-1] / "weights.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    Program(broken).done()
    assert all(torch.equal(last(broken)[key], each) for key, each in last(whole).items())

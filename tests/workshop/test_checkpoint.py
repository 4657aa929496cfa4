"""Checkpoints: whole or not there, and exact."""

import pytest
import torch
from torch import nn

from training.embedded import checkpoint
from training.embedded.muon import Muon, orthogonalised


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path = tmp_path / "run" / "state.safetensors"
    assert checkpoint.load(path) == ({}, 0)
    tensors = checkpoint.put("model", {"weight": torch.randn(3, 4)})
    checkpoint.save(path, tensors, 17)
    loaded, step = checkpoint.load(path)
    assert step == 17
    assert torch.equal(checkpoint.pick(loaded, "model")["weight"], tensors["model.weight"])


def test_a_kill_while_writing_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, {"a": torch.ones(2)}, 1)

    def killed(tensors, aside, metadata):
        aside.write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, {"a": torch.zeros(2)}, 2)
    tensors, step = checkpoint.load(path)
    assert (step, tensors["a"].tolist()) == (1, [1, 1])


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_an_optimizer_goes_on_where_it_was(kind):
    def run(first, second):
        torch.manual_seed(0)
        layer = nn.Linear(6, 5, bias=False)
        made = {"adamw": torch.optim.AdamW, "muon": Muon}[kind]
        optimizer = made(layer.parameters(), lr=0.01)
        for count in (first, second):
            for i in range(count):
                layer(torch.full((2, 6), float(i))).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
            stored = {k: v.clone() for k, v in checkpoint.optimizer_tensors(optimizer).items()}
            optimizer = made(layer.parameters(), lr=0.01)
            checkpoint.restore_optimizer(optimizer, stored)
        return layer.weight, optimizer.state_dict()["state"]

    # The same inputs: 3 and 3 steps, where the second half repeats the first one's.
    (weight, state), (again, same) = run(3, 3), run(3, 3)
    assert torch.equal(weight, again)
    torch.manual_seed(0)
    layer = nn.Linear(6, 5, bias=False)
    optimizer = {"adamw": torch.optim.AdamW, "muon": Muon}[kind](layer.parameters(), lr=0.01)
    for i in (0, 1, 2, 0, 1, 2):
        layer(torch.full((2, 6), float(i))).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(layer.weight, weight)
    assert state.keys() == same.keys() == optimizer.state_dict()["state"].keys()


def test_the_mean_follows_and_forgets_its_start():
    layer = nn.Linear(2, 2)
    mean = checkpoint.Mean(layer, 0.9)
    with torch.no_grad():
        layer.weight.fill_(5)
    for step in range(1, 200):
        mean.update(layer, step)
    assert torch.allclose(mean.tensors["weight"], torch.tensor(5.0), atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 8), (4, 20), (20, 4)])
def test_muon_evens_out_singular_values(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert values.min() > 0.3
    assert values.max() < 1.4

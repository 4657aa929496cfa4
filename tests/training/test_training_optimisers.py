"""Optimisers: those whose library is there, each stored and put back to the bit."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.errors import DataError, RequestError
from studio.models import torchvision_guard  # noqa: F401
from studio.training.optimisers import build, evaluating, load_state, offered, state_tensors
from studio.training_requests import Optimiser

EXTRA = {Optimiser.ADAMW_8BIT, Optimiser.PRODIGY, Optimiser.LION, Optimiser.SCHEDULE_FREE}
RATES = {Optimiser.PRODIGY: (1.0, 1.0)}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Fit:
    """A small net that is taught to copy numbers; enough weights for 8-bit moments."""

    def __init__(self, optimiser, dtype=torch.float32):
        torch.manual_seed(3)
        self.model = torch.nn.Sequential(torch.nn.Linear(96, 64), torch.nn.Linear(64, 96)).to(dtype)
        first, second = RATES.get(optimiser, (1e-3, 1e-4))
        groups = [
            {"params": list(self.model[0].parameters()), "lr": first},
            {"params": list(self.model[1].parameters()), "lr": second},
        ]
        self.built = build(optimiser, groups, weight_decay=0.01)
        self.dtype = dtype

    def steps(self, begin, end):
        for step in range(begin, end):
            source = torch.Generator().manual_seed(step)
            given = torch.randn(16, 96, generator=source).to(self.dtype)
            for group in self.built.param_groups:
                group["lr"] = group["lr"] * 0.99
            self.built.zero_grad()
            loss = ((self.model(given) - given) ** 2).mean()
            loss.backward()
            self.built.step()
        return loss.item()

    def weights(self):
        return [tensor.detach().clone() for tensor in self.model.parameters()]

    def save(self, folder):
        tensors, rest = state_tensors(self.built)
        save_file(tensors, folder / "optimiser.safetensors")
        (folder / "optimiser.json").write_text(json.dumps(rest))
        save_file({str(n): w for n, w in enumerate(self.weights())}, folder / "model.safetensors")

    def load(self, folder):
        weights = load_file(folder / "model.safetensors")
        with torch.no_grad():
            for number, tensor in enumerate(self.model.parameters()):
                tensor.copy_(weights[str(number)])
        rest = json.loads((folder / "optimiser.json").read_text())
        load_state(self.built, load_file(folder / "optimiser.safetensors"), rest)


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture(params=offered(), ids=str)
def optimiser(request):
    return request.param


def test_those_of_every_installation_are_offered():
    assert {Optimiser.ADAMW, Optimiser.ADAFACTOR} <= set(offered())
    assert list(offered()) == [each for each in Optimiser if each in offered()]


@pytest.mark.parametrize("absent", sorted(EXTRA - set(offered())), ids=str)
def test_one_without_its_library_says_what_to_install(absent):
    with pytest.raises(RequestError) as refused:
        build(absent, [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 1e-3}], 0.0)
    assert str(refused.value).startswith(f"Optimiser {absent.value} needs the library ")
    assert "which is not installed; install it, or take one of adamw," in str(refused.value)
    assert refused.value.field == "optimiser"


def test_looking_what_there_is_imports_nothing():
    before = {name.partition(".")[0] for name in sys.modules}
    offered()
    after = {name.partition(".")[0] for name in sys.modules}
    assert (after - before).isdisjoint({"bitsandbytes", "pytorch_optimizer"})


def test_it_learns(optimiser):
    fit = Fit(optimiser)
    first = fit.steps(0, 1)
    assert fit.steps(1, 60) < first * 0.97


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_run_that_was_saved_goes_on_to_the_bit(optimiser, dtype, tmp_path):
    unbroken = Fit(optimiser, dtype)
    unbroken.steps(0, 12)
    broken = Fit(optimiser, dtype)
    broken.steps(0, 7)
    broken.save(tmp_path)
    again = Fit(optimiser, dtype)
    again.steps(0, 2)  # what it has gathered by itself is to be gone
    again.load(tmp_path)
    again.steps(7, 12)
    assert same(unbroken.weights(), again.weights())
    ours, rest = state_tensors(again.built)
    theirs, wanted = state_tensors(unbroken.built)
    assert rest == wanted
    assert {k: t.dtype for k, t in ours.items()} == {k: t.dtype for k, t in theirs.items()}
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert not same(broken.weights(), again.weights())


def test_saving_changes_nothing(optimiser, tmp_path):
    one, other = Fit(optimiser), Fit(optimiser)
    one.steps(0, 4)
    one.save(tmp_path)
    one.steps(4, 8)
    other.steps(0, 8)
    assert same(one.weights(), other.weights())


def test_looking_at_the_weights_changes_nothing(optimiser):
    one, other = Fit(optimiser), Fit(optimiser)
    one.steps(0, 6)
    other.steps(0, 6)
    before = one.weights()
    with evaluating(one.built):
        inside = one.weights()
    assert same(before, one.weights())
    assert same(before, inside) == (optimiser is not Optimiser.SCHEDULE_FREE)
    one.steps(6, 9)
    other.steps(6, 9)
    assert same(one.weights(), other.weights())


def test_weights_come_back_though_what_looks_at_them_fails(optimiser):
    fit = Fit(optimiser)
    fit.steps(0, 3)
    before = fit.weights()
    with pytest.raises(ZeroDivisionError), evaluating(fit.built):
        _ = 1 / 0
    assert same(before, fit.weights())


def test_state_of_a_beginning_is_put_back(optimiser, tmp_path):
    fit, wanted = Fit(optimiser), Fit(optimiser)
    fit.save(tmp_path)
    fit.load(tmp_path)
    fit.steps(0, 3)
    wanted.steps(0, 3)
    assert same(fit.weights(), wanted.weights())


def test_anothers_state_is_refused():
    adamw, adafactor = Fit(Optimiser.ADAMW), Fit(Optimiser.ADAFACTOR)
    with pytest.raises(DataError, match="is Adafactor's, not AdamW's; choose"):
        load_state(adamw.built, *state_tensors(adafactor.built))
    few = build(Optimiser.ADAMW, [{"params": [torch.nn.Parameter(torch.zeros(2))], "lr": 1.0}], 0)
    with pytest.raises(DataError, match="of other parameters; begin"):
        load_state(adamw.built, *state_tensors(few))


def test_a_damaged_state_is_refused():
    fit = Fit(Optimiser.ADAMW)
    fit.steps(0, 1)
    tensors, rest = state_tensors(fit.built)
    gathered = {"pairs": [["state", 1]]}
    for damaged in (
        {},
        [],
        None,
        {"optimiser": "AdamW", "gathered": gathered},
        {**rest, "gathered": {}},
    ):
        with pytest.raises(DataError, match="cannot be read; go on from another"):
            load_state(fit.built, tensors, damaged)
    with pytest.raises(DataError, match="cannot be read"):
        load_state(fit.built, {}, rest)


def test_what_is_shared_is_stored_once():
    fit = Fit(Optimiser.ADAMW)
    fit.steps(0, 1)
    table = torch.arange(256.0)
    for state in fit.built.state.values():
        state["table"] = table
    tensors, rest = state_tensors(fit.built)
    assert sum(tensor.shape == (256,) for tensor in tensors.values()) == 1
    load_state(fit.built, tensors, json.loads(json.dumps(rest)))
    assert all(torch.equal(state["table"], table) for state in fit.built.state.values())

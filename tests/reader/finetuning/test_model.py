"""Loading of what is trained, the rates of its layers, and refusals in words."""

import json

import pytest
import torch
from tiny_readers import ARCHITECTURES, make_reader

from studio.errors import ModelError
from studio.reader.finetuning.loop import cross_entropy, factor, mask_seed
from studio.reader.finetuning.model import groups, load
from studio.reader.finetuning.options import Options


def rates(model, **changes) -> dict[str, float]:
    options = Options(base="-", train="-", weight_decay=0.1, **changes)
    of = {id(w): group for group in groups(model, options) for w in group["params"]}
    return {name: of[id(weight)]["rate"] for name, weight in model.named_parameters()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rates_fall_towards_the_input(architecture, tmp_path):
    model, _ = load(str(make_reader(tmp_path, architecture, head=False)), 0)
    found = rates(model, layer_decay=0.5, head_rate=3)
    levels = sorted(set(found.values()))
    head = [rate for name, rate in found.items() if not name.startswith(model.base_model_prefix)]
    assert head
    assert set(head) == {3.0}
    words = next(name for name, weight in model.named_parameters() if weight.shape[0] > 45)
    assert found[words] == levels[0], "embeddings are the slowest"
    # Two layers; ALBERT's are one and the same.
    assert levels[0] == (0.25 if architecture == "albert" else 0.125)
    assert set(levels) <= {0.125, 0.25, 0.5, 1.0, 3.0}


def test_every_weight_is_in_one_group_and_norms_do_not_decay(tmp_path):
    model, _ = load(str(make_reader(tmp_path)), 0)
    options = Options(base="-", train="-", weight_decay=0.1)
    found = groups(model, options)
    ids = [id(weight) for group in found for weight in group["params"]]
    assert sorted(ids) == sorted(id(weight) for weight in model.parameters())
    for group in found:
        assert {weight.dim() > 1 for weight in group["params"]} == {group["weight_decay"] > 0}


def test_a_new_head_follows_the_seed(tmp_path):
    folder = str(make_reader(tmp_path, head=False))
    one, again, other = (load(folder, seed)[0].qa_outputs.weight for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_dropouts_are_set_by_what_the_model_calls_them(tmp_path):
    model, _ = load(str(make_reader(tmp_path)), 0, dropout=0.3, attention_dropout=0.0)
    assert model.config.hidden_dropout_prob == 0.3
    assert model.config.attention_probs_dropout_prob == 0.0
    same, _ = load(str(tmp_path), 0)
    assert same.config.hidden_dropout_prob == 0.1


def test_what_is_no_encoder_is_refused_in_words(tmp_path):
    with pytest.raises(ModelError, match=r"no config\.json"):
        load(str(tmp_path), 0)
    folder = make_reader(tmp_path / "reader")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load(str(folder), 0)
    vision = tmp_path / "vision"
    vision.mkdir()
    (vision / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ModelError, match="cannot be fine-tuned"):
        load(str(vision), 0)
    with pytest.raises(ModelError, match="nobody/nothing"):
        load("nobody/nothing", 0)


def test_code_of_a_base_is_neither_run_nor_asked_for(tmp_path, capsys):
    folder = tmp_path / "own"
    folder.mkdir()
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
    (folder / "config.json").write_text(json.dumps(own))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    with pytest.raises(ModelError, match="cannot be fine-tuned"):
        load(str(folder), 0)
    assert not (tmp_path / "run").exists()
    assert "Do you wish to run" not in capsys.readouterr().out


def test_the_rate_rises_and_falls_linearly():
    found = [factor(step, 10, 0.2) for step in range(10)]
    assert found == pytest.approx([0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert factor(0, 10, 0) == 1
    assert factor(0, 1, 1.0) == 1


def test_no_two_batches_have_the_same_masks():
    seeds = {
        mask_seed(seed, step, part, process)
        for seed in (0, 1, 2**32 - 1)
        for step in (0, 1, 5000)
        for part in (0, 1, 63)
        for process in (0, 1, 7)
    }
    assert len(seeds) == 81
    assert 0 <= min(seeds) < max(seeds) < 2**63


def test_the_loss_is_cross_entropy_without_the_padding():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 9, generator=generator)
    wanted = torch.tensor([0, 3, 4, 1])
    mask = torch.ones(4, 9, dtype=torch.long)
    expected = torch.nn.functional.cross_entropy(logits, wanted, label_smoothing=0.1)
    assert torch.allclose(cross_entropy(logits, wanted, mask, 0.1), expected)
    mask[:, 5:] = 0
    expected = torch.nn.functional.cross_entropy(logits[:, :5], wanted, label_smoothing=0.1)
    found = cross_entropy(logits.requires_grad_(), wanted, mask, 0.1)
    assert torch.allclose(found, expected)
    found.backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, 5:] == 0).all()

"""What teachers say, kept on disk, and a student that learns from nothing else."""

import shutil

import numpy as np
import pytest
import torch
from tiny_readers import make_reader
from tuning_runs import done

from studio.errors import ModelError
from studio.models.readers import load_reader
from studio.reader.finetuning.features import Features, features, tokenizer_hash
from studio.reader.finetuning.loop import curve
from studio.reader.finetuning.soft_labels import SoftLabels, distilled
from studio.reader.squad import read_squad
from studio.reader.windows import Encoder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers")
    return [make_reader(folder / str(seed), seed=seed) for seed in (1, 2)]


@pytest.fixture
def windows(teachers, data, tmp_path) -> Features:
    loaded = load_reader(teachers[0])
    encoder = Encoder(loaded.tokenizer, loaded.longest, 64, 16)
    return features(read_squad(data), encoder, tokenizer_hash(loaded.tokenizer), tmp_path)


def all_made(soft: SoftLabels, tokenizer) -> list[int]:
    told: list[int] = []
    soft.make(CPU, tokenizer, range(soft.chunks), lambda chunk: told.append(chunk) is not None)
    return told


def test_they_are_the_mean_of_the_teachers_probabilities(teachers, windows, tmp_path):
    loaded = [load_reader(each) for each in teachers]
    soft = SoftLabels(teachers, windows, 2.0, tmp_path)
    assert all_made(soft, loaded[0].tokenizer) == [0]
    places = np.array([3, 0, len(windows) - 1])
    batch = windows.batch(places)
    found = soft.batch(places, batch.ids.shape[1])
    with torch.inference_mode():
        said = [each.network(**batch.inputs(CPU, True)) for each in loaded]
    for end, name in enumerate(("start_logits", "end_logits")):
        logits = torch.stack([getattr(out, name) for out in said]).masked_fill(
            batch.mask == 0, -torch.inf
        )
        assert torch.allclose(found[end], (logits / 2).softmax(-1).mean(0), atol=1e-3)
    assert torch.allclose(found.sum(-1), torch.ones(2, 3), atol=2e-3)


def test_they_are_made_once_and_a_broken_off_making_goes_on(
    teachers, windows, tmp_path, monkeypatch
):
    from studio.reader.finetuning import soft_labels

    monkeypatch.setattr(soft_labels, "_CHUNK", 16)
    soft = SoftLabels(teachers, windows, 2.0, tmp_path)
    assert soft.chunks > 3
    tokenizer = load_reader(teachers[0]).tokenizer
    soft.make(CPU, tokenizer, range(soft.chunks), lambda chunk: chunk == 1)
    [folder] = tmp_path.glob("soft-*")
    made = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert sorted(made) == ["000000.npy", "000001.npy"]
    all_made(soft, tokenizer)
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(after) == soft.chunks
    assert made.items() <= after.items()
    whole = soft.batch(np.arange(len(windows)), 64)
    monkeypatch.undo()
    in_one = SoftLabels(teachers, windows, 2.0, tmp_path)
    all_made(in_one, tokenizer)
    assert torch.allclose(in_one.batch(np.arange(len(windows)), 64), whole, atol=1e-3)


def test_a_teacher_of_another_tokenizer_is_refused(teachers, windows, encoder, tmp_path):
    from transformers import AutoTokenizer

    other = AutoTokenizer.from_pretrained(encoder)
    with pytest.raises(ModelError, match="another tokenizer"):
        all_made(SoftLabels(teachers, windows, 1.0, tmp_path), other)


def test_the_loss_is_least_where_the_student_says_the_same():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 7, generator=generator)
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[:, 5:] = 0
    wanted = (logits / 2).masked_fill(mask == 0, -torch.inf).softmax(-1)
    student = logits.clone().requires_grad_()
    loss = distilled(student, wanted, mask, 2.0)
    entropy = -(wanted[:, :5] * wanted[:, :5].log()).sum(1).mean()
    assert torch.allclose(loss, 4 * entropy)
    loss.backward()
    assert student.grad.abs().max() < 1e-6
    assert distilled(logits.flip(1), wanted, mask, 2.0) > loss


@pytest.mark.slow
def test_a_student_comes_to_say_what_its_teacher_says(options, teachers, tmp_path):
    student = tmp_path / "student"
    shutil.copytree(make_reader(tmp_path / "base", head=False, seed=7), student)
    only = options.model_copy(
        update={
            "base": str(student),
            "teachers": (teachers[0],),
            "distill": 1.0,
            "dev": None,
            "epochs": 20,
            "learning_rate": 3e-3,
        }
    )
    told = done(tmp_path / "run", only)
    assert {"type": "labelled", "step": 1, "steps": 1} in told
    losses = [point["loss"] for point in curve(tmp_path / "run")]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])

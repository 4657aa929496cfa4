"""What a run makes can be used at once, and is what the live weights were."""

import pytest
import torch
from safetensors.torch import load_file
from training_runs import Program, here

from studio.errors import NotFound
from studio.models.catalogue import Catalogue
from studio.models.devices import Device
from studio.models.diffusion_loader import DiffusionLoader
from studio.training.checkpoints import Checkpoints
from studio.training.choice import (
    export_path,
    put_to_use,
    recommendation_of,
    scores_of,
    steps_of,
    verdict_of,
)
from studio.training.run_folder import RESULT, Phase

LOOKED = {
    "sample_prompts": ("a photo of sks cat",),
    "sample_every": 3,
    "sample_steps": 2,
    "held_out": None,
}
_WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def catalogue(training_data):
    return Catalogue(training_data / "models")


def test_a_lora_is_where_loras_are_looked_for(begun, tiny, catalogue, training_data):
    name = "made-lora"
    folder = begun(name, model=tiny("sd"), **LOOKED)
    Program(folder).done()
    status = folder.status()
    assert (status.phase, status.step, status.steps) == (Phase.FINISHED, 6, 6)
    lora = catalogue.loras.find(name)
    assert lora is not None
    assert not lora.problem
    assert lora.triggers == ("sks",)
    assert lora.picture()
    assert catalogue.loras.usable(name, catalogue.get("tiny-sd")) == lora
    kept = [export_path(folder, step) for step in (0, 2, 4, 6)]
    assert all(each.is_file() for each in kept)
    assert [step for step, _, _ in folder.samples()] == [0, 3, 6]
    assert "sks" in (folder.path / RESULT / "README.md").read_text()
    assert list((folder.path / "tensorboard").glob("events*"))
    assert steps_of(folder) == [0, 2, 4, 6]
    put_to_use(folder, 4, lora.path)
    assert lora.path.read_bytes() == export_path(folder, 4).read_bytes()
    with pytest.raises(NotFound, match=r"Of step 5 .* there are: 0, 2, 4, 6"):
        put_to_use(folder, 5, lora.path)
    assert lora.path.read_bytes() == export_path(folder, 4).read_bytes()
    # Looks are taken at 0, 3 and 6, of which only the last was kept.
    assert list(scores_of(folder)) == [0, 3, 6]
    assert all(len(each.subject) == 1 for each in scores_of(folder).values())
    assert all(each.held_out for each in scores_of(folder).values())
    chosen = recommendation_of(folder)
    assert chosen is not None
    assert chosen.step in (2, 4, 6)
    assert verdict_of(folder).sentence
    lora.path.unlink()


def test_an_embedding_is_a_word_of_prompts(begun, tiny, catalogue):
    here(begun("blob", model=tiny("sdxl"), method="textual-inversion", vectors=2, steps=2))
    [entry] = [each for each in catalogue.embeddings.entries() if each.word == "blob"]
    assert entry.fits(catalogue.get("tiny-sdxl"))
    assert entry.vectors == 2
    entry.path.unlink()


def test_a_whole_model_is_a_model(begun, tiny, catalogue, training_data):
    folder = begun("own", model=tiny("sd2"), method="full", learning_rate=1e-5, steps=2)
    here(folder)
    entry = catalogue.usable("own")
    device = Device("cpu", "CPU", "float32")
    made = DiffusionLoader(catalogue, lambda: device, "sdpa").load(entry.id)
    newest = Checkpoints(folder.path).newest()
    assert newest is not None
    kept = load_file(newest / "weights.safetensors")
    for name, weight in made.unet.named_parameters():
        assert torch.allclose(weight, kept[f"unet.{name}"], atol=1e-3), name
    begun_as = load_file(training_data / "models" / "tiny-sd2" / "unet" / _WEIGHTS)
    assert any(not torch.equal(kept[f"unet.{name}"], each) for name, each in begun_as.items())

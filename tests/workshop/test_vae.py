"""The autoencoder's stage: it goes on exactly where it was killed, and whitens without a trace."""

import numpy as np
import pytest
import torch

from training.embedded import vae as stage
from training.embedded.collect import Icon
from training.embedded.vae import VaeRun, build, held_out, latents_of, on_white, psnr, train, whiten


@pytest.fixture
def small(monkeypatch):
    """A narrow autoencoder."""
    monkeypatch.setitem(stage.CONFIG, "block_out_channels", (8, 8, 8, 8))


@pytest.mark.usefixtures("small")
def test_a_killed_run_ends_as_one_that_was_not(workshop, monkeypatch):
    run = VaeRun(steps=4, batch=2)
    straight = train(run).state_dict()
    (workshop / "vae.safetensors").unlink()
    monkeypatch.setattr(stage, "SAVE_EVERY", 2)
    told = stage.Progress.step

    def killed(self, **figures):
        told(self, **figures)
        if self.done == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage.Progress, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(run)
    again = train(run).state_dict()
    assert all(torch.equal(straight[name], again[name]) for name in straight)


@pytest.mark.usefixtures("small")
def test_whitened_latents_are_standard_and_decode_to_the_same_pixels(workshop):
    torch.manual_seed(0)
    vae = build(None).eval()
    _, pictures = stage.load_art()
    pixels = on_white(pictures, np.arange(12))
    with torch.inference_mode():
        before = vae.decode(latents_of(vae, pixels)).sample
        whiten(vae, pixels)
        latents = latents_of(vae, pixels)
        after = vae.decode(latents).sample
    assert latents.mean((0, 2, 3)) == pytest.approx(torch.zeros(4), abs=1e-4)
    assert latents.std((0, 2, 3)) == pytest.approx(torch.ones(4), abs=1e-4)
    assert torch.allclose(before, after, atol=1e-4)
    values = psnr(vae, pixels)
    assert values.shape == (12,)
    assert (values < 25).all(), "random weights draw nothing"


def test_a_label_is_held_out_in_all_sets_or_in_none():
    labels = ["cat", "dog", "owl", "fox", *(f"thing-{i}" for i in range(400))]
    held = [held_out(Icon("noto", label, label)) for label in labels]
    assert held == [held_out(Icon("twemoji", label, label)) for label in labels]
    assert 8 <= sum(held) <= 32

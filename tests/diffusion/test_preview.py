"""Rough pictures on the way: when they come, what they show, and that they change nothing."""

import io

import diffusers
import numpy as np
import pytest
import torch
from judge.fit import references
from PIL import Image
from recorder import Studio

from studio.diffusion.preview import Previewer, fit_projection, project, scale
from studio.events import Preview
from studio.requests import Sampler
from studio.services import build_services
from studio.settings import Settings


def opened(preview: Preview) -> Image.Image:
    image = Image.open(io.BytesIO(preview.image))
    assert image.format == "WEBP"
    return image.convert("RGB")


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two pictures' bytes."""
    return float(np.corrcoef(one.ravel().astype(float), other.ravel().astype(float))[0, 1])


@pytest.mark.parametrize(
    ("every", "sampler", "steps", "wanted"),
    [
        (1, Sampler.DPMPP_2M, 5, [1, 2, 3, 4]),
        (2, Sampler.DPMPP_2M, 6, [2, 4]),
        (4, Sampler.DPMPP_2M, 6, [4]),
        (50, Sampler.DPMPP_2M, 6, []),
        (0, Sampler.DPMPP_2M, 6, []),
        (2, Sampler.HEUN, 6, [2, 4]),
        (2, Sampler.PNDM, 6, [2, 4]),
    ],
)
def test_previews_come_every_n_steps_that_people_count(
    studio: Studio, every: int, sampler: Sampler, steps: int, wanted: list[int]
) -> None:
    made = studio.make(prompt="a dog", preview_every=every, sampler=sampler, steps=steps)
    assert [preview.step for preview in made.previews] == wanted


def test_previews_do_not_change_pixels(studio: Studio) -> None:
    fields = {"prompt": "a red apple", "sampler": Sampler.EULER_A}
    assert np.array_equal(
        studio.pixels(**fields, preview_every=0), studio.pixels(**fields, preview_every=1)
    )


def test_last_preview_looks_like_the_picture(studio: Studio) -> None:
    made = studio.make(prompt="a red apple", steps=12, preview_every=1, seed=1)
    last = opened(made.previews[-1])
    final = made.images[0]
    assert last.size == final.shape[1::-1]
    assert likeness(np.asarray(last), final) > 0.8
    first = likeness(np.asarray(opened(made.previews[0])), final)
    assert first < likeness(np.asarray(last), final)


def test_pictures_of_a_batch_stand_side_by_side(studio: Studio) -> None:
    made = studio.make(prompt="a red apple", steps=12, preview_every=11, batch_size=2, seed=1)
    strip = np.asarray(opened(made.previews[-1]))
    assert strip.shape == (128, 256, 3)
    for index, image in enumerate(made.images):
        assert likeness(strip[:, index * 128 : (index + 1) * 128], image) > 0.8


def test_wide_strips_are_shrunk(studio: Studio) -> None:
    latents = torch.zeros(16, 4, 16, 16)
    with studio.borrow() as pipe:
        image = opened(Previewer().event(pipe.vae, latents, 8, 1))
    assert image.size == (1024, 64)


def test_projection_gives_back_the_colours_of_real_pictures(studio: Studio) -> None:
    """Reference pictures through the autoencoder, against the same pictures shrunk."""
    arrays = np.stack([np.asarray(image) for image in references().images[::140]])
    stacked = torch.from_numpy(arrays).permute(0, 3, 1, 2) / 255
    with studio.borrow() as pipe, torch.inference_mode():
        projection = fit_projection(pipe.vae)
        latents = scale(pipe.vae, pipe.vae.encode(stacked * 2 - 1).latent_dist.mode())
        found = project(latents, projection).clamp(0, 1)
    wanted = torch.nn.functional.avg_pool2d(stacked, 8)
    assert found.shape == wanted.shape
    error = (found - wanted).abs()
    grey = (wanted.mean() - wanted).abs().mean()
    assert error.mean() < 0.08
    assert error.mean() < grey / 2


def test_projection_is_the_same_every_time(studio: Studio) -> None:
    with studio.borrow() as pipe:
        assert torch.allclose(fit_projection(pipe.vae), fit_projection(pipe.vae), atol=1e-5)


def small_autoencoder() -> diffusers.AutoencoderKL:
    torch.manual_seed(0)
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
    )


def test_autoencoder_that_overflows_in_half_precision_still_gives_previews() -> None:
    vae = small_autoencoder().half()
    with torch.no_grad():
        vae.encoder.conv_in.weight.mul_(3e5)
        vae.encoder.conv_in.bias.add_(6e4)
    assert torch.isfinite(vae.encoder.conv_in.weight).all()
    projection = fit_projection(vae)
    assert torch.isfinite(projection).all()
    assert next(vae.parameters()).dtype == torch.float16


def test_a_tiny_autoencoder_in_the_models_folder_is_used(settings: Settings) -> None:
    torch.manual_seed(0)
    tiny = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    )
    tiny.save_pretrained(settings.data_dir / "models" / "tiny")
    broken = settings.data_dir / "models" / "another"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    services = build_services(settings)
    try:
        studio = Studio(services)
        made = studio.make(prompt="a dog", steps=3, preview_every=2)
        with studio.borrow() as pipe, torch.inference_mode():
            latents = torch.randn(1, 4, 16, 16)
            projected = Previewer().pixels(pipe.vae, latents)
            decoded = Previewer(tiny).pixels(pipe.vae, latents)
            # With other latent channels it does not fit, and the projection is used.
            other = Previewer(diffusers.AutoencoderTiny(latent_channels=16))
            assert torch.allclose(other.pixels(pipe.vae, latents), projected, atol=1e-4)
    finally:
        services.stop()
    assert projected.shape == (1, 3, 16, 16)
    assert decoded.shape == (1, 3, 128, 128)
    (preview,) = made.previews
    assert opened(preview).size == (128, 128)
    plain = build_services(settings.model_copy(update={"data_dir": settings.data_dir / "plain"}))
    try:
        (without,) = Studio(plain).make(prompt="a dog", steps=3, preview_every=2).previews
    finally:
        plain.stop()
    assert without.image != preview.image

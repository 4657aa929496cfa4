"""The second pass of text to image."""

import numpy as np
import pytest
from PIL import Image
from recorder import Studio

from studio.context import Signal
from studio.diffusion.metadata import files
from studio.diffusion.upscaling.choices import LATENT, RESAMPLING
from studio.diffusion.upscaling.hires import second_request
from studio.errors import RequestError
from studio.requests import GenerationRequest, Sampler, Schedule

APPLE = {"prompt": "a red apple", "steps": 12, "seed": 3}


@pytest.mark.parametrize("upscaler", [*LATENT, *RESAMPLING])
def test_every_upscaler_gives_a_larger_picture_of_the_same_thing(studio, judge, upscaler):
    made = studio.make(**APPLE, hires_scale=1.5, hires_upscaler=upscaler, hires_strength=0.5)
    (picture,) = made.images
    assert picture.shape == (192, 192, 3)
    assert judge.recognises(Image.fromarray(picture), "apple", 5)


def test_the_stronger_the_second_pass_the_further_from_the_first(studio: Studio):
    small = studio.pixels(**APPLE)
    away = []
    for strength in (0.05, 0.3, 0.7):
        large = studio.pixels(
            **APPLE, hires_scale=2, hires_upscaler="nearest", hires_strength=strength
        )
        away.append(np.abs(large.reshape(128, 2, 128, 2, 3).mean((1, 3)) - small).mean())
    assert away[0] < 9  # all but what the autoencoder makes of doubled pixels
    assert away == sorted(away)
    assert away[2] > 1.5 * away[0]


def test_steps_count_through_both_passes_and_the_time_runs_down(studio):
    made = studio.make(**APPLE, hires_scale=1.5, hires_strength=0.5, hires_steps=8, preview_every=1)
    assert [(event.step, event.steps) for event in made.progress] == [
        (number, 16) for number in range(1, 17)
    ]
    assert made.progress[-1].seconds_left == 0
    assert made.progress[0].seconds_left > 0
    assert len(made.previews) == 15


def test_a_picture_does_not_depend_on_its_batch(studio):
    options = {**APPLE, "steps": 4, "hires_scale": 1.5, "sampler": "Euler a"}
    together = studio.make(**options, batch_size=2).images
    alone = studio.make(**{**options, "seed": 4}).images[0]
    assert np.abs(together[1].astype(int) - alone).max() <= 1


@pytest.mark.parametrize("steps_before", [1, 5])
def test_skip_leaves_a_batch_out_in_either_pass(studio, steps_before):
    asked = []

    def skip() -> Signal:
        asked.append(1)
        return Signal.SKIP if len(asked) == steps_before + 1 else Signal.GO_ON

    made = studio.make(
        skip, **{**APPLE, "steps": 3}, hires_scale=1.5, hires_strength=1, batch_count=2
    )
    assert [picture.seed for picture in made.pictures] == [4]
    assert made.progress[-1].seconds_left == pytest.approx(0, abs=1e-6)


def test_the_second_pass_takes_its_own_settings_and_else_those_of_the_first():
    request = GenerationRequest(
        **{"prompt": "a", "negative_prompt": "b", "width": 128, "height": 64, "cfg_scale": 4},
        schedule=Schedule.KARRAS,
        hires_scale=1.3,
    )
    same = second_request(request, 8)
    assert (same.width, same.height) == (168, 80)
    assert (same.prompt, same.negative_prompt, same.cfg_scale) == ("a", "b", 4)
    assert (same.steps, same.sampler, same.schedule) == (20, Sampler.DPMPP_2M, Schedule.KARRAS)
    own = {
        "hires_prompt": "c",
        "hires_negative_prompt": "d",
        "hires_steps": 7,
        "hires_cfg_scale": 6,
        "hires_sampler": Sampler.DDIM,
    }
    other = second_request(request.model_copy(update=own), 8)
    assert (other.prompt, other.negative_prompt, other.cfg_scale) == ("c", "d", 6)
    # DDIM knows no Karras schedule.
    assert (other.steps, other.sampler, other.schedule) == (7, Sampler.DDIM, Schedule.AUTOMATIC)


def test_the_second_pass_keeps_every_schedule_with_flow_matching():
    request = GenerationRequest(
        width=64, height=64, sampler=Sampler.LCM, schedule=Schedule.BETA, hires_scale=2
    )
    assert second_request(request, 16, flow=True).schedule is Schedule.BETA
    assert second_request(request, 16).schedule is Schedule.AUTOMATIC


def test_its_settings_stand_in_the_file_as_other_programs_write_them(studio, tmp_path):
    options = {"hires_scale": 1.5, "hires_steps": 2, "hires_prompt": "a pear, ripe"}
    made = studio.make(**{**APPLE, "steps": 2}, **options)
    text = made.pictures[0].infotext
    assert (
        "Denoising strength: 0.6, Hires upscale: 1.5, Hires steps: 2, Hires upscaler: latent"
        in text
    )
    assert 'Hires prompt: "a pear, ripe"' in text
    assert (made.pictures[0].width, made.pictures[0].height) == (192, 192)
    path = tmp_path / "out.png"
    path.write_bytes(made.pictures[0].data)
    imported = files.read(path)
    assert {name: imported.fields[name] for name in options} == options


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"hires_upscaler": "waifu"}, "hires_upscaler", "There are: latent"),
        ({"width": 2048, "hires_scale": 2.5}, "hires_scale", "5,120 pixels long"),
        ({"hires_sampler": "LCM", "hires_steps": 60}, "hires_steps", "at most 50 steps"),
        ({"hires_prompt": "(x:99999)"}, "hires_prompt", "99999"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_queue(studio, fields, field, words):
    with pytest.raises(RequestError, match=words) as refused:
        studio.make(**{"hires_scale": 2, **fields})
    assert refused.value.field == field

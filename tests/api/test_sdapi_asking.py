"""The fields of AUTOMATIC1111's requests as requests of the studio."""

import pytest
from PIL import Image
from sdapi_calls import packed

from studio.api.sdapi.asking import edit, generation, with_infotext
from studio.api.sdapi.fields import ImageToImage, TextToImage
from studio.api.sdapi.names import model_named, sampling, title_of
from studio.api.sdapi.options import Options
from studio.errors import AtelierError, InputError, RequestError
from studio.requests import (
    EditRequest,
    GenerationRequest,
    InpaintArea,
    MaskedContent,
    MaskMode,
    Resize,
    Sampler,
    Schedule,
)


def asked(services, **body) -> GenerationRequest:
    sent = with_infotext(TextToImage.model_validate(body))
    force = Options(services).in_force(sent.override_settings or {})
    return generation(sent, force, services.upscalers)


def changed(services, **body) -> EditRequest:
    source = packed(Image.new("RGB", (96, 64), "red"))
    sent = ImageToImage.model_validate({"init_images": [source], **body})
    return edit(sent, Options(services).in_force({}), services.inputs, 10**6)


def test_the_defaults_are_those_of_the_api_there(services, embedded_id):
    request = asked(services)
    assert (request.width, request.height, request.steps, request.cfg_scale) == (512, 512, 50, 7.0)
    assert (request.sampler, request.schedule) == (Sampler.EULER, Schedule.AUTOMATIC)
    assert (request.seed, request.batch_size, request.batch_count) == (-1, 1, 1)
    assert (request.model, request.clip_skip, request.hires_scale) == (embedded_id, 1, 1.0)
    assert request.preview_every == 10


def test_null_is_a_default_and_unknown_fields_are_passed_over(services):
    assert asked(services, prompt=None, steps=None, width=None, colour="red") == asked(services)


def test_every_field_finds_its_place(services):
    request = asked(
        services,
        prompt="a red apple",
        negative_prompt="blue",
        seed=7,
        subseed=8,
        subseed_strength=0.25,
        sampler_name="k_dpmpp_2m",
        scheduler="exponential",
        batch_size=2,
        n_iter=3,
        steps=11,
        cfg_scale=3.5,
        width=131,
        height=72,
        override_settings={"CLIP_stop_at_last_layers": 2, "samples_format": "jpg", "no_such": 1},
        enable_hr=True,
        hr_scale=1.5,
        hr_upscaler="Latent (bicubic antialiased)",
        hr_second_pass_steps=4,
        hr_sampler_name="Euler a",
        hr_prompt="a green apple",
        hr_negative_prompt="grey",
        hr_cfg=2,
        denoising_strength=0.5,
    )
    assert request.model_dump(exclude={"model", "speedups", "kind", "distilled_cfg_scale"}) == {
        "prompt": "a red apple",
        "negative_prompt": "blue",
        "seed": 7,
        "variation_seed": 8,
        "variation_strength": 0.25,
        "sampler": Sampler.DPMPP_2M,
        "schedule": Schedule.EXPONENTIAL,
        "batch_size": 2,
        "batch_count": 3,
        "steps": 11,
        "cfg_scale": 3.5,
        "width": 128,
        "height": 72,
        "clip_skip": 2,
        "image_format": "jpeg",
        "preview_every": 10,
        "hires_scale": 1.5,
        "hires_upscaler": "latent bicubic",
        "hires_steps": 4,
        "hires_sampler": Sampler.EULER_A,
        "hires_prompt": "a green apple",
        "hires_negative_prompt": "grey",
        "hires_cfg_scale": 2.0,
        "hires_strength": 0.5,
    }


@pytest.mark.parametrize(
    ("sampler", "scheduler", "schedule"),
    [
        ("DPM++ 2M", None, Schedule.KARRAS),
        ("DPM++ 2M", "automatic", Schedule.KARRAS),
        ("DPM++ 3M SDE", "Automatic", Schedule.EXPONENTIAL),
        ("DPM++ 2M SDE Karras", None, Schedule.KARRAS),
        ("DPM++ 2M", "SGM Uniform", Schedule.SGM_UNIFORM),
        ("Euler a", None, Schedule.AUTOMATIC),
    ],
)
def test_automatic_means_what_it_means_there(sampler, scheduler, schedule):
    assert sampling(sampler, scheduler, flow=False)[1] is schedule


def test_automatic_is_one_for_all_with_flow_matching():
    assert sampling("DPM++ 2M", None, flow=True)[1] is Schedule.AUTOMATIC


@pytest.mark.parametrize(
    ("body", "scale"),
    [
        ({"hr_resize_x": 128}, 2.0),
        ({"hr_resize_y": 96}, 1.5),
        ({"hr_resize_x": 96, "hr_resize_y": 96}, 1.5),
        ({"firstphase_width": 64, "firstphase_height": 64, "hr_scale": 2}, 2.0),
    ],
)
def test_the_size_of_a_second_pass(services, body, scale):
    assert asked(services, width=64, height=64, enable_hr=True, **body).hires_scale == scale


def test_a_first_phase_is_the_size_of_the_first_pass(services):
    request = asked(services, width=128, height=96, firstphase_width=64, firstphase_height=64)
    assert (request.width, request.height) == (64, 64)


def test_an_infotext_fills_what_was_not_sent(services):
    text = (
        "a red apple\nNegative prompt: blue\nSteps: 9, Sampler: DPM++ 2M, Schedule type: Karras, "
        "CFG scale: 3, Seed: 77, Size: 128x64, Clip skip: 2, Denoising strength: 0.4, "
        "Hires upscale: 2, Hires upscaler: Latent"
    )
    request = asked(services, infotext=text, steps=5, prompt="a green pear")
    assert (request.prompt, request.negative_prompt) == ("a green pear", "blue")
    assert (request.steps, request.seed, request.cfg_scale) == (5, 77, 3.0)
    assert (request.width, request.height, request.clip_skip) == (128, 64, 2)
    assert (request.sampler, request.schedule) == (Sampler.DPMPP_2M, Schedule.KARRAS)
    assert (request.hires_scale, request.hires_strength) == (2.0, 0.4)


def test_networks_can_be_left_out(services):
    body = {"prompt": "an <lora:nice:0.5>apple", "disable_extra_networks": True}
    assert asked(services, **body).prompt == "an apple"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"steps": 0}, "Steps must be greater than or equal to 1"),
        ({"batch_size": 17}, "Batch size must be less than"),
        ({"sampler_name": "Restart"}, "Sampler 'Restart' is not here; there are: DDPM"),
        ({"scheduler": "KL Optimal"}, "Scheduler 'KL Optimal' is not here"),
        ({"restore_faces": True}, "restore_faces is True, which cannot be done"),
        ({"tiling": True}, "tiling is True"),
        ({"refiner_checkpoint": "x"}, "refiner_checkpoint is 'x'"),
        ({"firstpass_image": "abc"}, "firstpass_image is 'abc'"),
        ({"script_name": "X/Y/Z plot"}, "Script 'X/Y/Z plot' not found"),
        ({"alwayson_scripts": {"ControlNet": {}}}, "Always on script 'ControlNet' not found"),
        ({"sampler_name": "Euler a", "eta": 0.5}, "eta is 0.5"),
        ({"sampler_name": "DDIM", "eta": 1}, "eta is 1.0, which cannot be done here; DDIM has 0"),
        ({"s_churn": 3}, "s_churn is 3.0"),
        ({"s_noise": 1.1}, "s_noise is 1.1"),
        ({"enable_hr": True, "hr_checkpoint_name": "x"}, "hr_checkpoint_name is 'x'"),
        ({"enable_hr": True, "hr_scheduler": "Karras"}, "hr_scheduler is 'Karras'"),
        ({"enable_hr": True, "hr_upscaler": "LDSR"}, "Upscaler 'LDSR' is not here"),
        ({"enable_hr": True, "hr_sampler_name": "Restart"}, "Sampler 'Restart'"),
        ({"enable_hr": True, "hr_resize_x": 600, "hr_resize_y": 700}, "another shape than 512x512"),
        ({"override_settings": {"sd_model_checkpoint": "none"}}, "Model 'none' is not installed"),
        ({"override_settings": {"sd_vae": "x.pt"}}, "Option sd_vae is 'Automatic' here"),
        ({"infotext": "only words"}, "holds no settings that can be read"),
        ({"subseed_strength": 2}, "Variation strength must be less"),
        ({"subseed_strength": 1, "seed_resize_from_w": 64}, "seed_resize_from_w is 64"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(services, body, words):
    with pytest.raises(AtelierError) as refusal:
        asked(services, **body)
    assert words in str(refusal.value)


def test_what_means_the_same_as_nothing_is_taken(services):
    neutral = {
        "eta": 1.0,
        "s_churn": 0,
        "s_tmax": 0,
        "s_tmin": 0,
        "s_noise": 1,
        "s_min_uncond": 0,
        "seed_resize_from_h": 0,
        "seed_resize_from_w": 0,
        "hr_checkpoint_name": "Use same checkpoint",
        "hr_sampler_name": "Use same sampler",
        "hr_scheduler": "Use same scheduler",
        "alwayson_scripts": {},
        "refiner_checkpoint": "None",
        "override_settings": {"sd_vae": "None", "eta_noise_seed_delta": 0},
    }
    assert asked(services, enable_hr=True, **neutral) == asked(services, enable_hr=True)


def test_the_defaults_of_a_change(services):
    request = changed(services)
    assert (request.width, request.height, request.strength) == (512, 512, 0.75)
    assert (request.resize, request.mask) == (Resize.STRETCH, "")


def test_the_fields_of_a_mask(services):
    mask = packed(Image.new("L", (96, 64), 255))
    defaults = changed(services, mask=mask)
    assert defaults.area is InpaintArea.MASKED
    assert defaults.masked_content is MaskedContent.FILL
    assert (defaults.feather, defaults.padding, defaults.soft) == (4, 0, False)
    request = changed(
        services,
        mask=f"data:image/png;base64,{mask}",
        mask_blur=9,
        mask_round=False,
        inpainting_fill=2,
        inpaint_full_res=False,
        inpaint_full_res_padding=32,
        inpainting_mask_invert=1,
        resize_mode=3,
        denoising_strength=0.3,
    )
    assert request.mask == defaults.mask
    assert (request.feather, request.soft, request.padding) == (9, True, 32)
    assert request.masked_content is MaskedContent.NOISE
    assert (request.area, request.mask_mode) == (InpaintArea.WHOLE, MaskMode.NOT_MASKED)
    assert (request.resize, request.strength) == (Resize.LATENT, 0.3)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"init_images": []}, "init_images holds 0 pictures"),
        ({"init_images": ["a", "b"]}, "init_images holds 2 pictures"),
        ({"init_images": None}, "init_images holds 0 pictures"),
        ({"init_images": ["http://127.0.0.1/a.png"]}, "The picture is an address"),
        ({"init_images": ["data:image/png;base64,"]}, "The picture is empty"),
        ({"init_images": ["é"]}, "The picture is no base64"),
        ({"init_images": ["QUJD"]}, "is no picture that can be read"),
        ({"init_images": ["A" * 1_400_000]}, "has more than 1 MB"),
        ({"mask": "QUJD"}, "The mask is no picture that can be read"),
        ({"resize_mode": 4}, "resize_mode is 4, but must be from 0 to 3"),
        ({"mask": "QUJD", "inpainting_fill": -1}, "inpainting_fill is -1"),
        ({"mask": "QUJD", "mask_blur_x": 8}, "blurred alike in both directions"),
        ({"latent_mask": "QUJD"}, "latent_mask is 'sent'"),
        ({"initial_noise_multiplier": 0.5}, "initial_noise_multiplier is 0.5"),
    ],
)
def test_what_cannot_be_done_with_a_picture(services, body, words):
    with pytest.raises((RequestError, InputError)) as refusal:
        changed(services, **body)
    assert words in str(refusal.value)


def test_nothing_is_kept_of_a_request_that_is_refused(services):
    with pytest.raises(RequestError):
        changed(services, denoising_strength=2)
    assert not list((services.settings.data_dir / "inputs").rglob("*.png"))


def test_a_model_is_found_by_all_its_names(services, embedded_id):
    catalogue = services.catalogue
    entry = catalogue.get("")
    assert title_of(entry, catalogue) == embedded_id
    with pytest.raises(RequestError):
        model_named("0" * 10, catalogue)
    digest = catalogue.sha256(entry)
    assert title_of(entry, catalogue) == f"{embedded_id} [{digest[:10]}]"
    names = (
        embedded_id,
        f"{embedded_id}.safetensors",
        f"{embedded_id} [0123456789]",
        title_of(entry, catalogue),
        digest[:10],
        digest,
    )
    assert [model_named(name, catalogue).id for name in names] == [embedded_id] * len(names)

"""Public clients of AUTOMATIC1111's API, as they are, against a real server."""

import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pytest
import webuiapi
from PIL import Image, ImageDraw
from sd_backend_client.api.a1111_webservice import A1111Webservice
from sd_backend_client.api.shared_data.diffusion_params import DiffusionParams
from sd_backend_client.api.webui.diffusion_request_body import DiffusionRequestBody

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own, of type hints that are old by now
    from aaa1111 import AAA1111
    from aaa1111.types.toimg import IMG2IMG, TXT2IMG

SMALL = {"steps": 3, "width": 128, "height": 128}


@pytest.fixture
def webui(live_server):
    place = urlsplit(live_server.url)
    api = webuiapi.WebUIApi(host=place.hostname, port=place.port, sampler="Euler a", steps=3)
    yield api
    api.session.close()


@pytest.fixture
def apple(webui) -> Image.Image:
    return webui.txt2img(prompt="a red apple", seed=5, **SMALL).image


@pytest.fixture
def mask() -> Image.Image:
    """White, which is to be painted, in the middle."""
    mask = Image.new("L", (128, 128))
    ImageDraw.Draw(mask).rectangle((40, 40, 87, 87), fill=255)
    return mask


def far_from(mask: Image.Image) -> np.ndarray:
    """Where the mask's blur does not reach."""
    area = np.ones((128, 128), bool)
    area[24:104, 24:104] = False
    return area


class TestWebuiapi:
    def test_txt2img(self, webui):
        made = webui.txt2img(prompt="a red apple", seed=5, batch_size=2, **SMALL)
        assert [image.size for image in made.images] == [(128, 128)] * 2
        assert made.info["all_seeds"] == [5, 6]
        assert made.info["sampler_name"] == "Euler a"
        assert made.parameters["prompt"] == "a red apple"
        assert made.image.info["parameters"] == made.info["infotexts"][0]
        again = webui.txt2img(prompt="a red apple", seed=5, **SMALL)
        # Where float32 is the faster format, the two of a batch are denoised together.
        apart = np.asarray(again.image).astype(int) - np.asarray(made.image)
        assert np.abs(apart).max() <= 2

    def test_a_second_pass(self, webui):
        made = webui.txt2img(
            prompt="a red apple",
            seed=5,
            enable_hr=True,
            hr_scale=1.5,
            hr_upscaler=webuiapi.HiResUpscaler.Latent,
            hr_second_pass_steps=2,
            denoising_strength=0.6,
            **SMALL,
        )
        assert made.image.size == (192, 192)
        assert made.info["denoising_strength"] == 0.6
        assert made.info["extra_generation_params"]["Hires upscaler"] == "latent"

    def test_img2img(self, webui, apple):
        made = webui.img2img(
            images=[apple], prompt="a blue apple", denoising_strength=0.6, seed=1, **SMALL
        )
        assert made.image.size == (128, 128)
        assert made.info["denoising_strength"] == 0.6
        assert made.parameters["init_images"] is None
        assert np.asarray(made.image).tobytes() != np.asarray(apple).tobytes()

    @pytest.mark.parametrize("whole", [True, False])
    def test_inpainting(self, webui, apple, mask, whole):
        made = webui.img2img(
            images=[apple],
            mask_image=mask,
            mask_blur=4,
            inpainting_fill=1,
            inpaint_full_res=not whole,
            inpaint_full_res_padding=16,
            prompt="a blue cat",
            denoising_strength=0.9,
            seed=3,
            **SMALL,
        )
        before, after = np.asarray(apple.convert("RGB")), np.asarray(made.image.convert("RGB"))
        assert (before[far_from(mask)] == after[far_from(mask)]).all()
        assert (before[50:78, 50:78] != after[50:78, 50:78]).any()

    def test_upscaling(self, webui, apple):
        made = webui.extra_single_image(
            apple, upscaler_1=webuiapi.Upscaler.Lanczos, upscaling_resize=1.5
        )
        assert made.image.size == (192, 192)
        both = webui.extra_batch_images(
            [apple, apple.crop((0, 0, 64, 128))],
            upscaler_1="Lanczos",
            resize_mode=1,
            upscaling_resize_w=200,
            upscaling_resize_h=150,
        )
        assert [image.size for image in both.images] == [(200, 150)] * 2
        assert "Lanczos" in both.info
        same = webui.extra_single_image(apple)
        assert np.asarray(same.image).tobytes() == np.asarray(apple.convert("RGB")).tobytes()

    def test_png_info(self, webui, apple):
        told = webui.png_info(apple)
        assert told.info == apple.info["parameters"]
        assert told.parameters["Prompt"] == "a red apple"
        assert told.parameters["Seed"] == "5"
        assert told.parameters["Size-1"] == "128"

    def test_options(self, webui):
        before = webui.get_options()
        title = webui.util_get_current_model()
        assert title in webui.util_get_model_names()
        assert before["samples_format"] == "png"
        try:
            webui.set_options({"samples_format": "webp", "CLIP_stop_at_last_layers": 2})
            made = webui.txt2img(prompt="a red apple", seed=5, **SMALL)
            assert made.image.format == "WEBP"
            assert made.info["clip_skip"] == 2
        finally:
            webui.set_options({"samples_format": "png", "CLIP_stop_at_last_layers": 1})
        assert webui.get_options() == before
        webui.util_set_model(title)
        assert webui.util_get_current_model() == title

    def test_progress_and_interruption(self, webui):
        assert webui.get_progress()["state"]["job_count"] == 0
        with ThreadPoolExecutor(1) as pool:
            many = {"steps": 20, "width": 128, "height": 128, "n_iter": 50}
            running = pool.submit(webui.txt2img, prompt="a red apple", **many)
            told = until(webui.get_progress, lambda told: told["state"]["job_no"] >= 1)
            assert 0 < told["progress"] < 1
            assert told["state"]["job"] == "scripts_txt2img"
            assert (told["state"]["job_count"], told["state"]["sampling_steps"]) == (50, 20)
            assert told["eta_relative"] > 0
            webui.skip()
            webui.interrupt()
            made = running.result(180)
        assert 1 <= len(made.images) < 50
        assert len(made.info["all_seeds"]) == len(made.images)
        assert webui.get_progress()["progress"] == 0

    def test_lists(self, webui):
        assert {"Euler a", "DPM++ 2M"} <= set(webui.util_get_sampler_names())
        assert "karras" in webui.util_get_scheduler_names()
        assert {"None", "Lanczos"} <= {each["name"] for each in webui.get_upscalers()}
        assert webui.get_latent_upscale_modes()[0]["name"] == "Latent"
        assert webui.get_embeddings() == {"loaded": {}, "skipped": {}}
        for empty in (webui.get_loras, webui.get_sd_vae, webui.get_prompt_styles):
            assert empty() == []
        assert webui.get_memory()["ram"]["used"] > 0
        assert webui.get_cmd_flags()["api"] is True
        webui.refresh_checkpoints()

    def test_what_cannot_be_done_is_said(self, webui):
        with pytest.raises(RuntimeError, match="restore_faces is True, which cannot be done"):
            webui.txt2img(prompt="a red apple", restore_faces=True, **SMALL)
        with pytest.raises(RuntimeError, match=r"ADetailer.*not found"):
            webui.txt2img(prompt="", alwayson_scripts={"ADetailer": {"args": []}}, **SMALL)


class TestSdBackendClient:
    @pytest.fixture
    def service(self, live_server):
        service = A1111Webservice(live_server.url)
        yield service
        service._session.close()

    def test_jobs_by_handle(self, service, apple, mask, embedded_id):
        params = DiffusionParams(prompt="a red apple", steps=3, width=128, height=128, seed=5)
        handle = service.submit_txt2img(params)
        made = handle.wait(timeout=180)
        assert [image.size for image in made.images] == [(128, 128)]
        assert made.seeds == [5]
        assert made.raw_info.sd_model_name == embedded_id
        body = DiffusionRequestBody.from_params(params)
        body.init_images, body.mask = [apple], mask
        body.inpaint_full_res = True
        painted = service.submit_inpaint(body).wait(timeout=180)
        assert painted.images[0].size == (128, 128)
        large = service.submit_upscale(apple, 256, 200).wait(timeout=180)
        assert large.images[0].size == (256, 200)
        assert service.progress_check().state.job_count == 0

    def test_what_there_is(self, service, embedded_id):
        assert [each.name for each in service.list_checkpoints()] == [embedded_id]
        assert "euler_ancestral" in [each.name for each in service.list_samplers()]
        assert "karras" in [each.name for each in service.list_schedulers()]
        assert "Lanczos" in [each.name for each in service.list_upscalers()]
        for empty in (service.list_vaes, service.list_loras, service.list_hypernetworks):
            assert empty() == []
        can = service.get_capabilities()
        assert can.scheduler
        assert can.interrogate
        assert not can.controlnet
        assert service.get_config()["samples_format"] == "png"
        service.set_config({"samples_format": "png"})
        service.refresh_loras()


class TestAaa1111:
    """Of 2023, with every answer's fields checked by their types."""

    @pytest.fixture
    def api(self, live_server):
        place = urlsplit(live_server.url)
        return AAA1111(host=place.hostname, port=place.port)

    def test_pictures(self, api, apple, mask):
        made = api.txt2img(TXT2IMG(prompt="a red apple", seed=5, sampler_name="Euler a", **SMALL))
        assert made.images[0].size == (128, 128)
        painted = api.img2img(
            IMG2IMG(prompt="a blue cat", init_images=[apple], mask=mask, mask_blur=2, **SMALL)
        )
        assert painted.images[0].size == (128, 128)

    def test_lists_of_the_types_it_knows(self, api, embedded_id):
        assert api.samplers()
        assert api.upscalers()
        assert api.latent_upscale_modes()
        assert [each.model_name for each in api.sd_models()] == [embedded_id]
        for empty in (api.sd_vae, api.hypernetworks, api.face_restorers, api.prompt_styles):
            assert empty() == []
        assert api.realesrgan_models() == api.loras() == api.script_info() == []
        assert api.embeddings().loaded == {}
        assert api.memory().ram["total"] > 0
        assert api.scripts().txt2img == []
        assert api.progress().progress == 0
        assert api.cmd_flags()["api"]

    def test_actions(self, api):
        api.set_options(samples_format="png")
        assert api.get_options()["samples_format"] == "png"
        api.refresh_checkpoints()
        api.refresh_loras()
        api.unload_checkpoint()
        api.reload_checkpoint()
        api.interrupt()
        api.skip()


def until(look, seen, seconds: float = 180):
    """What a function returns once that is as wished."""
    end = time.monotonic() + seconds
    while not seen(found := look()):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found

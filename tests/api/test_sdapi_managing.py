"""Options, lists, models in memory and what pictures tell, by AUTOMATIC1111's API."""

import json

import numpy as np
import pytest
import torch
import upscaler_files
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.torch import save_file
from sdapi_calls import PREFIX, SMALL, get, packed, picture, post, refused
from tiny_captioners import WORDS, tiny_blip

from studio.api.sdapi import lists
from studio.api.sdapi.names import sampling
from studio.api.sdapi.options import FIXED, Options
from studio.models.broker import Holder
from studio.models.devices import Device, Memory
from studio.requests import Sampler


@pytest.fixture
def client(sdapi_client: TestClient) -> TestClient:
    return sdapi_client


@pytest.fixture
def models(services):
    return services.settings.data_dir / "models"


class TestOptions:
    def test_what_is_set_outlives_the_server(self, client, services):
        set_to = {"samples_format": "jpg", "CLIP_stop_at_last_layers": 3, "no_such_option": 1}
        assert post(client, "options", **set_to) is None
        told = get(client, "options")
        assert (told["samples_format"], told["CLIP_stop_at_last_layers"]) == ("jpg", 3)
        assert "no_such_option" not in told
        made = post(client, "txt2img", **SMALL)
        assert picture(made["images"][0]).format == "JPEG"
        assert json.loads(made["info"])["clip_skip"] == 3
        assert Options(services).all() == get(client, "options")

    def test_an_override_holds_for_its_request_only(self, client):
        before = get(client, "options")["samples_format"]
        overrides = {"samples_format": "webp"}
        made = post(
            client,
            "txt2img",
            **SMALL,
            override_settings=overrides,
            override_settings_restore_afterwards=False,
        )
        assert picture(made["images"][0]).format == "WEBP"
        assert get(client, "options")["samples_format"] == before == "png"

    @pytest.mark.parametrize(
        ("option", "words"),
        [
            ({"samples_format": "gif"}, "Option samples_format must match pattern"),
            ({"CLIP_stop_at_last_layers": 13}, "must be less than or equal to 12"),
            ({"return_grid": True}, "Option return_grid is False here and cannot be changed"),
            ({"sd_model_checkpoint": "nothing"}, "Model 'nothing' is not installed"),
            ({"sd_model_checkpoint": 3}, "must be the title of a model"),
            ({"live_previews_enable": "yes"}, "Option live_previews_enable must be"),
        ],
    )
    def test_what_cannot_be_set_changes_nothing(self, client, option, words):
        before = get(client, "options")
        body = {"CLIP_stop_at_last_layers": 2, **option}
        assert words in refused(client, "options", **body)
        assert get(client, "options") == before

    def test_what_is_fixed_may_be_sent_as_it_is(self, client):
        post(client, "options", **get(client, "options"))
        post(client, "options", sd_vae="None", sd_unet=None, return_grid=False)
        assert {**get(client, "options"), **FIXED} == get(client, "options")

    def test_a_spoilt_file_counts_as_none(self, services):
        (services.settings.data_dir / "sdapi.json").write_text("{")
        assert Options(services).all()["samples_format"] == "png"

    def test_the_model_in_use_is_the_studios(self, client, services, models, embedded_id):
        shipped = services.catalogue.get("")
        (models / "twin").symlink_to(shipped.path)
        assert get(client, "options")["sd_model_checkpoint"] == embedded_id
        post(client, "options", sd_model_checkpoint="twin")
        assert services.catalogue.get("").id == "twin"
        made = post(client, "txt2img", **SMALL)
        assert json.loads(made["info"])["sd_model_name"] == "twin"
        overrides = {"sd_model_checkpoint": embedded_id}
        made = post(client, "txt2img", **SMALL, override_settings=overrides)
        assert json.loads(made["info"])["sd_model_name"] == embedded_id
        assert services.catalogue.get("").id == "twin"

    def test_previews_can_be_turned_off(self, services):
        options = Options(services)
        assert options.in_force({"live_previews_enable": False}).chosen.preview_every == 0
        assert options.in_force({"show_progress_every_n_steps": -1}).chosen.preview_every == 0
        assert options.in_force({"show_progress_every_n_steps": 3}).chosen.preview_every == 3


class TestLists:
    def test_samplers_and_their_schedules(self, client):
        samplers = {each["name"]: each for each in get(client, "samplers")}
        assert list(samplers) == [each.value for each in Sampler]
        assert samplers["DPM++ 2M"]["options"] == {"scheduler": "karras"}
        assert "k_euler_a" in samplers["Euler a"]["aliases"]
        for sampler in samplers.values():
            for name in (sampler["name"], *sampler["aliases"]):
                assert sampling(name, None, flow=False)[0].value == sampler["name"]
        for scheduler in get(client, "schedulers"):
            names = (scheduler["name"], scheduler["label"], *(scheduler["aliases"] or ()))
            found = {sampling("Euler", name, flow=True)[1] for name in names}
            assert [each.value for each in found] == [scheduler["label"]]

    def test_every_listed_upscaler_works(self, client, models):
        upscaler_files.nearest(models / "upscalers" / "repeat.safetensors")
        (models / "upscalers" / "old.pth").write_bytes(b"pickle")
        source = Image.new("RGB", (24, 16), "orange")
        names = [each["name"] for each in get(client, "upscalers")]
        assert names == ["None", "Lanczos", "Nearest", "Bicubic", "repeat"]
        for name in names:
            made = post(client, "extra-single-image", image=packed(source), upscaler_1=name)
            assert picture(made["image"]).size == ((24, 16) if name == "None" else (48, 32))
        modes = [each["name"] for each in get(client, "latent-upscale-modes")]
        assert len(modes) == 6
        for name in (*modes, *names):
            body = {"enable_hr": True, "hr_upscaler": name, "hr_scale": 1.5}
            made = post(client, "txt2img", **SMALL, **body)
            assert picture(made["images"][0]).size == (96, 96)

    def test_weights_are_listed_by_name_and_never_by_path(self, client, services, models):
        (models / "loras").mkdir(exist_ok=True)
        down, up = torch.zeros(4, 320), torch.zeros(320, 4)
        stem = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
        save_file(
            {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up},
            models / "loras" / "nice.safetensors",
            metadata={"ss_sd_model_name": "base.safetensors"},
        )
        (models / "embeddings").mkdir(exist_ok=True)
        save_file({"emb_params": torch.zeros(2, 768)}, models / "embeddings" / "bad.safetensors")
        [lora] = get(client, "loras")
        assert (lora["name"], lora["alias"], lora["path"]) == ("nice", "nice", "nice.safetensors")
        assert lora["metadata"]["ss_sd_model_name"] == "base.safetensors"
        found = get(client, "embeddings")
        assert {**found["loaded"], **found["skipped"]}["bad"] == {
            "step": None,
            "sd_checkpoint": None,
            "sd_checkpoint_name": None,
            "shape": 768,
            "vectors": 2,
        }
        post(client, "txt2img", **SMALL)
        [model] = get(client, "sd-models")
        assert model["title"] == f"{model['model_name']} [{model['hash']}]"
        assert model["sha256"].startswith(model["hash"])
        told = [get(client, path) for path in ("loras", "sd-models", "sd-vae", "cmd-flags")]
        assert str(services.settings.data_dir) not in json.dumps(told)

    def test_styles_of_a_table(self, client, services):
        rows = 'name,prompt,negative_prompt\nfilm,"{prompt}, on film",blurry\nold,faded,\n'
        (services.settings.data_dir / "styles.csv").write_text(rows, encoding="utf-8-sig")
        assert get(client, "prompt-styles") == [
            {"name": "film", "prompt": "{prompt}, on film", "negative_prompt": "blurry"},
            {"name": "old", "prompt": "faded", "negative_prompt": ""},
        ]
        made = post(client, "txt2img", **SMALL, negative_prompt="grey", styles=["film", "old"])
        info = json.loads(made["info"])
        assert info["prompt"] == "a red apple, on film, faded"
        assert info["negative_prompt"] == "grey, blurry"
        assert info["styles"] == ["film", "old"]
        assert made["parameters"]["prompt"] == "a red apple"
        words = refused(client, "txt2img", **SMALL, styles=["anime"])
        assert words == "Style 'anime' not found; there are: film, old."
        (services.settings.data_dir / "styles.csv").write_bytes(b"name,prompt\n\xff\xfe,x\n")
        answer = client.get(f"{PREFIX}/prompt-styles")
        assert answer.status_code == 422
        assert "save it as a table in UTF-8" in answer.json()["detail"]

    def test_memory_of_a_card(self, services, monkeypatch):
        monkeypatch.setattr(services.engine, "_device", Device("cuda:0", "a card", "float16"))
        monkeypatch.setattr(services.engine, "memory", lambda: Memory(3, 10))
        assert lists._memory(services)["cuda"] == {"system": {"free": 7, "used": 3, "total": 10}}


class TestPictures:
    @pytest.mark.parametrize("form", ["png", "jpg", "webp"])
    def test_settings_come_back_from_every_format(self, client, form):
        made = post(client, "txt2img", **SMALL, override_settings={"samples_format": form})
        told = post(client, "png-info", image=made["images"][0])
        assert told["info"] == json.loads(made["info"])["infotexts"][0]
        assert told["parameters"]["Prompt"] == "a red apple"
        assert told["parameters"]["Negative prompt"] == ""
        assert told["parameters"]["Seed"] == "5"
        assert "parameters" not in told["items"]
        again = post(client, "txt2img", infotext=told["info"], override_settings={})
        assert json.loads(again["info"])["seed"] == 5

    def test_a_picture_without_settings_tells_nothing(self, client):
        told = post(client, "png-info", image=packed(Image.new("RGB", (8, 8))))
        assert told == {"info": "", "items": {}, "parameters": {}}
        words = refused(client, "png-info", image="QUJD")
        assert "no picture that can be read" in words

    def test_extras_cut_to_a_size(self, client):
        pixels = np.zeros((20, 40, 3), "u1")
        pixels[:, 10:30] = 255
        body = {"resize_mode": 1, "upscaling_resize_w": 40, "upscaling_resize_h": 40}
        body |= {"image": packed(Image.fromarray(pixels)), "upscaler_1": "Nearest"}
        cut = picture(post(client, "extra-single-image", **body)["image"])
        assert cut.size == (40, 40)
        assert np.asarray(cut).min() == 255, "the middle of what covers the size"
        whole = post(client, "extra-single-image", **body, upscaling_crop=False)
        assert picture(whole["image"]).size == (80, 40)
        unshown = post(client, "extra-single-image", **body, show_extras_results=False)
        assert unshown["image"] is None

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"gfpgan_visibility": 0.5}, "faces are not restored here"),
            ({"upscaler_2": "Lanczos", "extras_upscaler_2_visibility": 0.5}, "cannot be mixed"),
            ({"upscaler_1": "LDSR"}, "Upscaler 'LDSR' is not here"),
            ({"upscaler_1": "Lanczos", "upscaling_resize": 9}, "Scale must be less than"),
            ({"upscaling_resize": 0}, "upscaling_resize: Input should be greater than 0"),
            ({"image": ""}, "The picture is empty"),
            ({"image": "https://example.com/a.png"}, "is an address; this server fetches none"),
        ],
    )
    def test_extras_that_cannot_be_had(self, client, body, words):
        body = {"image": packed(Image.new("RGB", (8, 8))), **body}
        assert words in refused(client, "extra-single-image", **body)

    def test_a_picture_in_words(self, client, models):
        shown = packed(Image.new("RGB", (32, 32), "blue"))
        assert "is not installed" in refused(client, "interrogate", image=shown)
        tiny_blip(models / "captioners" / "tiny")
        caption = post(client, "interrogate", image=shown)["caption"]
        assert set(caption.split()) <= set(WORDS)
        assert post(client, "interrogate", image=shown, model="tiny")["caption"] == caption
        assert "deepdanbooru" in refused(client, "interrogate", image=shown, model="deepdanbooru")


class TestModelsInMemory:
    def test_unloaded_and_loaded(self, client, services, embedded_id):
        assert post(client, "reload-checkpoint") == {}
        assert [each.id for each in services.engine.models.held()] == [embedded_id]
        assert post(client, "unload-checkpoint") == {}
        assert services.engine.models.held() == []

    def test_not_while_somebody_has_the_device_alone(self, client, services):
        with services.engine.broker.lease(Holder("a training"), alone=True):
            assert "a training has the device alone" in refused(client, "reload-checkpoint")

    @pytest.mark.parametrize("what", ["checkpoints", "vae", "loras", "embeddings"])
    def test_refreshing_has_nothing_to_do(self, client, what):
        assert post(client, f"refresh-{what}") is None


class TestDoor:
    def test_a_body_beyond_the_limit_is_not_read(self, services):
        from fastapi import FastAPI

        from studio.api.sdapi.routes import build_router

        small = services.settings.model_copy(update={"max_upload": 10_000})
        object.__setattr__(services, "settings", small)
        app = FastAPI()
        app.include_router(build_router(services))
        with TestClient(app) as client:
            words = refused(client, "png-info", image="A" * 14_000)
            assert words == "The picture has more than 0.01 MB; make it smaller."
            words = refused(client, "png-info", 413, image="A" * 2_100_000)
            assert "send fewer or smaller pictures" in words

    def test_pages_of_other_sites_are_shut_out(self, client):
        answer = client.post(f"{PREFIX}/interrupt", headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code == 403
        own = client.post(f"{PREFIX}/interrupt", headers={"sec-fetch-site": "same-origin"})
        assert own.status_code == 200

    def test_what_is_not_there_and_what_takes_another_method(self, client):
        missing = client.post(f"{PREFIX}/train/embedding", json={})
        assert missing.status_code == 404
        assert missing.json()["detail"].startswith("There is no route /sdapi/v1/train/embedding")
        wrong = client.get(f"{PREFIX}/txt2img")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")

    def test_wrong_fields_are_named_without_what_was_sent(self, client):
        answer = client.post(f"{PREFIX}/txt2img", json={"steps": "x" * 10_000, "width": []})
        told = answer.json()
        assert [each["loc"] for each in told["detail"]] == [["body", "steps"], ["body", "width"]]
        assert told["errors"].startswith("steps: Input should be a valid integer")
        assert len(answer.content) < 1000

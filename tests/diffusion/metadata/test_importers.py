"""Settings of other tools: what is taken over, and what is said about the rest."""

import io
import json

import pytest
from foreign_samples import A1111, COMFYUI, FOOOCUS, INVOKEAI, SWARMUI, imported, png
from PIL import Image

from studio.diffusion.metadata.files import read
from studio.diffusion.metadata.foreign_samplers import resolve
from studio.diffusion.metadata.imported import Source
from studio.requests import Sampler, Schedule


@pytest.mark.parametrize(
    ("names", "sampler", "schedule"),
    [
        (("DPM++ 2M Karras",), Sampler.DPMPP_2M, Schedule.KARRAS),
        (("DPM++ 2M", "Karras"), Sampler.DPMPP_2M, Schedule.KARRAS),
        (("DPM++ 2M SDE Exponential",), Sampler.DPMPP_2M_SDE, Schedule.EXPONENTIAL),
        (("DPM++ 3M SDE", "Polyexponential"), Sampler.DPMPP_3M_SDE, Schedule.EXPONENTIAL),
        (("Euler a",), Sampler.EULER_A, None),
        (("Euler a", "Uniform"), Sampler.EULER_A, Schedule.AUTOMATIC),
        (("PLMS",), Sampler.PNDM, None),
        (("k_lms",), Sampler.LMS, None),
        (("k_dpmpp_2m_ka",), Sampler.DPMPP_2M, Schedule.KARRAS),
        (("dpmpp_2m", "karras"), Sampler.DPMPP_2M, Schedule.KARRAS),
        (("dpmpp_2m_sde_gpu", "sgm_uniform"), Sampler.DPMPP_2M_SDE, Schedule.SGM_UNIFORM),
        (("euler_ancestral", "normal"), Sampler.EULER_A, Schedule.AUTOMATIC),
        (("uni_pc_bh2", "beta"), Sampler.UNIPC, Schedule.BETA),
        (("dpm_2_ancestral",), Sampler.DPM2_A, None),
        (("dpmpp_2m_k",), Sampler.DPMPP_2M, Schedule.KARRAS),
        (("kdpm_2_a_k",), Sampler.DPM2_A, Schedule.KARRAS),
        (("euler_a",), Sampler.EULER_A, None),
        (("unipc",), Sampler.UNIPC, None),
        (("DPMSolverMultistepScheduler",), Sampler.DPMPP_2M, None),
        (("EulerAncestralDiscreteScheduler",), Sampler.EULER_A, None),
        (("LCMScheduler",), Sampler.LCM, None),
        (("DPM++ 2M", "Align Your Steps"), Sampler.DPMPP_2M, None),
        (("res_multistep", "simple"), None, None),
        (("DPM++ 2S a Karras",), None, None),
        (("", ""), None, None),
    ],
)
def test_foreign_names(names, sampler, schedule):
    assert resolve(*names) == (sampler, schedule)


def test_every_name_of_our_own_is_known():
    for sampler in Sampler:
        for schedule in Schedule:
            assert resolve(sampler, schedule) == (sampler, schedule)


def test_automatic1111():
    found = imported("parameters", A1111)
    assert found.source is Source.A1111
    assert found.fields == {
        "prompt": "masterpiece, (castle:1.2) <lora:moebius:0.8>,\non a hill",
        "negative_prompt": "lowres, bad anatomy",
        "steps": 28,
        "sampler": Sampler.DPMPP_2M,
        "schedule": Schedule.KARRAS,
        "cfg_scale": 7.5,
        "seed": 965400086,
        "width": 512,
        "height": 768,
        "clip_skip": 2,
        "variation_seed": 12,
        "variation_strength": 0.2,
        "hires_scale": 2,
        "hires_strength": 0.55,
        "hires_upscaler": "4x-UltraSharp",
    }
    assert (found.model_name, found.model_hash) == ("deliberate_v2", "45dee52b")
    assert found.text == A1111
    assert found.notes == (
        "Upscaler '4x-UltraSharp' is used if its model is installed here, else latent.",
        "LoRA 'moebius' was used; choose it here if it is installed.",
        "LoRA 'detail' was used; choose it here if it is installed.",
        "Not taken over: VAE hash 735e4c3a44, VAE vae-ft-mse.safetensors, ENSD 31337.",
        "Its noise was drawn on a graphics card, so the same seed gives another picture here.",
    )


def test_automatic1111s_second_pass():
    line = (
        "Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 512x512, Denoising strength: 0.4, "
        "Hires upscale: 1.5, Hires steps: 9, Hires upscaler: Latent (nearest-exact), "
        'Hires sampler: DPM++ 2M, Hires prompt: "a pear, ripe", RNG: CPU'
    )
    found = imported("parameters", f"a pear\n{line}")
    assert {name: value for name, value in found.fields.items() if name.startswith("hires")} == {
        "hires_scale": 1.5,
        "hires_strength": 0.4,
        "hires_steps": 9,
        "hires_upscaler": "latent nearest",
        "hires_sampler": Sampler.DPMPP_2M,
        "hires_prompt": "a pear, ripe",
    }
    assert found.notes == ()


def test_automatic1111_of_today_says_its_schedule():
    line = "Steps: 20, Sampler: Euler, Schedule type: SGM Uniform, CFG scale: 7, Seed: 1, RNG: CPU"
    found = imported("parameters", f"a\n{line}, Version: v1.10.1")
    assert found.fields["schedule"] is Schedule.SGM_UNIFORM
    assert found.fields["clip_skip"] == 1
    assert found.notes == ()


def test_values_that_do_not_fit_are_clamped_or_left_out():
    line = (
        "Steps: 500, Sampler: DPM fast, CFG scale: 0.5, Seed: 99999999999999999999, Size: 4096x512"
    )
    found = imported("parameters", f"a\n{line}, Clip skip: x, RNG: CPU")
    assert found.fields["steps"] == 150
    assert found.fields["cfg_scale"] == 1
    assert not {"seed", "width", "height", "sampler", "clip_skip"} & found.fields.keys()
    notes = " ".join(found.notes)
    assert "Steps 500 is out of range; 150 is used." in notes
    assert "CFG scale 0.5 is out of range; 1 is used." in notes
    assert "Sampler 'DPM fast' is not available; kept DPM++ 2M." in notes
    assert "Size 4096x512 is not between 64 and 2048 pixels a side and was left out." in notes
    assert "Seed must be less than or equal to 9007199254740991" in notes
    assert "Clip skip must be a valid integer" in notes


def test_comfyui():
    found = imported("prompt", COMFYUI)
    assert found.source is Source.COMFYUI
    assert found.fields == {
        "prompt": "a glass bottle",
        "negative_prompt": "text, watermark",
        "sampler": Sampler.DPMPP_2M,
        "schedule": Schedule.KARRAS,
        "steps": 25,
        "cfg_scale": 8.0,
        "seed": 156680208700286,
        "width": 512,
        "height": 768,
        "clip_skip": 2,
    }
    assert found.model_name == "v1-5-pruned-emaonly"
    assert found.notes == (
        "LoRA 'pixel.safetensors' at 0.75 was used; choose it here if it is installed.",
    )


def test_comfyui_takes_the_base_of_two_passes():
    second = {
        "class_type": "KSampler",
        "inputs": COMFYUI["3"]["inputs"]
        | {"latent_image": ["31", 0], "denoise": 0.5, "steps": 9, "sampler_name": "res_multistep"},
    }
    upscale = {
        "class_type": "LatentUpscale",
        "inputs": {"samples": ["3", 0], "width": 1024, "height": 1536},
    }
    found = imported("prompt", {"1": second, "31": upscale, **COMFYUI})
    assert found.fields["steps"] == 25
    assert found.fields["width"] == 512
    assert "Only the first of 2 sampling passes is taken over." in found.notes


def test_comfyui_with_custom_sampling():
    graph = {
        "1": {
            "class_type": "SamplerCustomAdvanced",
            "inputs": {
                "noise": ["2", 0],
                "guider": ["3", 0],
                "sampler": ["4", 0],
                "sigmas": ["5", 1],
                "latent_image": ["8", 0],
            },
        },
        "2": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}},
        "3": {
            "class_type": "CFGGuider",
            "inputs": {"model": ["9", 0], "positive": ["10", 0], "negative": ["13", 0], "cfg": 3.5},
        },
        "4": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "res_multistep"}},
        "5": {"class_type": "SplitSigmas", "inputs": {"sigmas": ["6", 0], "step": 12}},
        "6": {"class_type": "BasicScheduler", "inputs": {"scheduler": "beta", "steps": 30}},
        "8": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1024, "height": 1024}},
        "9": {"class_type": "UNETLoader", "inputs": {"unet_name": "sdxl/base.safetensors"}},
        "10": {
            "class_type": "ConditioningCombine",
            "inputs": {"conditioning_1": ["11", 0], "conditioning_2": ["12", 0]},
        },
        "11": {
            "class_type": "CLIPTextEncodeSDXL",
            "inputs": {"text_g": "a fox", "text_l": "a fox", "clip": ["9", 1]},
        },
        "12": {"class_type": "CLIPTextEncode", "inputs": {"text": "in snow", "clip": ["9", 1]}},
        "13": {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["12", 0]}},
    }
    found = imported("prompt", graph)
    assert found.fields["prompt"] == "a fox, in snow"
    assert found.fields["negative_prompt"] == ""
    assert found.fields["seed"] == 7
    assert found.fields["steps"] == 30
    assert found.fields["cfg_scale"] == 3.5
    assert found.fields["schedule"] is Schedule.BETA
    assert "sampler" not in found.fields
    assert found.notes == (
        "2 positive prompts of the graph are joined with commas.",
        "Sampler 'res_multistep' is not available; kept DPM++ 2M.",
    )


def test_comfyui_with_nodes_for_sampler_and_schedule():
    graph = {
        "1": {
            "class_type": "SamplerCustom",
            "inputs": {
                "noise_seed": 5,
                "cfg": 6,
                "positive": ["10", 0],
                "negative": ["10", 0],
                "sampler": ["4", 0],
                "sigmas": ["5", 0],
                "latent_image": ["8", 0],
            },
        },
        "4": {"class_type": "SamplerDPMPP_2M_SDE", "inputs": {"eta": 1.0}},
        "5": {"class_type": "KarrasScheduler", "inputs": {"steps": 12, "rho": 7}},
        "8": {"class_type": "VAEEncode", "inputs": {"pixels": ["9", 0]}},
        "9": {"class_type": "LoadImage", "inputs": {"image": "cat.png"}},
        "10": {
            "class_type": "ControlNetApplyAdvanced",
            "inputs": {"positive": ["11", 0], "negative": ["12", 0], "image": ["9", 0]},
        },
        "11": {"class_type": "CLIPTextEncode", "inputs": {"text": "good"}},
        "12": {"class_type": "CLIPTextEncode", "inputs": {"text": "bad"}},
    }
    found = imported("prompt", graph)
    assert found.fields["sampler"] is Sampler.DPMPP_2M_SDE
    assert found.fields["schedule"] is Schedule.KARRAS
    assert (found.fields["prompt"], found.fields["negative_prompt"]) == ("good", "bad")
    assert "The picture was made from another picture, which is not in the file." in found.notes


def test_comfyui_in_a_webp():
    exif = Image.Exif()
    exif[0x0110] = f"prompt:{json.dumps(COMFYUI)}"
    exif[0x010F] = 'workflow:{"nodes": []}'
    target = io.BytesIO()
    Image.new("RGB", (16, 16)).save(target, format="WEBP", exif=exif)
    assert read(target).fields["prompt"] == "a glass bottle"


def test_comfyui_with_a_text_for_other_tools():
    text = "a fox\nSteps: 9, Sampler: Euler a, CFG scale: 2, Seed: 4, Version: ComfyUI"
    found = read(png(parameters=text, prompt=json.dumps(COMFYUI)))
    assert found.source is Source.COMFYUI
    assert found.fields["prompt"] == "a fox"


def test_invokeai():
    found = imported("invokeai_metadata", INVOKEAI)
    assert found.source is Source.INVOKEAI
    assert found.fields == {
        "prompt": "a red barn++ at dawn",
        "negative_prompt": "fog",
        "sampler": Sampler.DPMPP_2M_SDE,
        "schedule": Schedule.KARRAS,
        "steps": 30,
        "cfg_scale": 5.5,
        "seed": 2876151632,
        "width": 1024,
        "height": 832,
        "clip_skip": 2,
    }
    assert (found.model_name, found.model_hash) == ("Juggernaut XL v9", "blake3:a2b3")
    assert found.notes == (
        "LoRA 'add-detail-xl' at 0.6 was used; choose it here if it is installed.",
        "Not taken over: VAE sdxl-vae-fp16-fix, ControlNets (1).",
        "InvokeAI writes weights such as (word)1.3 or word++; here it is (word:1.3).",
    )


def test_invokeai_of_old():
    data = {
        "model": "stable diffusion",
        "model_weights": "stable-diffusion-1.5",
        "model_hash": "cc6cb27103417325",
        "app_id": "invoke-ai/InvokeAI",
        "app_version": "2.3.0",
        "image": {
            "prompt": [{"prompt": "a barn [fog, rain]", "weight": 1.0}],
            "steps": 50,
            "cfg_scale": 7.5,
            "height": 512,
            "width": 512,
            "seed": 1379061246,
            "type": "txt2img",
            "sampler": "k_euler_a",
        },
    }
    found = imported("sd-metadata", data)
    assert found.source is Source.INVOKEAI
    assert found.fields["prompt"] == "a barn"
    assert found.fields["negative_prompt"] == "fog, rain"
    assert found.fields["sampler"] is Sampler.EULER_A
    assert found.fields["seed"] == 1379061246
    assert found.model_name == "stable-diffusion-1.5"


def test_swarmui():
    found = imported("parameters", json.dumps(SWARMUI, indent=2))
    assert found.source is Source.SWARMUI
    assert found.fields == {
        "prompt": "a photo of a cat",
        "negative_prompt": "dog",
        "steps": 28,
        "sampler": Sampler.EULER_A,
        "schedule": Schedule.AUTOMATIC,
        "cfg_scale": 6.0,
        "seed": 882695506,
        "width": 1216,
        "height": 768,
        "clip_skip": 2,
        "variation_seed": 4,
        "variation_strength": 0.1,
    }
    assert (found.model_name, found.model_hash) == ("sd_xl_base_1.0", "84fc41ea0821fa0a")
    assert found.notes == (
        "LoRA 'styleA' at 0.4 was used; choose it here if it is installed.",
        "LoRA 'turbo' at 0.7 was used; choose it here if it is installed.",
        "Not taken over: refinermethod PostApply.",
    )


def test_swarmui_in_a_jpeg():
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\x00" + json.dumps(SWARMUI).encode("utf-16-le")
    target = io.BytesIO()
    Image.new("RGB", (16, 16)).save(target, format="JPEG", exif=exif)
    assert read(target).fields["seed"] == 882695506


def test_fooocus():
    found = read(png(parameters=json.dumps(FOOOCUS), fooocus_scheme="fooocus"))
    assert found.source is Source.FOOOCUS
    assert found.fields == {
        "prompt": "a fox",
        "negative_prompt": "blurry",
        "steps": 30,
        "sampler": Sampler.DPMPP_2M_SDE,
        "schedule": Schedule.KARRAS,
        "cfg_scale": 4,
        "width": 1152,
        "height": 896,
    }
    assert (found.model_name, found.model_hash) == ("juggernautXL_v8Rundiffusion", "aeb7e9e689")
    assert found.notes == (
        "Seed must be less than or equal to 9007199254740991, but is '5218106912436104837'; "
        "it was left out.",
        "LoRA 'sd_xl_offset' at 0.1 was used; choose it here if it is installed.",
        "Not taken over: styles ['Fooocus V2'], sharpness 2, VAE Default (model).",
    )


def test_fooocus_in_a_webp():
    exif = Image.Exif()
    exif[0x9286] = json.dumps(FOOOCUS)
    exif[0x0131] = "Fooocus v2.5.5"
    exif[0x927C] = "fooocus"
    target = io.BytesIO()
    Image.new("RGB", (16, 16)).save(target, format="WEBP", exif=exif)
    assert read(target).fields["prompt"] == "a fox"


def test_fooocus_in_the_text_scheme():
    text = (
        "a fox, cinematic still\nNegative prompt: anime, blurry\n"
        "Steps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 123, Size: 1152x896, CFG scale: 4, "
        'Sharpness: 2, ADM Guidance: "(1.5, 0.8, 0.3)", Model: juggernautXL, Model hash: aeb7, '
        "Performance: Speed, Scheduler: karras, VAE: Default (model), Raw prompt: a fox, "
        'Raw negative prompt: blurry, Lora weights: "offset: 0.1", Version: Fooocus v2.5.5'
    )
    found = read(png(parameters=text, fooocus_scheme="a1111"))
    assert found.source is Source.FOOOCUS
    assert found.fields["prompt"] == "a fox"
    assert found.fields["negative_prompt"] == "blurry"
    assert found.fields["sampler"] is Sampler.DPMPP_2M_SDE
    assert found.fields["schedule"] is Schedule.KARRAS
    assert found.fields["width"] == 1152
    assert "LoRA 'offset' at 0.1 was used; choose it here if it is installed." in found.notes

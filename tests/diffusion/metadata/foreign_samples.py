"""Settings as other tools write them, composed in each tool's own form."""

import io
import json

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from studio.diffusion.metadata.files import read
from studio.diffusion.metadata.imported import Imported
from studio.requests import GenerationRequest


def png(**texts: str) -> io.BytesIO:
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, value)
    target = io.BytesIO()
    Image.new("RGB", (16, 16)).save(target, format="PNG", pnginfo=info)
    target.seek(0)
    return target


def imported(key: str, value: object) -> Imported:
    text = value if isinstance(value, str) else json.dumps(value)
    found = read(png(**{key: text}))
    GenerationRequest(**found.fields)
    return found


A1111 = """masterpiece, (castle:1.2) <lora:moebius:0.8>,
on a hill
Negative prompt: lowres, bad anatomy
Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 965400086, Size: 512x768, \
Model hash: 45dee52b, Model: deliberate_v2, VAE hash: 735e4c3a44, VAE: vae-ft-mse.safetensors, \
Variation seed: 12, Variation seed strength: 0.2, Denoising strength: 0.55, Clip skip: 2, \
ENSD: 31337, Hires upscale: 2, Hires upscaler: 4x-UltraSharp, \
Lora hashes: "moebius: 1ac5b2d3, detail: 99ff", Version: v1.6.0"""


COMFYUI = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 156680208700286,
            "steps": 25,
            "cfg": 8.0,
            "sampler_name": "dpmpp_2m",
            "scheduler": "karras",
            "denoise": 1.0,
            "model": ["10", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
        "_meta": {"title": "KSampler"},
    },
    "4": {
        "class_type": "CheckpointLoaderSimple",
        "inputs": {"ckpt_name": "SD1.5\\v1-5-pruned-emaonly.safetensors"},
    },
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 512, "height": ["20", 0], "batch_size": 1},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a glass bottle", "clip": ["9", 0]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": ["21", 0], "clip": ["9", 0]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {
        "class_type": "CLIPSetLastLayer",
        "inputs": {"stop_at_clip_layer": -2, "clip": ["10", 1]},
    },
    "10": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "pixel.safetensors",
            "strength_model": 0.75,
            "strength_clip": 1,
            "model": ["4", 0],
            "clip": ["4", 1],
        },
    },
    "11": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["8", 0]}},
    "20": {"class_type": "PrimitiveInt", "inputs": {"value": 768}, "is_changed": [float("nan")]},
    "21": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": "text, watermark"}},
}


INVOKEAI = {
    "app_version": "5.6.0",
    "generation_mode": "sdxl_txt2img",
    "positive_prompt": "a red barn++ at dawn",
    "negative_prompt": "fog",
    "width": 1024,
    "height": 832,
    "seed": 2876151632,
    "rand_device": "cpu",
    "cfg_scale": 5.5,
    "cfg_rescale_multiplier": 0,
    "steps": 30,
    "scheduler": "dpmpp_2m_sde_k",
    "clip_skip": 1,
    "model": {
        "key": "5eec08a8",
        "hash": "blake3:a2b3",
        "name": "Juggernaut XL v9",
        "base": "sdxl",
        "type": "main",
    },
    "loras": [{"model": {"key": "1", "name": "add-detail-xl", "type": "lora"}, "weight": 0.6}],
    "controlnets": [{"control_model": {"name": "depth"}, "control_weight": 1}],
    "vae": {"key": "2", "name": "sdxl-vae-fp16-fix"},
}


SWARMUI = {
    "sui_image_params": {
        "prompt": "a photo of a cat",
        "negativeprompt": "dog",
        "model": "OfficialStableDiffusion/sd_xl_base_1.0",
        "seed": 882695506,
        "steps": "28",
        "cfgscale": "6.0",
        "aspectratio": "8:5",
        "width": 1216,
        "height": 768,
        "sampler": "euler_ancestral",
        "scheduler": "normal",
        "clipstopatlayer": -2,
        "variationseed": 4,
        "variationseedstrength": 0.1,
        "loras": ["styleA", "turbo"],
        "loraweights": ["0.4", "0.7"],
        "refinermethod": "PostApply",
        "swarm_version": "0.9.8.1",
    },
    "sui_extra_data": {"date": "2024-11-13", "generation_time": "2.6 (gen) seconds"},
    "sui_models": [
        {"name": "sd_xl_base_1.0.safetensors", "param": "model", "hash": "0x84fc41ea0821fa0a"}
    ],
}


FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)",
    "base_model": "juggernautXL_v8Rundiffusion",
    "base_model_hash": "aeb7e9e689",
    "full_negative_prompt": ["unrealistic", "blurry"],
    "full_prompt": ["a fox cinematic", "a fox, extremely detailed"],
    "guidance_scale": 4,
    "lora_combined_1": "sd_xl_offset : 0.1",
    "loras": [["sd_xl_offset", 0.1, "4852686128"]],
    "metadata_scheme": "fooocus",
    "negative_prompt": "blurry",
    "performance": "Speed",
    "prompt": "a fox",
    "refiner_model": "None",
    "refiner_switch": 0.5,
    "resolution": "(1152, 896)",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "5218106912436104837",
    "sharpness": 2,
    "steps": 30,
    "styles": "['Fooocus V2']",
    "vae": "Default (model)",
    "version": "Fooocus v2.5.5",
}

"""Write a run as a StableDiffusionPipeline folder that `from_pretrained` loads without arguments.

All weights are stored in float16. diffusers loads them in float32 unless told otherwise;
transformers takes the type that the text encoder's config names, so that must say float32, too.
"""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline

from training.embedded import checkpoint
from training.embedded.painter import Words, build
from training.embedded.recipes import Recipe
from training.embedded.workshop import workshop

SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}
EXTRA = {"clip_sample": False, "set_alpha_to_one": False}
"""Read by DDIM and DDPM, which would otherwise clip latents to [-1, 1]."""


def tokenizer_folder(recipe: Recipe) -> Path:
    """Where the tokenizer of a recipe is: its predecessor's, or the one that was trained."""
    return recipe.start / "tokenizer" if recipe.start else workshop() / "tokenizer"


def export(name: str, recipe: Recipe, folder: Path) -> None:
    """The weights of a run as a pipeline in `folder`; what stood there is replaced.

    While the rate is constant, their mean; of a run whose rate falls the weights themselves, which
    the mean trails behind.
    """
    stored, step = checkpoint.load(workshop() / "runs" / name / "state.safetensors")
    if not stored:
        raise SystemExit(f"There is no run {name!r}: run python -m training.embedded train first.")
    words = Words(tokenizer_folder(recipe))
    painter = build(recipe, words)
    cooled = int(stored.get("cooled_from", torch.tensor(-1))) >= 0
    painter.load_state_dict(checkpoint.pick(stored, "model" if cooled else "mean"))
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(workshop() / "vae", dtype=torch.float32),
        text_encoder=painter.text.eval(),
        tokenizer=words.tokenizer,
        unet=painter.unet.eval(),
        scheduler=DPMSolverMultistepScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.unet.to(memory_format=torch.contiguous_format)
    pipeline.to(torch.float16)
    for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        shutil.rmtree(folder / part, ignore_errors=True)
    pipeline.save_pretrained(folder)
    _as_float32(folder / "text_encoder" / "config.json")
    _with_clip_sample(folder / "scheduler" / "scheduler_config.json")
    for file in ("vocab.json", "merges.txt"):
        shutil.copy(tokenizer_folder(recipe) / file, folder / "tokenizer" / file)
    print(f"{folder}: run {name!r} after {step} steps")


def _as_float32(path: Path) -> None:
    """Let transformers load the text encoder in float32, as diffusers loads the rest."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _with_clip_sample(path: Path) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, **EXTRA}, indent=2) + "\n", encoding="utf-8")

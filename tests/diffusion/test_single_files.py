"""Every family as a single file makes, edits and inpaints the very pictures of its folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from original_files import KEYS, single_file, tiny_pipeline
from recorder import Studio, clean_environment

from studio.services import build_services
from studio.settings import Settings

SIDE = 64
PUBLISHED: dict[str, dict[str, object]] = {
    "sd": {
        "_class_name": "PNDMScheduler",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "clip_sample": False,
        "num_train_timesteps": 1000,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
    },
    "sdxl": {
        "_class_name": "EulerDiscreteScheduler",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "interpolation_type": "linear",
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "use_karras_sigmas": False,
    },
}
"""How the published folders of Stable Diffusion 1.5 and XL describe their noise."""


@pytest.mark.parametrize("key", KEYS)
def test_a_file_makes_the_pictures_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    models = tmp_path / "models"
    pipe = tiny_pipeline(key).to(torch.float16)
    pipe.save_pretrained(models / "folder")
    single_file(pipe, models / "file.safetensors")
    del pipe
    if key.startswith("sd") and key != "sd3":
        noise = PUBLISHED["sdxl" if key.startswith("sdxl") else "sd"]
        (models / "folder" / "scheduler" / "scheduler_config.json").write_text(json.dumps(noise))
    clean_environment(monkeypatch)
    services = build_services(Settings(data_dir=tmp_path, device="cpu", dtype="float32"))
    try:
        studio, held = Studio(services), services.engine.models.held
        source = np.random.default_rng(5).integers(0, 256, (SIDE, SIDE, 3), dtype="u1")
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        mask[16:48, 16:48] = True
        made: dict[str, list[np.ndarray]] = {}
        for model in ("folder", "file"):
            fields = {"model": model, "prompt": "a (blue:1.3) car, with a hat", "cfg_scale": 3}
            fields |= {"negative_prompt": "red", "steps": 3, "seed": 4}
            made[model] = [
                studio.pixels(**fields, width=SIDE, height=SIDE),
                studio.edit(source, strength=0.7, **fields).images[0],
                studio.edit(source, mask, strength=1.0, **fields).images[0],
            ]
            assert [each.id for each in held()] == [model]
            assert services.engine.models.unload("diffusion", model)
        for mine, expected in zip(made["file"], made["folder"], strict=True):
            assert expected.std() > 5
            assert np.array_equal(mine, expected)
    finally:
        services.stop()

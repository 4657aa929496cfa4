"""Pictures of models that were made: baked ones are those of LoRAs worn, extracted LoRAs too.

Tolerances are levels of 255: float32 sums in another order move a level here and there.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from lora_files import RANK, lora_file
from original_files import single_file, tiny_pipeline
from recorder import Studio, clean_environment
from safetensors.torch import save_file
from tiny_models import tiny_model

from studio.model_requests import BakeRequest, ExtractRequest
from studio.models.catalogue import Catalogue
from studio.services import build_services
from studio.settings import Settings

FOLDERS = ("sd1", "sdxl", "sd3", "flux-dev")
FILES = ("sdxl", "flux-dev")
LEVELS = 2


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Models by family key, as files with "-file", and for each a LoRA under "for-" and its id."""
    root = tmp_path_factory.mktemp("made")
    folder = root / "models"
    loras = folder / "loras"
    tokenizer = Catalogue(Path("/nonexistent")).get("").path / "tokenizer"
    for key in FOLDERS:
        tiny_model(key, folder / key, tokenizer)
        pipe = diffusers.DiffusionPipeline.from_pretrained(folder / key)
        lora_file(pipe, loras / f"for-{key}.safetensors", text=key in ("sd1", "sdxl"))
    for key in FILES:
        pipe = tiny_pipeline(key)
        single_file(pipe, folder / f"{key}-file.safetensors")
        lora_file(pipe, loras / f"for-{key}-file.safetensors", text=key == "sdxl")
    embedded = Catalogue(Path("/nonexistent")).get("")
    pipe = diffusers.DiffusionPipeline.from_pretrained(embedded.path)
    lora_file(pipe, loras / "for-embedded.safetensors", text=True, size=0.05)
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        built = build_services(Settings(data_dir=root, device="cpu", dtype="float32"))
    yield Studio(built)
    built.stop()


def done(studio: Studio, request: Any) -> None:
    job_id = studio.services.run_now(request)
    row = studio.services.queue.get(job_id)
    assert (row.status, row.reason) == ("finished", "")


def pixels(studio: Studio, model: str, tags: str = "") -> np.ndarray:
    fields = {"sampler": "Euler", "steps": 3, "width": 64, "height": 64}
    made = studio.pixels(model=model, prompt=f"a blue car{tags}", **fields)
    return made.astype(int)


@pytest.mark.parametrize("key", [*FOLDERS, *(f"{key}-file" for key in FILES)])
def test_baked_is_worn_and_extracted_is_worn(studio: Studio, key: str) -> None:
    lora, strength = f"for-{key}", 0.8
    plain, worn = pixels(studio, key), pixels(studio, key, f"<lora:{lora}:{strength}>")
    assert np.abs(plain - worn).mean() > 0.3
    done(
        studio,
        BakeRequest(name=f"baked-{key}", model=key, loras=(lora,), strengths=(strength,)),
    )
    assert np.abs(pixels(studio, f"baked-{key}") - worn).max() <= LEVELS
    done(
        studio,
        ExtractRequest(
            name=f"found-{key}",
            tuned=f"baked-{key}",
            base=key,
            rank=RANK,
            clamp=1,
            stored="float32",
        ),
    )
    assert np.abs(pixels(studio, key, f"<lora:found-{key}:1>") - worn).max() <= LEVELS


def test_the_embedded_model(studio: Studio, embedded_id: str) -> None:
    """With the settings that the field uses, float16 and a clamp, a mean of a few levels stays."""
    plain = pixels(studio, embedded_id)
    worn = pixels(studio, embedded_id, "<lora:for-embedded:1>")
    done(studio, BakeRequest(name="mine", model=embedded_id, loras=("for-embedded",)))
    assert np.abs(pixels(studio, "mine") - worn).max() <= LEVELS
    exact: dict[str, Any] = {"clamp": 1, "stored": "float32"}
    far = np.abs(plain - worn).mean()
    for name, fields, share in (("exact", exact, 0.01), ("usual", {}, 0.25)):
        request = ExtractRequest(name=name, tuned="mine", base=embedded_id, rank=RANK, **fields)
        done(studio, request)
        near = np.abs(pixels(studio, embedded_id, f"<lora:{name}:1>") - worn).mean()
        assert near <= share * far, (name, near, far)


def test_two_loras_baked_in_are_two_worn(studio: Studio) -> None:
    twin = studio.services.settings.data_dir / "models" / "loras" / "twin.safetensors"
    pipe = diffusers.DiffusionPipeline.from_pretrained(studio.services.catalogue.get("sd1").path)
    lora_file(pipe, twin, seed=5, size=0.2)
    worn = pixels(studio, "sd1", "<lora:for-sd1:0.5><lora:twin:-0.7>")
    done(
        studio,
        BakeRequest(name="two", model="sd1", loras=("for-sd1", "twin"), strengths=(0.5, -0.7)),
    )
    assert np.abs(pixels(studio, "two") - worn).max() <= LEVELS


@pytest.mark.parametrize("model", ["flux-dev", "flux-dev-file"])
def test_kohyas_names_for_flux(studio: Studio, model: str) -> None:
    """Query, key and value share a matrix there, as they do in FLUX's own file."""
    entry = studio.services.catalogue.get(model)
    assert entry.path.exists()
    width = 32 if model == "flux-dev" else 128
    noise = torch.Generator().manual_seed(1)
    lora = {}
    for layer, out, inner in (
        ("double_blocks_0_img_attn_qkv", 3 * width, width),
        ("double_blocks_0_txt_attn_qkv", 3 * width, width),
        ("single_blocks_0_linear2", width, 5 * width),
    ):
        stem = f"lora_unet_{layer}"
        lora[f"{stem}.lora_down.weight"] = 0.3 * torch.randn(RANK, inner, generator=noise)
        lora[f"{stem}.lora_up.weight"] = 0.3 * torch.randn(out, RANK, generator=noise)
        lora[f"{stem}.alpha"] = torch.tensor(float(RANK))
    path = studio.services.settings.data_dir / "models" / "loras" / f"kohya-{model}.safetensors"
    save_file(lora, path)
    worn = pixels(studio, model, f"<lora:kohya-{model}:1>")
    assert np.abs(worn - pixels(studio, model)).mean() > 0.2
    done(studio, BakeRequest(name=f"k-{model}", model=model, loras=(f"kohya-{model}",)))
    assert np.abs(pixels(studio, f"k-{model}") - worn).max() <= LEVELS

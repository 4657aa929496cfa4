"""Speed-ups on real pipelines: what they change, who sees it, and what is left of them."""

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorder import Studio, clean_environment
from tiny_models import tiny_model

from studio.context import ModelSpec
from studio.diffusion.metadata import files
from studio.errors import ModelError, RequestError
from studio.models import speedups
from studio.models.catalogue import Catalogue
from studio.models.devices import Device
from studio.models.speedups import SPEEDUPS, fitting
from studio.requests import GenerationRequest, Sampler, Speedup, validated
from studio.services import build_services
from studio.settings import Settings

FAMILIES = ("sd", "sdxl", "sd3", "flux-dev", "flux-schnell")
PROMPT = "a blue car"
STEPS = 8
CACHES = (Speedup.FIRST_BLOCK_CACHE, Speedup.TAYLORSEER)
REVERSIBLE = (
    *((model, key) for model in ("flux-dev", "flux-schnell") for key in CACHES),
    *((model, Speedup.COMPILE) for model in ("sd", "sd3", "flux-dev")),
    *((model, Speedup.TOKEN_MERGING) for model in ("sd", "sdxl")),
)
LIBRARIES = {Speedup.TOKEN_MERGING: "tomesd", Speedup.INT8: "torchao"}


def lacking(key: Speedup) -> bool:
    library = LIBRARIES.get(key, "")
    return bool(library) and importlib.util.find_spec(library) is None


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("speedups")
    tokenizer = Catalogue(Path("/nonexistent")).get("").path / "tokenizer"
    for key in FAMILIES:
        tiny_model(key, folder / "models" / key, tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        # The real compiler takes minutes; all but the code that it writes is the same without it.
        patch.setattr(speedups, "_BACKEND", "eager")
        built = build_services(Settings(data_dir=folder, device="cpu", dtype="float32"))
        yield Studio(built)
        built.stop()


def asked(model: str, *keys: Speedup, **fields: Any) -> dict[str, Any]:
    size = {"width": 64, "height": 64}
    sampling = {"sampler": Sampler.EULER, "steps": STEPS}
    return {"model": model, "prompt": PROMPT, "speedups": keys, **size, **sampling, **fields}


def calls(studio: Studio, model: str, *keys: Speedup, **fields: Any) -> tuple[np.ndarray, int]:
    """A picture, and how often the denoiser's last block really worked meanwhile."""
    counted = 0

    def count(*_: Any) -> None:
        nonlocal counted
        counted += 1

    with studio.borrow(model) as pipe:
        handle = pipe.transformer.single_transformer_blocks[-1].attn.register_forward_hook(count)
    try:
        return studio.pixels(**asked(model, *keys, **fields)), counted
    finally:
        handle.remove()


# --- on and off -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*:UserWarning:torch")
@pytest.mark.parametrize(("model", "key"), REVERSIBLE)
def test_what_is_taken_off_leaves_every_pixel_as_it_was(
    studio: Studio, model: str, key: Speedup
) -> None:
    if lacking(key):
        pytest.skip(f"{LIBRARIES[key]} is not installed")
    before = studio.pixels(**asked(model))
    made = studio.make(**asked(model, key, batch_count=2))
    assert len(made.images) == 2
    for image in made.images:
        assert image.std() > 0
    assert np.array_equal(studio.pixels(**asked(model)), before)
    again = studio.pixels(**asked(model, key))
    assert np.array_equal(again, made.images[0]), "nothing of the last job is left in it"


@pytest.mark.parametrize("key", CACHES)
def test_a_cache_does_less_work_for_another_picture(
    studio: Studio, key: Speedup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speedups, "_ALIKE", 0.6)  # random weights change more from step to step
    plain, all_calls = calls(studio, "flux-dev")
    cached, few_calls = calls(studio, "flux-dev", key)
    assert few_calls < all_calls == STEPS
    assert not np.array_equal(plain, cached)


@pytest.mark.parametrize("key", CACHES)
def test_a_picture_does_not_depend_on_what_was_made_before_it(
    studio: Studio, key: Speedup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither on batches before it, nor on a first pass of another size, nor on other texts."""
    monkeypatch.setattr(speedups, "_ALIKE", 0.6)
    alone = studio.pixels(**asked("flux-dev", key, seed=9))
    row = studio.make(**asked("flux-dev", key, seed=7, batch_count=3)).images
    assert np.array_equal(row[2], alone)
    larger = studio.make(**asked("flux-dev", key, hires_scale=1.5, hires_strength=0.9))
    assert larger.images[0].shape == (96, 96, 3)
    changing = {"prompt": "[a blue car:a red hat AND a cat:0.5]", "cfg_scale": 3.0}
    assert studio.make(**asked("flux-dev", key, **changing)).images[0].std() > 0


@pytest.mark.parametrize("key", CACHES)
def test_nothing_is_kept_in_memory_after_a_job(studio: Studio, key: Speedup) -> None:
    studio.make(**asked("flux-dev", key))
    spec = ModelSpec("diffusion", "flux-dev", "text2image", speedups=(key.value,))
    with studio.services.engine.models.borrow(spec) as pipe:
        assert pipe.transformer.is_cache_enabled
        registries = [
            module._diffusers_hook
            for module in pipe.transformer.modules()
            if hasattr(module, "_diffusers_hook")
        ]
        hooks = [hook for registry in registries for hook in registry.hooks.values()]
        assert hooks
        assert all(hook.state_manager._state_cache == {} for hook in hooks)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:torch")
def test_speed_ups_of_different_kinds_go_together(studio: Studio) -> None:
    keys = (Speedup.COMPILE, Speedup.FIRST_BLOCK_CACHE)
    before = studio.pixels(**asked("flux-dev"))
    cached = studio.pixels(**asked("flux-dev", Speedup.FIRST_BLOCK_CACHE))
    both = studio.pixels(**asked("flux-dev", *keys))
    assert np.abs(both.astype(int) - cached).max() <= 1
    assert np.array_equal(studio.pixels(**asked("flux-dev")), before)


# --- eight bits -----------------------------------------------------------------------------------


@pytest.mark.skipif(lacking(Speedup.INT8), reason="torchao is not installed")
@pytest.mark.parametrize("model", ["sd3", "flux-dev"])
def test_a_model_of_eight_bits_is_another_one_and_smaller(studio: Studio, model: str) -> None:
    models = studio.services.engine.models
    plain = studio.pixels(**asked(model))
    rounded = studio.pixels(**asked(model, Speedup.INT8))
    assert not np.array_equal(plain, rounded)
    assert np.abs(plain.astype(int) - rounded).mean() < 8
    assert np.array_equal(studio.pixels(**asked(model)), plain)
    sizes = {each.kind: each.bytes for each in models.held() if each.id == model}
    with studio.borrow(model) as pipe:
        networks = (
            pipe.transformer,
            pipe.text_encoder_3 if model == "sd3" else pipe.text_encoder_2,
        )
        layers = {each for network in networks for each in network.modules()}
    weights = sum(each.weight.numel() for each in layers if isinstance(each, torch.nn.Linear))
    # Three of four bytes; what is left of them are the scales of very short rows.
    assert sizes["diffusion"] - sizes[speedups.QUANTISED] > 0.9 * 3 * weights
    studio.services.library.unload("model", model)
    assert model not in {each.id for each in models.held()}


# --- what fits ------------------------------------------------------------------------------------


def test_every_speed_up_has_its_entry_and_its_extra() -> None:
    assert [each.key for each in SPEEDUPS] == list(Speedup)
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    for each in SPEEDUPS:
        assert bool(each.library) == bool(each.extra)
        assert not each.extra or f"\n{each.extra} = [" in project


def test_what_is_not_installed_is_not_offered(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, cuda = Device("cpu", "CPU", "float32"), Device("cuda:0", "a card", "bfloat16")
    flux, unet = (studio.services.catalogue.get(each) for each in ("flux-dev", "sd"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert [each.key for each in fitting(flux, cpu)] == [*CACHES, Speedup.COMPILE]
    assert [each.key for each in fitting(flux, cuda)] == [*CACHES]
    assert fitting(unet, cuda) == []
    assert [each.key for each in fitting(flux, cpu, tiled=True)] == [Speedup.COMPILE]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert {each.key for each in fitting(unet, cuda)} == {
        Speedup.XFORMERS,
        Speedup.TOKEN_MERGING,
        Speedup.COMPILE,
        Speedup.TENSORRT,
    }
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert Speedup.COMPILE not in {each.key for each in fitting(flux, cpu)}


@pytest.mark.parametrize(
    ("model", "keys", "words"),
    [
        ("sd", ["taylorseer"], "not for models of Stable Diffusion"),
        ("flux-dev", ["taylorseer", "first-block-cache"], "exclude each other"),
        ("sd", ["xformers"], "not installed"),
        ("sd", ["warp"], "must be"),
        ("flux-dev", ["taylorseer", "taylorseer"], "each once"),
    ],
)
def test_what_cannot_be_is_refused_before_the_queue(
    studio: Studio, model: str, keys: list[str], words: str
) -> None:
    def ask() -> None:
        request = validated(GenerationRequest, {"model": model, "speedups": keys})
        studio.services.queue.submit(request)

    with pytest.raises(RequestError, match=words) as refused:
        ask()
    assert refused.value.field == "speedups"


def test_what_remembers_the_picture_is_refused_for_tiles(studio: Studio) -> None:
    source = np.zeros((64, 64, 3), "u1")
    with pytest.raises(RequestError, match="tiles"):
        studio.upscale(source, **asked("flux-dev", *CACHES[:1], strength=0.5))


def test_another_device_is_refused_when_it_is_known(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: name == "torch_tensorrt" or real(name)
    )
    with pytest.raises(ModelError, match="not for the device cpu"):
        studio.make(**asked("flux-dev", Speedup.TENSORRT))
    assert studio.pixels(**asked("flux-dev")).std() > 0, "the model is still there"


# --- the record -----------------------------------------------------------------------------------


def test_a_picture_says_what_made_it_fast(studio: Studio) -> None:
    keys = (Speedup.TAYLORSEER, Speedup.COMPILE)
    [picture] = studio.make(**asked("flux-dev", *keys)).pictures
    assert 'Speed-ups: "taylorseer, compile"' in picture.infotext
    for found in (files.read(io.BytesIO(picture.data)), files.read_text(picture.infotext)):
        assert found.fields["speedups"] == keys
        assert not any("peed" in note for note in found.notes)


def test_a_speed_up_of_a_newer_version_is_told_of_and_left_out(studio: Studio) -> None:
    [picture] = studio.make(**asked("flux-dev")).pictures
    text = picture.infotext.replace("RNG:", "Speed-ups: warp, RNG:")
    found = files.read_text(text)
    assert "speedups" not in found.fields
    assert any("'warp'" in note and "left out" in note for note in found.notes)

"""Every family on every rung: the same pictures, and nothing left of it afterwards."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import accelerate.utils
import numpy as np
import pytest
import torch
from recorder import Recorder, Studio
from tiny_models import FAMILIES

from studio.context import ModelSpec, Rung
from studio.models import ladder
from studio.models.ladder import take_off

SIDE = 64
MOVING = (Rung.ENCODERS_OFF, Rung.MODEL_OFFLOAD, Rung.SEQUENTIAL_OFFLOAD)
"""Rungs that leave weights off the device; here a CPU is both, and all else of them is the same."""


@dataclass
class OnRungs(Recorder):
    """A context whose models stand on rungs that nobody asked for."""

    rungs: tuple[Rung, ...] = ()

    def borrow(self, spec: ModelSpec) -> AbstractContextManager[Any]:
        return super().borrow(replace(spec, rungs=self.rungs))


def made_on(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, rungs: tuple[Rung, ...], key: str
) -> list[np.ndarray]:
    """A picture of a text, one of a picture, and one with a hole painted."""
    import recorder as module

    monkeypatch.setattr(
        module, "Recorder", lambda services, on_check: OnRungs(services, on_check, rungs=rungs)
    )
    source = np.random.default_rng(5).integers(0, 256, (SIDE, SIDE, 3), dtype="u1")
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[16:48, 16:48] = True
    fields = {"model": key, "prompt": "a (blue:1.3) car", "cfg_scale": 3, "steps": 3, "seed": 4}
    return [
        studio.pixels(**fields, width=SIDE, height=SIDE, preview_every=1),
        studio.edit(source, strength=0.7, **fields).images[0],
        studio.edit(source, mask, strength=1.0, **fields).images[0],
    ]


@pytest.mark.parametrize("key", list(FAMILIES))
def test_rungs_change_where_weights_are_and_no_pixel(
    all_families: Studio, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    expected = made_on(all_families, monkeypatch, (), key)
    for rung in (*MOVING, Rung.VAE_SLICING):
        made = made_on(all_families, monkeypatch, (rung,), key)
        for mine, other in zip(made, expected, strict=True):
            assert np.array_equal(mine, other), rung
    again = made_on(all_families, monkeypatch, (), key)
    for mine, other in zip(again, expected, strict=True):
        assert np.array_equal(mine, other)
    with all_families.borrow(key) as pipe:
        assert not any(hasattr(part, "_hf_hook") for part in networks(pipe))
        assert all(p.device.type == "cpu" for part in networks(pipe) for p in part.parameters())


@pytest.mark.parametrize("key", ["sd1", "sdxl", "sd3", "flux-dev"])
def test_moving_rungs_really_take_hold(all_families: Studio, key: str) -> None:
    """Equal pixels alone would also come of rungs that do nothing."""
    borrow = all_families.services.engine.models.borrow
    hooked: dict[Rung, set[str]] = {}
    for rung in MOVING:
        with borrow(ModelSpec("diffusion", key, "text2image", rungs=(rung,))) as pipe:
            parts = {n: p for n, p in pipe.components.items() if isinstance(p, torch.nn.Module)}
            hooked[rung] = {name for name, part in parts.items() if hasattr(part, "_hf_hook")}
            away = {n for n, p in parts.items() if next(p.parameters()).device.type == "meta"}
            assert away == (set(parts) if rung is Rung.SEQUENTIAL_OFFLOAD else set())
    assert hooked[Rung.MODEL_OFFLOAD] == hooked[Rung.SEQUENTIAL_OFFLOAD] == set(parts)
    assert hooked[Rung.ENCODERS_OFF] == set(parts) - {"vae"}


@pytest.mark.parametrize("key", ["sd1", "sdxl"])
def test_attention_in_slices_and_decoding_in_tiles_are_nearly_the_same(
    all_families: Studio, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    expected = made_on(all_families, monkeypatch, (), key)
    made = made_on(all_families, monkeypatch, (Rung.ATTENTION_SLICING,), key)
    for mine, other in zip(made, expected, strict=True):
        assert np.abs(mine.astype(int) - other).max() <= 2
    with all_families.services.engine.models.borrow(
        ModelSpec("diffusion", key, "text2image", rungs=(Rung.VAE_TILING,))
    ) as pipe:
        assert pipe.vae.use_tiling
    with all_families.borrow(key) as pipe:
        assert not pipe.vae.use_tiling
        kinds = {type(each).__name__ for each in pipe.unet.attn_processors.values()}
        assert kinds == {"AttnProcessor2_0"}


def networks(pipe: Any) -> list[torch.nn.Module]:
    return [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]


def test_guests_come_when_they_work_and_leave_for_others(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each part is, is kept by hand here: a CPU cannot tell itself from main memory."""
    with studio.borrow() as pipe:
        parts = {"text": pipe.text_encoder, "unet": pipe.unet, "vae": pipe.vae}
        here: set[str] = set(parts)
        most = [0]

        def elsewhere(module: torch.nn.Module, device: str) -> bool:
            name = next(name for name, part in parts.items() if part is module)
            return (name in here) is (device == "cpu")

        def moved(name: str) -> Any:
            def to(where: str) -> None:
                (here.discard if where == "cpu" else here.add)(name)
                most[0] = max(most[0], len(here))

            return to

        monkeypatch.setattr(ladder, "_elsewhere", elsewhere)
        monkeypatch.setattr(accelerate.utils, "send_to_device", lambda given, device: given)
        for name, part in parts.items():
            part.__dict__["to"] = moved(name)
        try:
            ladder._as_guests(list(parts.values()), list(parts.values()), "device")
            assert here == set()
            most[0] = 0
            with torch.inference_mode():
                tokens = torch.zeros(1, 77, dtype=torch.long)
                states = pipe.text_encoder(tokens)[0]
                assert here == {"text"}
                latents = torch.zeros(1, pipe.unet.config.in_channels, 16, 16)
                for _ in range(2):
                    pipe.unet(latents, 5, states)
                    assert here == {"unet"}
                pipe.vae.decode(latents)
                assert here == {"vae"}
            assert most[0] == 1, "two are never there at once"
        finally:
            for part in parts.values():
                part.__dict__.pop("to", None)
            take_off(pipe)

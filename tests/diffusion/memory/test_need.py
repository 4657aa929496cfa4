"""What a job needs, as counted without numbers, against what the real networks allocate."""

import gc
import itertools

import pytest
import torch
from recorder import Studio
from tiny_models import FAMILIES

from studio.context import Rung
from studio.diffusion.memory import need
from studio.diffusion.memory.allocations import Allocations, most_bytes
from studio.diffusion.memory.need import Shape, needs, work_bytes
from studio.models.devices import Device

CPU = Device("cpu", "CPU", "float32")
GPU = Device("cuda:0", "GPU", "float32")
SIDE = 128


@pytest.mark.parametrize("key", list(FAMILIES))
def test_the_count_is_what_a_real_job_allocates(all_families: Studio, key: str) -> None:
    pictures = 3
    entry = all_families.services.catalogue.get(key)
    fields = {"model": key, "prompt": "a blue car", "cfg_scale": 3, "steps": 2}
    fields |= {"width": SIDE, "height": SIDE, "batch_size": pictures}
    all_families.make(**fields)  # loaded, so that only the work is counted
    gc.collect()
    with Allocations() as allocated:
        all_families.make(**fields)
    counted = work_bytes(entry, Shape((SIDE, SIDE), pictures), "float32", ()) / need._MARGIN
    # The job also keeps text states, latents, noise and the pictures themselves.
    assert 0.9 * counted <= allocated.most <= 1.1 * counted + 2 * 10**6


def test_a_large_picture_is_counted_in_a_moment_and_without_memory(studio: Studio) -> None:
    entry = studio.services.catalogue.get("")
    before = work_bytes(entry, Shape((SIDE, SIDE)), "float32", ())
    after = work_bytes(entry, Shape((8192, 8192), 64), "float32", ())
    assert after > before * 64**2 * 32


def test_half_precision_halves_the_work(studio: Studio) -> None:
    entry = studio.services.catalogue.get("")
    whole = work_bytes(entry, Shape((1024, 1024)), "float32", ())
    half = work_bytes(entry, Shape((1024, 1024)), "float16", ())
    assert half == pytest.approx(whole / 2, rel=0.35), "pixels stay in float32"


def test_the_ladder_goes_down_rung_by_rung(all_families: Studio) -> None:
    entry = all_families.services.catalogue.get("sdxl")
    ladder = list(needs(entry, Shape((512, 512), 4, encodes=True), GPU, free=0))
    assert ladder[0].rungs == ()
    works = [each.work for each in ladder]
    assert works == sorted(works, reverse=True)
    assert works[-1] < works[0] / 3
    for lower, upper in itertools.pairwise(ladder):
        assert set(lower.rungs) < set(upper.rungs), "what is taken once is kept"
    assert set(ladder[-1].rungs) >= {
        Rung.ENCODERS_OFF,
        Rung.MODEL_OFFLOAD,
        Rung.SEQUENTIAL_OFFLOAD,
        Rung.ONE_BY_ONE,
    }
    assert Rung.ATTENTION_SLICING not in ladder[-1].rungs, "it saves nothing beside fused attention"


def test_a_cpu_has_no_place_to_move_weights_to(all_families: Studio) -> None:
    entry = all_families.services.catalogue.get("sdxl")
    (*_, last) = needs(entry, Shape((512, 512), 4), CPU, free=0)
    assert Rung.ONE_BY_ONE in last.rungs
    assert not {Rung.ENCODERS_OFF, Rung.MODEL_OFFLOAD, Rung.SEQUENTIAL_OFFLOAD} & set(last.rungs)


def test_attention_in_slices_helps_where_scores_are_held(studio: Studio) -> None:
    entry = studio.services.catalogue.get("")
    apple = Device("mps", "Apple GPU", "float32")
    ladder = list(needs(entry, Shape((1024, 1024)), apple, free=1 << 60))
    assert ladder[0].work > 0, "attention over all pixels is never taken for little"
    assert ladder[1].rungs == (Rung.ATTENTION_SLICING,)
    assert ladder[1].work < ladder[0].work / 2


def test_tiles_are_bounded_by_the_tile(all_families: Studio) -> None:
    entry = all_families.services.catalogue.get("sd1")
    rungs = (Rung.VAE_TILING,)
    small, large = (
        need._coding(
            need._Plan(entry, need.blueprint(entry, "float32"), True), size, 1, 64, decodes=True
        )
        for size in ((64, 64), (1024, 1024))
    )
    assert large - small == 1024 * 1024 * need._DECODED
    assert work_bytes(entry, Shape((1024, 1024), 1), "float32", rungs) > 0


def test_where_memory_is_plenty_nothing_is_counted(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(need, "work_bytes", None)
    entry = studio.services.catalogue.get("")
    assert next(iter(needs(entry, Shape((SIDE, SIDE)), CPU, free=10**10))).work == 0


def test_allocations_are_counted_until_they_are_freed() -> None:
    with Allocations() as allocated:
        first = torch.zeros(1000)
        view = first[10:20]
        second = first + 1
        assert allocated.now == 8000
        del first
        assert allocated.now == 8000, "a view keeps it"
        del view
        assert allocated.now == 4000
        del second
    assert (allocated.now, allocated.most) == (0, 8000)


def test_a_limit_refuses_like_a_device() -> None:
    with Allocations(limit=5000):
        kept = torch.zeros(1000)
        with pytest.raises(torch.OutOfMemoryError, match="4000 bytes with 4000 of 5000"):
            torch.zeros(1000)
        del kept
        assert torch.zeros(1000).sum() == 0


@pytest.mark.parametrize("fused", [False, True])
def test_attention_with_and_without_its_scores(fused: bool) -> None:
    def attend() -> torch.Tensor:
        states = torch.empty(1, 2, 512, 16, device="meta")
        return torch.nn.functional.scaled_dot_product_attention(states, key=states, value=states)

    scores = 2 * 512 * 512 * 4
    assert (most_bytes(attend, fused=fused) < scores) is fused

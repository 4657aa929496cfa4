"""Which number format a training takes by itself."""

import pytest
import torch

from studio.requests import validated
from studio.training.assembly import accelerator_of, is_fast_in_bfloat16
from studio.training_requests import TrainRequest


def asked(**fields) -> TrainRequest:
    return validated(TrainRequest, {"name": "x", "pictures": "p", **fields})


@pytest.mark.parametrize("able", [True, False])
def test_loras_learn_in_bfloat16_where_the_processor_multiplies_in_it(monkeypatch, able):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for support in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, support, lambda: able)
    assert is_fast_in_bfloat16(asked()) is able
    assert is_fast_in_bfloat16(asked(method="dreambooth")) is able
    for whole in ({"method": "full"}, {"method": "dreambooth", "whole": True}):
        assert not is_fast_in_bfloat16(asked(**whole)), "all weights would be converted anew"


@pytest.mark.parametrize("able", [True, False])
def test_a_gpu_decides_for_all_methods(monkeypatch, able):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: able)
    for method in ("lora", "full", "textual-inversion"):
        fields = {"trigger": "sks"} if method == "textual-inversion" else {}
        assert is_fast_in_bfloat16(asked(method=method, **fields)) is able


def test_a_process_trains_twice_each_time_in_another_format():
    for precision, told in (("bfloat16", "bf16"), ("float32", "no"), ("bfloat16", "bf16")):
        assert accelerator_of(asked(precision=precision, threads=1)).mixed_precision == told

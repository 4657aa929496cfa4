"""Which number format a training takes by itself."""

import pytest
import torch

from studio.models import devices
from studio.requests import validated
from studio.training.assembly import accelerator_of, is_fast_in_bfloat16
from studio.training_requests import TrainRequest


def asked(**fields) -> TrainRequest:
    return validated(TrainRequest, {"name": "x", "pictures": "p", **fields})


@pytest.mark.parametrize(
    ("able", "faster"), [(True, "bfloat16"), (True, "float32"), (False, "bfloat16")]
)
def test_loras_learn_in_bfloat16_where_the_processor_is_faster_in_it(
    monkeypatch, tmp_path, able, faster
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: able)
    monkeypatch.setattr(devices, "faster_cpu_dtype", lambda: faster)
    pays = able and faster == "bfloat16"
    assert is_fast_in_bfloat16(asked(), tmp_path) is pays
    assert is_fast_in_bfloat16(asked(method="dreambooth"), tmp_path) is pays
    for whole in ({"method": "full"}, {"method": "dreambooth", "whole": True}):
        assert not is_fast_in_bfloat16(asked(**whole), tmp_path), (
            "all weights would be converted anew"
        )


def test_the_server_and_its_trainings_share_what_was_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: True)
    results = ["bfloat16", "float32"]
    monkeypatch.setattr(devices, "faster_cpu_dtype", lambda: results.pop(0))
    assert devices.choose_device("cpu", "auto", tmp_path / devices.NOTES).dtype == "bfloat16"
    assert is_fast_in_bfloat16(asked(), tmp_path)
    assert results == ["float32"]


@pytest.mark.parametrize("able", [True, False])
def test_a_gpu_decides_for_all_methods(monkeypatch, tmp_path, able):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: able)
    for method in ("lora", "full", "textual-inversion"):
        fields = {"trigger": "sks"} if method == "textual-inversion" else {}
        assert is_fast_in_bfloat16(asked(method=method, **fields), tmp_path) is able


def test_a_process_trains_twice_each_time_in_another_format(tmp_path):
    for precision, told in (("bfloat16", "bf16"), ("float32", "no"), ("bfloat16", "bf16")):
        made = accelerator_of(asked(precision=precision, threads=1), tmp_path)
        assert made.mixed_precision == told

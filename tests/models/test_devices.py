"""Devices and number formats, on machines that are told to have other hardware than they do."""

import json
import platform
import re
from pathlib import Path

import psutil
import pytest
import torch

from studio.errors import SettingsError
from studio.models import devices
from studio.models.devices import Device, automatic_budget, choose_device, memory, release_cached
from studio.services import build_services
from studio.settings import Settings


class Backend:
    """What torch.cuda and torch.xpu tell of their hardware."""

    def __init__(self, name: str, count: int = 1, capability: tuple[int, int] = (8, 6)):
        self.name = name
        self.count = count
        self.capability = capability

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        backend = getattr(torch, self.name)
        monkeypatch.setattr(backend, "is_available", lambda: self.count > 0)
        monkeypatch.setattr(backend, "device_count", lambda: self.count)
        monkeypatch.setattr(backend, "get_device_name", lambda name: f"Fast {name}")
        monkeypatch.setattr(backend, "mem_get_info", lambda name: (3 * 10**9, 8 * 10**9))
        monkeypatch.setattr(backend, "get_device_capability", lambda name: self.capability)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with nothing but a plain CPU."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: False)
    for name in ("cuda", "xpu"):
        Backend(name, count=0).install(monkeypatch)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "device.json"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A CPU with bfloat16, and what measurements on it give, first to last."""
    results = ["bfloat16"]
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: True)
    monkeypatch.setattr(devices, "faster_cpu_dtype", lambda: results.pop(0))
    return results


def test_a_plain_cpu(notes):
    device = choose_device("auto", "auto", notes)
    assert (device.name, device.dtype, device.sort) == ("cpu", "float32", "cpu")
    assert re.search(r"\b(1 thread|\d+ threads)$", device.label)
    assert not notes.exists(), "there was nothing to measure"


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((6, 1), "float16"), ((7, 5), "float16"), ((8, 0), "bfloat16"), ((12, 0), "bfloat16")],
)
def test_cuda_takes_bfloat16_where_it_has_it(monkeypatch, notes, capability, dtype):
    Backend("cuda", capability=capability).install(monkeypatch)
    device = choose_device("auto", "auto", notes)
    assert device == Device("cuda:0", "Fast cuda:0", dtype)


def test_the_capability_is_that_of_the_chosen_card(monkeypatch, notes):
    Backend("cuda", count=2).install(monkeypatch)
    capabilities = {"cuda:0": (8, 9), "cuda:1": (7, 0)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.__getitem__)
    assert choose_device("cuda", "auto", notes).dtype == "bfloat16"
    assert choose_device("cuda:1", "auto", notes) == Device("cuda:1", "Fast cuda:1", "float16")


def test_xpu_and_mps(monkeypatch, notes):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto", "auto", notes) == Device("mps", "Apple GPU", "float16")
    Backend("xpu").install(monkeypatch)
    assert choose_device("auto", "auto", notes) == Device("xpu:0", "Fast xpu:0", "bfloat16")
    assert choose_device("mps", "auto", notes).name == "mps"


def test_the_fastest_is_chosen_and_any_can_be_named(monkeypatch, notes):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    Backend("xpu").install(monkeypatch)
    Backend("cuda", count=2).install(monkeypatch)
    chosen = {w: choose_device(w, "auto", notes).name for w in ("auto", "cpu", "xpu", "cuda:1")}
    assert chosen == {"auto": "cuda:0", "cpu": "cpu", "xpu": "xpu:0", "cuda:1": "cuda:1"}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_named_format_is_taken_and_nothing_is_measured(notes, measured, dtype):
    assert choose_device("cpu", dtype, notes).dtype == dtype
    assert measured == ["bfloat16"]
    assert not notes.exists()


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0", "xpu", "mps", "cuda:7"])
def test_a_device_that_is_not_there(notes, wanted):
    with pytest.raises(SettingsError) as caught:
        choose_device(wanted, "auto", notes)
    assert str(caught.value) == (
        f"Setting device (ATELIER_DEVICE) is {wanted!r}, but this machine has cpu; "
        "choose one of these or auto."
    )


def test_a_card_beyond_the_last_is_told_which_there_are(monkeypatch, notes):
    Backend("cuda", count=2).install(monkeypatch)
    with pytest.raises(SettingsError, match="has cuda:0, cuda:1, cpu"):
        choose_device("cuda:2", "auto", notes)


def test_a_device_that_is_not_there_stops_the_start(tmp_path):
    with pytest.raises(SettingsError, match="ATELIER_DEVICE"):
        build_services(Settings(data_dir=tmp_path, device="cuda"))


# What was measured is remembered


@pytest.mark.parametrize("faster", ["bfloat16", "float32"])
def test_a_cpu_with_bfloat16_is_measured_once(notes, measured, faster):
    measured[:] = [faster, "never asked"]
    assert choose_device("auto", "auto", notes).dtype == faster
    assert choose_device("auto", "auto", notes).dtype == faster
    assert measured == ["never asked"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff\xfe", b'{"other": "bfloat16"}']
)
def test_nonsense_in_the_notes_is_measured_anew(notes, measured, content):
    notes.write_bytes(content)
    assert choose_device("cpu", "auto", notes).dtype == "bfloat16"
    assert choose_device("cpu", "auto", notes).dtype == "bfloat16"


@pytest.mark.parametrize("value", ["float16", "nonsense", None, 5, [], {}])
def test_a_nonsense_value_in_the_notes_is_measured_anew(notes, measured, value):
    choose_device("cpu", "auto", notes)
    key = next(iter(json.loads(notes.read_text())))
    notes.write_text(json.dumps({key: value}))
    measured[:] = ["float32"]
    assert choose_device("cpu", "auto", notes).dtype == "float32"


def test_another_number_of_threads_is_another_measurement_and_both_are_kept(notes, measured):
    before = torch.get_num_threads()
    measured[:] = ["bfloat16", "float32"]
    try:
        seen = []
        for threads in (1, 2, 1, 2):
            torch.set_num_threads(threads)
            seen.append(choose_device("cpu", "auto", notes).dtype)
    finally:
        torch.set_num_threads(before)
    assert seen == ["bfloat16", "float32", "bfloat16", "float32"]


INTEL = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 207
model name\t: Intel(R) Xeon(R) Processor
stepping\t: 2

processor\t: 1
model\t\t: 9
"""
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\nempty\t:\n"


@pytest.mark.parametrize(
    ("told", "name"),
    [(INTEL, "Intel(R) Xeon(R) Processor 6 207 2"), (ARM, "0x41 0xd0c"), ("nonsense", "")],
)
def test_a_processor_is_told_from_another(tmp_path, told, name):
    facts = tmp_path / "cpuinfo"
    facts.write_text(told)
    assert devices.processor(facts) == (name or platform.machine())
    assert devices.processor(tmp_path / "gone")


def test_a_data_folder_that_moved_to_another_processor_is_measured_anew(
    notes, measured, monkeypatch
):
    measured[:] = ["bfloat16", "float32"]
    seen = []
    for name in ("one", "another", "one"):
        monkeypatch.setattr(devices, "processor", lambda name=name: name)
        seen.append(choose_device("cpu", "auto", notes).dtype)
    assert seen == ["bfloat16", "float32", "bfloat16"]


def test_a_machine_that_hides_amx_is_another_one(notes, measured, monkeypatch):
    measured[:] = ["bfloat16", "float32"]
    seen = []
    for amx in (True, False, True):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        seen.append(choose_device("cpu", "auto", notes).dtype)
    assert seen == ["bfloat16", "float32", "bfloat16"]


def test_notes_that_cannot_be_written_stop_nothing(tmp_path, measured, caplog):
    assert choose_device("cpu", "auto", tmp_path / "gone" / "device.json").dtype == "bfloat16"
    assert "measured again" in caplog.text


def test_the_measurement_names_one_of_the_two():
    assert devices.faster_cpu_dtype(rounds=1) in ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("half", "full", "expected"),
    [(0.5, 1.0, "bfloat16"), (0.95, 1.0, "float32"), (1.0, 1.0, "float32"), (2.0, 1.0, "float32")],
)
def test_bfloat16_must_win_by_a_tenth(monkeypatch, half, full, expected):
    seconds = {torch.bfloat16: half, torch.float32: full}
    monkeypatch.setattr(devices, "_trial", seconds.__getitem__)
    assert devices.faster_cpu_dtype() == expected


def test_the_cpu_is_asked_for_both_sorts_of_bfloat16(monkeypatch):
    monkeypatch.undo()
    for avx, amx in ((False, False), (True, False), (False, True)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        assert devices.cpu_has_bfloat16() is (avx or amx)


# Memory


def test_memory_of_the_machine():
    held = memory(Device("cpu", "CPU", "float32"))
    assert held.total == psutil.virtual_memory().total
    assert 0 < held.used < held.total
    assert automatic_budget(Device("cpu", "CPU", "float32")) == int(held.total * 0.6)


def test_memory_of_a_card(monkeypatch):
    Backend("cuda").install(monkeypatch)
    device = Device("cuda:0", "Fast", "bfloat16")
    assert memory(device) == devices.Memory(5 * 10**9, 8 * 10**9)
    assert automatic_budget(device) == int(7.2 * 10**9)


def test_memory_is_given_back_without_a_fault():
    release_cached(Device("cpu", "CPU", "float32"))

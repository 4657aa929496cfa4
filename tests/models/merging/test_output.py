"""Where new models go: names, room on the disk, stopping, and that nothing is left of a failure."""

import errno
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from making import Bench, Listener, tensors
from safetensors.torch import load_file, save_file

from studio.errors import AtelierError, Cancelled, ModelError, RequestError, StorageError
from studio.models.headers import read_header
from studio.models.merging.output import Writer

Take = Callable[..., None]
PAIRS = ("sd", "flux-dev-file")


def pair(key: str) -> dict[str, str]:
    return {"model_a": key, "model_b": f"{key}-b"}


# --- the writer -----------------------------------------------------------------------------------


def test_what_is_written_is_read_back_as_it_was(tmp_path: Path) -> None:
    given = {
        "odd": torch.arange(3, dtype=torch.uint8),
        "none": torch.zeros(0, 4),
        "scalar": torch.tensor(2.5),
        "half": torch.randn(3, 5).half(),
        "brain": torch.randn(7).bfloat16(),
        "eight": torch.randn(5).to(torch.float8_e4m3fn),
        "turned": torch.randn(4, 6).T,
        "ütf": torch.tensor([1, 2], dtype=torch.int64),
    }
    kinds = ("U8", "F32", "F32", "F16", "BF16", "F8_E4M3", "F32", "I64")
    path = tmp_path / "x.safetensors"
    with Writer(path, given, 100) as writer:
        for (name, tensor), kind in zip(given.items(), kinds, strict=True):
            writer.add(name, tensor, kind)
        writer.finish({"note": "ü" * 10})
    found = load_file(path)
    assert set(found) == set(given)
    for name, tensor in given.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name].float(), tensor.float()), name
    header = read_header(path)
    assert header.metadata == {"note": "ü" * 10}
    assert list(header.names) == list(given)


def test_names_that_did_not_come_leave_no_hole(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with Writer(path, [f"layer.{number}" for number in range(500)], 0) as writer:
        writer.add("layer.7", torch.ones(2), "F32")
        writer.finish({})
    assert set(load_file(path)) == {"layer.7"}


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/b",
        "..",
        ".hidden",
        "a\\b",
        "/etc/x",
        "a\x00",
        "end.",
        "x" * 101,
        "a\nb",
        "a:b",
    ],
)
def test_a_name_is_a_plain_one(bench: Bench, take: Take, name: str) -> None:
    take("sd", "sd-b")
    before = bench.left()
    with pytest.raises(RequestError) as caught:
        bench.merge(name=name, **pair("sd"))
    assert caught.value.field == "name"
    assert bench.left() == before


@pytest.mark.parametrize("name", ["mix 2", "v1.5-mix", "a+b", "mélange", "mix.safetensors"])
def test_names_that_people_give(bench: Bench, take: Take, name: str) -> None:
    take("sd", "sd-b")
    bench.merge(name=name, **pair("sd"))
    assert bench.catalogue.get(name.removesuffix(".safetensors")).problem == ""


@pytest.mark.parametrize("name", ["sd", "SD", "flux-dev-file", "sd-b", "loras", "ink", "deep"])
def test_what_is_there_is_never_written_over(bench: Bench, take: Take, name: str) -> None:
    take("sd", "sd-b", "flux-dev-file", "flux-dev-file-b")
    (bench.root / "loras").mkdir()
    (bench.root / "below").mkdir()
    os.link(bench.place("flux-dev-file"), bench.root / "below" / "deep.safetensors")
    save_file(
        {"lora_unet_x.lora_down.weight": torch.ones(2)}, bench.root / "loras" / "ink.safetensors"
    )
    before = bench.left()
    for key in PAIRS:
        with pytest.raises(AtelierError, match=r"choose another"):
            bench.merge(name=name, **pair(key))
    with pytest.raises(AtelierError, match=r"choose another"):
        bench.extract(name=name, tuned="sd", base="sd-b")
    assert bench.left() == before


@pytest.mark.parametrize("key", PAIRS)
def test_a_name_that_is_taken_meanwhile(bench: Bench, take: Take, key: str) -> None:
    """Somebody else puts a model of this name there while it is written."""
    take(key, f"{key}-b")
    file = key.endswith("file")
    place = bench.root / ("new.safetensors" if file else "new")

    def appear(check: int) -> None:
        if check == 40:
            if not file:
                place.mkdir()
            (place if file else place / "model_index.json").write_text("mine")

    with pytest.raises(AtelierError):
        bench.merge(Listener(appear), **pair(key))
    assert (place if file else place / "model_index.json").read_text() == "mine"


# --- stopping -------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 2, 30, 150])
@pytest.mark.parametrize("key", PAIRS)
def test_a_stop_leaves_nothing(bench: Bench, take: Take, key: str, at: int) -> None:
    take(key, f"{key}-b")
    before = bench.left()

    def stop(check: int) -> None:
        if check == at:
            raise Cancelled

    heard = Listener(stop)
    with pytest.raises(Cancelled):
        bench.merge(heard, **pair(key))
    assert heard.checks == at, "nothing goes on after it"
    assert bench.left() - before <= {".merging"}
    bench.merge(**pair(key))
    assert bench.catalogue.get("new").problem == ""


def test_there_is_a_check_for_every_tensor(bench: Bench, take: Take) -> None:
    take("sd", "sd-b")
    heard = bench.merge(**pair("sd"))
    assert heard.checks >= len(tensors(bench.place("new")))


def test_an_unfinished_model_is_nowhere_listed(bench: Bench, take: Take) -> None:
    take("sd", "sd-b")
    listed = []
    bench.merge(
        Listener(lambda check: listed.append([e.id for e in bench.catalogue.entries()])),
        **pair("sd"),
    )
    assert all(ids == ["sd", "sd-b"] for ids in listed)


def test_what_a_killed_server_left_is_swept_away(bench: Bench, take: Take) -> None:
    take("sd", "sd-b")
    dead, alive = (bench.root / ".merging" / name for name in ("dead", "alive"))
    for folder in (dead, alive):
        folder.mkdir(parents=True)
        (folder / "half.safetensors").write_bytes(b"x")
    with FileLock(alive / ".lock"):
        bench.merge(**pair("sd"))
        assert (alive / "half.safetensors").exists()
    assert not dead.exists()


# --- the disk -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", PAIRS)
def test_a_disk_without_room_is_told_of_before(
    bench: Bench, take: Take, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(key, f"{key}-b")
    before = bench.left()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 200_000_100))
    with pytest.raises(ModelError, match=r"needs [\d.]+ GB, but only 0\.2 GB are free"):
        bench.merge(**pair(key))
    assert bench.left() - before <= {".merging"}


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EIO, "Input")])
@pytest.mark.parametrize("key", PAIRS)
def test_a_disk_that_fills_up_meanwhile(
    bench: Bench, take: Take, key: str, code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(key, f"{key}-b")
    before = bench.left()
    real = Path.open

    class Full:
        """A stream that takes a header's room and then no more."""

        def __init__(self, stream):
            self._stream = stream

        def __getattr__(self, name):
            return getattr(self._stream, name)

        def write(self, data):
            raise OSError(code, os.strerror(code))

    def open_full(self, mode="r", *args, **kwargs):
        stream = real(self, mode, *args, **kwargs)
        return Full(stream) if mode == "xb" else stream

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(StorageError, match=words) as caught:
        bench.merge(**pair(key))
    assert "Could not write new" in str(caught.value)
    monkeypatch.undo()
    assert bench.left() - before <= {".merging"}


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it")
def test_memory_stays_at_a_few_tensors(bench: Bench, take: Take) -> None:
    """What the process holds of its own, at each tensor; pages of the parents' files are not."""
    take("sdxl-file", "sdxl-file-b", "sdxl-file-c")
    bench.merge(name="first", model_a="sdxl-file", model_b="sdxl-file-b")
    held: list[int] = []

    def own(_: int) -> None:
        status = Path("/proc/self/status").read_text()
        held.append(1024 * int(status.partition("RssAnon:")[2].split()[0]))

    names = {"model_a": "sdxl-file", "model_b": "sdxl-file-b", "model_c": "sdxl-file-c"}
    bench.merge(Listener(own), method="add difference", **names)
    largest = max(4 * tensor.numel() for tensor in tensors(bench.place("new")).values())
    total = bench.place("new").stat().st_size
    assert max(held) - held[0] < 6 * largest + 20_000_000
    assert total > 0

"""Pickles become safetensors files in a process of their own, and nothing else happens."""

import os
import pickle
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from original_files import single_file, tiny_pipeline
from safetensors.torch import load_file

from studio.errors import ModelError
from studio.models import unpickle
from studio.models.catalogue import Catalogue
from studio.models.convert import convert

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16)}


def same(path: Path, expected: dict[str, torch.Tensor]) -> bool:
    found = load_file(path)
    return set(found) == set(expected) and all(torch.equal(found[k], expected[k]) for k in found)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (WEIGHTS, WEIGHTS),
        ({"state_dict": WEIGHTS, "epoch": 3, "global_step": torch.tensor(5)}, WEIGHTS),
        ({"params_ema": WEIGHTS, "params": {"a": torch.zeros(1)}}, WEIGHTS),
        ({"state_dict": {"model": WEIGHTS}}, WEIGHTS),
        ({**WEIGHTS, "note": "x", "numbers": [1, 2]}, WEIGHTS),
        (
            {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.ones(2, 768)}},
            {"emb_params": torch.ones(2, 768)},
        ),
    ],
    ids=["plain", "checkpoint", "ema", "nested", "extras", "embedding"],
)
def test_the_weights_come_over(tmp_path: Path, data: Any, expected: dict) -> None:
    source = tmp_path / "old.ckpt"
    torch.save(data, source)
    made = convert(source)
    assert made == tmp_path / "old.safetensors"
    assert same(made, expected)
    assert source.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.ckpt", "old.safetensors"]


def test_tied_and_sliced_tensors_are_written_whole(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    torch.save({"a": base, "b": base, "c": base[:, 1:2].T}, tmp_path / "old.pt")
    assert same(convert(tmp_path / "old.pt"), {"a": base, "b": base, "c": base[:, 1:2].T})


def test_a_model_in_a_pickle_becomes_one_that_runs(tmp_path: Path) -> None:
    single_file(tiny_pipeline("sdxl-refiner"), tmp_path / "new.safetensors")
    weights = load_file(tmp_path / "new.safetensors")
    (tmp_path / "new.safetensors").unlink()
    torch.save({"state_dict": weights}, tmp_path / "old.ckpt")
    catalogue = Catalogue(tmp_path, embedded=Path("/nonexistent"))
    assert "is a pickle" in catalogue.get("old").problem
    convert(tmp_path / "old.ckpt")
    (entry,) = catalogue.entries()
    assert (entry.id, entry.problem, entry.family.key) == ("old", "", "sdxl-refiner")


class Payload:
    """A pickle that would do something when it is opened."""

    def __init__(self, function: Any, *arguments: Any):
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def test_a_pickle_with_code_does_nothing_and_is_refused(tmp_path: Path) -> None:
    hurt = tmp_path / "hurt"
    source = tmp_path / "bad.ckpt"
    for payload in (Payload(os.system, f"touch {hurt}"), Payload(os.mkdir, str(hurt))):
        torch.save({"a": payload}, source)
        with pytest.raises(ModelError) as caught:
            convert(source)
        assert "it holds more than plain weights: it calls posix." in str(caught.value)
        source.write_bytes(pickle.dumps({"a": payload}))
        with pytest.raises(ModelError, match=r"bad\.ckpt could not be converted"):
            convert(source)
    assert not hurt.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["bad.ckpt"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is damaged"),
        (b"hello" * 99, "is damaged"),
        ([1, 2], "no named weights"),
        ({"a": 1}, "no named weights"),
        (torch.ones(3), "no named weights"),
    ],
    ids=str,
)
def test_files_that_hold_no_weights(tmp_path: Path, content: Any, words: str) -> None:
    if isinstance(content, bytes):
        (tmp_path / "odd.bin").write_bytes(content)
    else:
        torch.save(content, tmp_path / "odd.bin")
    with pytest.raises(ModelError, match=words):
        convert(tmp_path / "odd.bin")


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "old.ckpt")
    (tmp_path / "old.safetensors").write_bytes(b"mine")
    with pytest.raises(ModelError, match=r"There is a old\.safetensors already"):
        convert(tmp_path / "old.ckpt")
    assert (tmp_path / "old.safetensors").read_bytes() == b"mine"
    with pytest.raises(ModelError, match="is no pickle"):
        convert(tmp_path / "old.safetensors")


def test_one_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "old.ckpt")
    with pytest.raises(ModelError, match="within 0 minutes"):
        convert(tmp_path / "old.ckpt", seconds=0.05)
    assert [path.name for path in tmp_path.iterdir()] == ["old.ckpt"]


def test_its_process_reaches_no_network() -> None:
    """Neither by Python's sockets nor, on Linux, at all."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        code = (
            "import socket, sys; sys.path.insert(0, sys.argv[1]); import unpickle;"
            "unpickle.leave_network(); unpickle.forbid();"
            "socket.create_connection(('127.0.0.1', int(sys.argv[2])), 2)"
        )
        folder = str(Path(unpickle.__file__).parent)
        port = str(listener.getsockname()[1])
        command = [sys.executable, "-I", "-c", code, folder, port]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "is not allowed here" in run.stderr


def test_two_at_once_do_not_meet(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "old.ckpt")
    faults: list[Exception] = []

    def go() -> None:
        try:
            convert(tmp_path / "old.ckpt")
        except ModelError as error:
            faults.append(error)

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(faults) <= 1
    assert same(tmp_path / "old.safetensors", WEIGHTS)

"""Checksums are worked out once for each content of a file."""

import hashlib
import os
from pathlib import Path

import pytest

from studio.models import hashes
from studio.models.hashes import Hashes, body_hashes, legacy_hash


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that files were read."""
    counted: list[int] = []
    real = hashes.sha256
    monkeypatch.setattr(hashes, "sha256", lambda *given: (counted.append(1), real(*given))[1])
    return counted


def test_it_is_the_files_sum_read_once(tmp_path: Path, reads: list[int]) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode() * 9)
    files = [tmp_path / "a", tmp_path / "b"]
    memory = tmp_path / "cache" / "hashes.json"
    expected = hashlib.sha256(b"a" * 9 + b"b" * 9).hexdigest()
    for known in (Hashes(memory), Hashes(memory), Hashes()):
        assert known.of(files) == known.of(files) == expected
    assert len(reads) == 2, "the first and the one without a memory"


def test_another_content_is_read_anew(tmp_path: Path, reads: list[int]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    known = Hashes()
    first = known.of([path])
    path.write_bytes(b"two")
    os.utime(path, (1, 1))
    assert known.of([path]) != first
    assert len(reads) == 2


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"a": 1}', b"\xff"])
def test_a_damaged_memory_is_no_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hashes.json").write_bytes(content)
    (tmp_path / "a").write_bytes(b"x")
    assert len(Hashes(tmp_path / "hashes.json").of([tmp_path / "a"])) == 64


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    known = Hashes(tmp_path / "file" / "hashes.json")
    assert len(known.of([tmp_path / "file"])) == 64


def test_the_old_hash_is_of_a_piece(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "model").write_bytes(data)
    pieces = (data[n : n + 1000] for n in range(100, len(data), 1000))
    found = body_hashes(pieces, data[:100])
    assert found["sshs_legacy_hash"] == legacy_hash(tmp_path / "model")
    whole = body_hashes([data[100:]], data[:100])
    assert whole == found
    assert body_hashes([data[101:]], data[:101])["sshs_model_hash"] != found["sshs_model_hash"]


def test_what_is_known_is_told_without_reading(tmp_path: Path, reads: list[int]) -> None:
    path, memory = tmp_path / "a", tmp_path / "cache" / "hashes.json"
    path.write_bytes(b"one")
    known = Hashes(memory)
    assert known.known([path]) == ""
    assert not reads
    digest = known.of([path])
    assert known.known([path]) == Hashes(memory).known([path]) == digest
    assert len(reads) == 1

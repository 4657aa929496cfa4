"""TensorBoard's files: each record as the library itself writes and reads it.

The bytes that are wanted here are what tensorboard 2.21 made of the same events; its own readers
were shown files of this writer, whole, cut off and gone on with.
"""

import io
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from studio.errors import StorageError
from studio.training.tensorboard import EventFile, crc32c, record

FULL = Path("/dev/full")
SCALAR = "10ac022a0d0a0b0a046c6f7373150000803e"
TEXT = "2a200a1e0a046e6f7465420c0807120412020801420268694a080a060a0474657874"
START = "101f3a020801"
VERSION = "1a0d627261696e2e4576656e743a32"


def png(colour=(255, 0, 0), mode="RGB"):
    stream = io.BytesIO()
    Image.new(mode, (40, 30), colour).save(stream, "PNG")
    return stream.getvalue()


def records(data):
    """The events of a file without their times, each as its framing and its checksums say."""
    found = []
    while len(data) >= 12:
        (length,) = struct.unpack("<Q", data[:8])
        if len(data) < 16 + length:
            break
        body = data[12 : 12 + length]
        assert record(body) == data[: 16 + length]
        assert body[0] == 0x09
        found.append(body[9:].hex())
        data = data[16 + length :]
    return found


def files(folder):
    return sorted(folder.iterdir())


def events(folder, place=0):
    return records(files(folder)[place].read_bytes())


def test_the_checksum_is_castagnolis():
    assert crc32c(b"") == 0
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_a_record_is_framed_as_theirs():
    body = bytes.fromhex("09000000000000f83f" + SCALAR)
    assert record(body)[-4:] == struct.pack("<I", 0xEDDE0899)


def test_events_are_their_bytes(tmp_path):
    with EventFile(tmp_path / "a", step=30) as file:
        file.scalars(300, {"loss": 0.25})
        file.text(0, "note", "hi")
    assert events(tmp_path / "a") == [VERSION, START, SCALAR, TEXT]


@pytest.mark.parametrize(
    ("mode", "colour", "channels"), [("RGB", (1, 2, 3), 3), ("L", 7, 1), ("RGBA", (1, 2, 3, 4), 4)]
)
def test_a_picture_goes_as_it_is(mode, colour, channels, tmp_path):
    picture = png(colour, mode)
    with EventFile(tmp_path) as file:
        file.image(7, "s", picture)
    (found,) = events(tmp_path)[2:]
    assert found.startswith("10072a")
    assert f"081e1028180{channels}22" in found
    assert found.endswith(picture.hex())


def test_what_is_no_png_is_no_picture(tmp_path):
    with EventFile(tmp_path) as file, pytest.raises(ValueError, match="PNG"):
        file.image(1, "s", b"RIFF....WEBP")


@given(st.floats(width=32) | st.floats(), st.integers(0, 2**62), st.text())
def test_any_number_can_be_shown(tmp_path_factory, value, step, name):
    folder = tmp_path_factory.mktemp("any")
    name = name.encode("utf-8", "ignore").decode()
    with EventFile(folder) as file:
        file.scalars(step, {name: value, "other": 1.0})
    (found,) = events(folder)[2:]
    assert found.endswith(struct.pack("<f", 1.0).hex())
    before = bytes.fromhex(found)[:-14]
    (shown,) = struct.unpack("<f", before[-4:])
    if math.isnan(value):
        assert math.isnan(shown)
    else:
        assert (
            shown == value
            or (abs(value) > 3e38 and math.isinf(shown))
            or (abs(shown - value) <= 1e-6 * abs(value) + 1e-44)
        )


def test_what_is_written_is_there_at_once(tmp_path):
    file = EventFile(tmp_path)
    file.scalars(1, {"loss": 1.0})
    assert len(events(tmp_path)) == 3
    file.close()
    file.close()


def test_a_run_that_goes_on_takes_a_file_of_its_own_which_takes_back_later_steps(tmp_path):
    first = EventFile(tmp_path)
    for step in range(1, 4):
        first.scalars(step, {"loss": 1.0})
    first.close()
    before = files(tmp_path)[0].read_bytes()
    with EventFile(tmp_path, step=30) as second:
        second.scalars(31, {"loss": 2.0})
    assert len(files(tmp_path)) == 2
    assert files(tmp_path)[0].read_bytes() == before
    assert events(tmp_path, 1)[:2] == [VERSION, START]


def test_files_stand_in_their_order_though_the_clock_goes_back(tmp_path):
    late = tmp_path / "events.out.tfevents.9000000000.other.1"
    late.touch()
    EventFile(tmp_path).close()
    assert files(tmp_path)[0] == late
    assert files(tmp_path)[1].name.startswith("events.out.tfevents.9000000001.")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="write curves into"):
        EventFile(tmp_path / "file")


@pytest.mark.skipif(not FULL.exists(), reason="needs Linux's full device")
def test_a_full_disk_is_said(tmp_path):
    file = EventFile(tmp_path)
    file._stream.close()
    file._stream = FULL.open("wb", buffering=0)
    with pytest.raises(StorageError, match="the disk is full"):
        file.scalars(1, {"loss": 1.0})
    file._stream.close()

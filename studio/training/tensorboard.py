"""What TensorBoard reads, written without its library: curves, samples and the run's settings.

The library takes 60 MB with what it needs, of which a run would use three kinds of record. They
are protocol buffers (Event, tensorboard/compat/proto/event.proto) in TFRecords, as in
https://github.com/tensorflow/tensorboard and
https://www.tensorflow.org/tutorials/load_data/tfrecord: length, its checksum, data, its checksum.
"""

import math
import os
import re
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from studio.errors import from_os_error

FOLDER = "tensorboard"
_NAME = re.compile(r"events\.out\.tfevents\.(\d+)\.")
_VERSION = b"brain.Event:2"
_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""By a PNG's colour type."""
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
_WALL_TIME, _STEP, _FILE_VERSION, _SUMMARY, _SESSION_LOG = 1, 2, 3, 5, 7
_STRING = 7
_START = 1
_POLYNOMIAL = 0x82F63B78


class EventFile:
    """A file of events in a folder, which TensorBoard shows as one run with the files before it.

    step: of the checkpoint that a run goes on from; what files before this one say of later steps
    was lost with the process and is not shown. Every method raises StorageError when the disk
    refuses.
    """

    def __init__(self, folder: Path, step: int = 0):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            before = [
                int(found[1]) for file in folder.iterdir() if (found := _NAME.match(file.name))
            ]
            # TensorBoard goes on to the file that is next by name, whatever the clock has done.
            stamp = max([int(time.time()), *(seconds + 1 for seconds in before)])
            self._path = folder / f"events.out.tfevents.{stamp:010}.atelier.{os.getpid()}"
            self._stream: BinaryIO = self._path.open("xb")
        except OSError as error:
            raise from_os_error(error, f"write curves into {folder}") from None
        self._add(0, _field(_FILE_VERSION, _VERSION))
        # Of several such marks each but the first takes back what was said of its step and later.
        self._add(step + 1, _field(_SESSION_LOG, _number(1, _START)))

    def __enter__(self) -> "EventFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Points of curves, by the curves' names; a "/" in a name makes a group of them."""
        parts = [
            _field(
                1, _field(1, name.encode()) + _tag(2, _FLOAT) + struct.pack("<f", _single(value))
            )
            for name, value in values.items()
        ]
        self._add(step, _field(_SUMMARY, b"".join(parts)))

    def image(self, step: int, tag: str, png: bytes) -> None:
        """A picture. png: the bytes of a PNG file; ValueError for others."""
        if not png.startswith(_PNG) or len(png) < 26:
            raise ValueError("TensorBoard's pictures are PNG files")
        width, height = struct.unpack(">II", png[16:24])
        picture = _number(1, height) + _number(2, width) + _number(3, _CHANNELS[png[25]])
        value = _field(1, tag.encode()) + _field(4, picture + _field(4, png))
        self._add(step, _field(_SUMMARY, _field(1, value)))

    def text(self, step: int, tag: str, markdown: str) -> None:
        """A note, as of the run's settings."""
        one = _field(2, _number(1, 1))
        tensor = _number(1, _STRING) + _field(2, one) + _field(8, markdown.encode())
        plugin = _field(1, _field(1, b"text"))
        value = _field(1, tag.encode()) + _field(8, tensor) + _field(9, plugin)
        self._add(step, _field(_SUMMARY, _field(1, value)))

    def flush(self) -> None:
        """Have all on the disk, whatever happens to the machine."""
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise from_os_error(error, f"write {self._path}") from None

    def close(self) -> None:
        """Flush, and write no more."""
        if not self._stream.closed:
            try:
                self.flush()
            finally:
                self._stream.close()

    def _add(self, step: int, what: bytes) -> None:
        event = _tag(_WALL_TIME, _DOUBLE) + struct.pack("<d", time.time())
        event += (_number(_STEP, step) if step else b"") + what
        try:
            self._stream.write(record(event))
            # So that a process that is killed takes nothing with it.
            self._stream.flush()
        except OSError as error:
            raise from_os_error(error, f"write {self._path}") from None


def record(data: bytes) -> bytes:
    """Data as a TFRecord."""
    length = struct.pack("<Q", len(data))
    return b"".join(
        (length, struct.pack("<I", _masked(length)), data, struct.pack("<I", _masked(data)))
    )


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum (RFC 3720, appendix B.4), which Python's zlib has not."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _masked(data: bytes) -> int:
    """Turned and shifted, as a checksum of data that holds checksums is weak."""
    value = crc32c(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _table() -> tuple[int, ...]:
    entries = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
        entries.append(byte)
    return tuple(entries)


_TABLE = _table()


def _single(value: float) -> float:
    """A number as single precision has it: what is too large is infinite."""
    return math.copysign(math.inf, value) if abs(value) > 3.4028235e38 else value


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _tag(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _number(field: int, number: int) -> bytes:
    return _tag(field, _VARINT) + _varint(number)


def _field(field: int, data: bytes) -> bytes:
    return _tag(field, _BYTES) + _varint(len(data)) + data

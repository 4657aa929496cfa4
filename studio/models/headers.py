"""What a safetensors file says of itself before its data: names, shapes, number formats, notes.

Source: the format's description, https://huggingface.co/docs/safetensors: eight bytes of
little-endian header length, a JSON header, then the data that the header's offsets span.
"""

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson

Shape = tuple[int, ...]
_LONGEST = 100_000_000
_NONSENSE = (ValueError, struct.error, LookupError, TypeError, AttributeError, RecursionError)


class HeaderError(ValueError):
    """A file is no safetensors file, or only the beginning of one; the message follows its name."""


class Header:
    """A file's tensors by name, without their data.

    metadata: notes of whoever wrote it. size: bytes that the whole file should have. Shapes,
    number formats ("F16", "F8_E4M3") and spans are worked out when first asked for: most files are
    only recognised by some of their names.
    """

    def __init__(self, tensors: Mapping[str, Any], metadata: Mapping[str, str], start: int):
        self._tensors = tensors
        self._start = start
        self.metadata = metadata
        ends = [facts["data_offsets"][1] for facts in tensors.values()]
        self.size = start + int(max(ends, default=0))

    @property
    def names(self) -> Iterable[str]:
        """Of all tensors, in the file's order."""
        return self._tensors.keys()

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Of all tensors."""
        return {name: tuple(facts["shape"]) for name, facts in self._tensors.items()}

    def shape(self, name: str) -> Shape:
        """Of one tensor."""
        return tuple(self._tensors[name]["shape"])

    def format(self, name: str) -> str:
        """A tensor's number format."""
        return str(self._tensors[name]["dtype"])

    def span(self, name: str) -> tuple[int, int]:
        """A tensor's first byte and the byte after its last, in the file."""
        first, end = self._tensors[name]["data_offsets"]
        return self._start + first, self._start + end

    def numbers(self, counted: Callable[[str], bool] = lambda name: True) -> int:
        """How many numbers the tensors hold whose names are counted."""
        return sum(math.prod(shape) for name, shape in self.shapes.items() if counted(name))


def read_header(path: Path) -> Header:
    """A file's header; HeaderError when the file is none or is cut off, OSError when it is gone."""
    with path.open("rb") as stream:
        start = stream.read(8)
        rest = path.stat().st_size - 8
        if len(start) < 8:
            raise HeaderError("is not a safetensors file")
        (length,) = struct.unpack("<Q", start)
        if length > min(rest, _LONGEST):
            # The first bytes of any other file make an absurd number.
            raise HeaderError("is cut off" if length <= _LONGEST else "is not a safetensors file")
        text = stream.read(length)
    try:
        header = _parsed(text)
    except _NONSENSE:
        raise HeaderError("is not a safetensors file") from None
    if header.size != rest + 8:
        raise HeaderError("is cut off" if header.size > rest + 8 else "has bytes after its end")
    return header


def _parsed(text: bytes) -> Header:
    tensors = orjson.loads(text)
    notes = tensors.pop("__metadata__", {})
    header = Header(
        tensors, {str(key): str(value) for key, value in notes.items()}, start=8 + len(text)
    )
    if not all("shape" in facts and "dtype" in facts for facts in tensors.values()):
        raise KeyError("shape")
    return header


def read_numbers(path: Path, header: Header, name: str) -> np.ndarray:
    """The numbers of one tensor, flat, as float32; for small ones that tell something.

    Raises HeaderError for number formats other than float32, float16 and bfloat16.
    """
    first, end = header.span(name)
    with path.open("rb") as stream:
        stream.seek(first)
        data = stream.read(end - first)
    match header.format(name):
        case "F32":
            return np.frombuffer(data, "<f4")
        case "F16":
            return np.frombuffer(data, "<f2").astype("f4")
        case "BF16":  # the upper half of a float32
            return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("f4")
        case other:
            raise HeaderError(f"holds {name} in the number format {other}")


class Shapes(Mapping[str, Shape]):
    """The shapes under a prefix, by the rest of their names."""

    def __init__(self, shapes: Mapping[str, Shape], prefix: str = ""):
        self._shapes = {
            name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)
        }

    def __getitem__(self, name: str) -> Shape:
        return self._shapes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def within(self, prefix: str) -> "Shapes":
        """Those under a further prefix."""
        return Shapes(self._shapes, prefix)

    def has(self, prefix: str) -> bool:
        """Whether a name begins so."""
        return any(name.startswith(prefix) for name in self._shapes)

    def count(self, prefix: str) -> int:
        """How many blocks are numbered from 0 on under a prefix such as "down."."""
        numbers = {
            name[len(prefix) :].partition(".")[0] for name in self if name.startswith(prefix)
        }
        return len([number for number in numbers if number.isdigit()])

"""Reads a network's numbers in another number format, one tensor after the other.

What reads files as memory keeps all of a file there until its last tensor is converted: half as
much again as float32 takes, at the moment at which half of it is wanted.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
from accelerate import init_empty_weights

from studio.models.headers import HeaderError, read_header
from studio.models.originals.load import filled

_FORMATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_WHOLE = "diffusion_pytorch_model.safetensors"
_PARTS = "diffusion_pytorch_model-?????-of-?????.safetensors"


def is_larger(folder: Path, dtype: torch.dtype) -> bool:
    """Whether a network's files hold its numbers in a larger format than is wanted of them.

    False also of files that this module cannot read.
    """
    formats = set()
    for file in _files(folder):
        try:
            header = read_header(file)
        except (HeaderError, OSError):
            return False
        formats |= {header.format(name) for name in header.names}
    return (
        bool(formats)
        and formats <= _FORMATS.keys()
        and any(_FORMATS[each].itemsize > dtype.itemsize for each in formats)
    )


def read_network(folder: Path, dtype: torch.dtype) -> Any:
    """A network of diffusers from its folder, on the CPU, in evaluation mode.

    Raises IncompleteError when the files lack numbers, HeaderError or what torch says of those
    that are damaged.
    """
    config = json.loads((folder / "config.json").read_bytes())
    with init_empty_weights():
        network = getattr(diffusers, config["_class_name"]).from_config(config)
    numbers = (each for file in _files(folder) for each in _tensors(file))
    return filled(network, numbers, dtype)


def _files(folder: Path) -> list[Path]:
    """Those that diffusers reads: variants of the same numbers may lie beside them."""
    whole = folder / _WHOLE
    return [whole] if whole.is_file() else sorted(folder.glob(_PARTS))


def _tensors(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    header = read_header(file)
    with file.open("rb") as stream:
        for name in header.names:
            first, end = header.span(name)
            shape = header.shape(name)
            kind = _FORMATS[header.format(name)]
            if first == end:
                yield name, torch.empty(shape, dtype=kind)
                continue
            data = bytearray(end - first)
            stream.seek(first)
            if stream.readinto(data) != len(data):
                raise HeaderError("is cut off")
            yield name, torch.frombuffer(data, dtype=kind).reshape(shape)

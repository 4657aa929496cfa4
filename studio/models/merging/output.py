"""Where a new model goes: written aside, tensor by tensor, and put in place when it is whole."""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from studio.context import Context
from studio.errors import ModelError, from_os_error
from studio.events import Progress

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
"""What safetensors calls number formats that can be asked for."""
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
_STAGING = ".merging"
_SPARE = 200_000_000
"""Bytes that a disk keeps free besides the files themselves."""
_ENTRY = 200
"""Bytes that a tensor takes in a header besides its name, at most."""
_TELL_SECONDS = 0.4
_BLOCK = 1 << 20


class Writer:
    """A safetensors file that is written one tensor after the other.

    Room for the header is left at the beginning, as it is known only at the end; the format allows
    spaces after it (https://huggingface.co/docs/safetensors).
    names: of all tensors that may come. notes: bytes that the metadata will take, at most.
    """

    def __init__(self, path: Path, names: Iterable[str], notes: int):
        self._room = sum(len(json.dumps(name)) + _ENTRY for name in names) + notes
        self._room += -self._room % 8
        self._entries: dict[str, dict[str, object]] = {}
        self._end = 0
        self._stream = path.open("xb")
        self._stream.seek(8 + self._room)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def add(self, name: str, tensor: "Tensor", kind: str) -> None:
        """Write a tensor; kind: its number format as safetensors calls it."""
        import torch

        data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
        self._stream.write(data.data)
        begin, self._end = self._end, self._end + data.nbytes
        self._entries[name] = {
            "dtype": kind,
            "shape": list(tensor.shape),
            "data_offsets": [begin, self._end],
        }

    def body(self) -> Iterator[bytes]:
        """What has been written of the tensors, piece by piece; no more can be added after it."""
        self._stream.flush()
        with Path(self._stream.name).open("rb") as written:
            written.seek(8 + self._room)
            while block := written.read(_BLOCK):
                yield block

    def header(self, metadata: Mapping[str, str]) -> bytes:
        """The header that a file with just this metadata would have, with its length before it."""
        text = self._text(metadata)
        text = text.ljust(len(text) + -len(text) % 8)
        return len(text).to_bytes(8, "little") + text

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the header and see to it that all is on the disk."""
        self._stream.seek(0)
        self._stream.write(self._room.to_bytes(8, "little"))
        self._stream.write(self._text(metadata).ljust(self._room))
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def _text(self, metadata: Mapping[str, str]) -> bytes:
        return json.dumps({"__metadata__": dict(metadata), **self._entries}).encode()


class Meter:
    """Tells a job's listeners which tensor it is at, and lets them stop it before each.

    label: what is done. count, numbers: of tensors in the whole job, and of all that is in them.
    """

    def __init__(self, context: Context, label: str, count: int, numbers: int):
        self._context = context
        self._label = label
        self._count = count
        self._numbers = max(1, numbers)
        self._at = self._done = 0
        self._began = time.monotonic()
        self._told = 0.0
        self._tell()

    def begin(self) -> None:
        """The reading of parents is over: from now on time is counted."""
        self._began = time.monotonic()

    def next(self, numbers: int) -> None:
        """A tensor of so many numbers is done; raises Cancelled."""
        self._context.check()
        self._at += 1
        self._done += numbers
        if time.monotonic() - self._told > _TELL_SECONDS or self._at == self._count:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        share = self._done / self._numbers
        left = (self._told - self._began) * (1 - share) / share if share else None
        self._context.emit(
            Progress(
                step=self._at,
                steps=self._count,
                item=1,
                items=1,
                seconds_left=left,
                label=self._label,
                unit="tensor",
            )
        )


def check_free(root: Path, place: Path) -> None:
    """ModelError when a model of this name is here already; place: a file or a folder to be."""
    stem = place.name.removesuffix(".safetensors").casefold()
    there = {path.name.casefold() for folder in {root, place.parent} for path in _inside(folder)}
    for name in (stem, f"{stem}.safetensors"):
        if name in there:
            raise ModelError(
                f"There is a {name} in the models folder already; choose another name."
            )


def check_room(root: Path, needed: int) -> None:
    """ModelError when a disk has not so many bytes to spare; root: a folder on it, or to be."""
    there = next(each for each in (root, *root.parents) if each.exists())
    free = shutil.disk_usage(there).free
    if needed + _SPARE > free:
        raise ModelError(
            f"The new model needs {needed / 1e9:,.1f} GB, but only {free / 1e9:,.1f} GB are free "
            f"in {root}; free some space or choose another data folder (ATELIER_DATA_DIR)."
        )


@contextmanager
def staged(root: Path, place: Path, needed: int, *, replace: bool = False) -> Iterator[Path]:
    """A path to write at, which becomes `place` when the block ends well and is gone if not.

    root: the models folder. needed: bytes that will be written. replace: what is at the place is
    given up for it in the end. Raises ModelError when there is no room or when the place is taken,
    StorageError for what the system refuses.
    """
    folder = root / _STAGING / uuid.uuid4().hex
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root / _STAGING)
        if not replace:
            check_free(root, place)
        check_room(root, needed)
        # What is in a folder below is no model yet for whoever lists models.
        folder.mkdir(parents=True)
        with FileLock(folder / ".lock"):
            yield folder / place.name
            if replace and place.exists():
                _exchange(folder / place.name, place, folder / "old")
            else:
                _put(folder / place.name, place)
    except OSError as error:
        raise from_os_error(error, f"write {place.name} to {place.parent}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(made: Path, place: Path) -> None:
    """Move a finished model to its place, over nothing that has come there meanwhile."""
    place.parent.mkdir(exist_ok=True)
    if made.is_dir():
        # A folder that is not empty is never replaced by the system.
        made.rename(place)
    else:
        try:
            os.link(made, place)
        except FileExistsError:
            raise ModelError(
                f"A {place.name} has come into {place.parent} meanwhile; choose another name."
            ) from None
        except OSError:  # a file system without links
            made.rename(place)
    _keep_name(place)


def _exchange(made: Path, place: Path, aside: Path) -> None:
    """Put a finished model in the place of an older one."""
    if place.is_dir():
        # The system replaces no folder that is not empty; the older one comes back if that fails.
        place.rename(aside)
        try:
            made.rename(place)
        except OSError:
            aside.rename(place)
            raise
    else:
        made.replace(place)
    _keep_name(place)


def _keep_name(place: Path) -> None:
    """See to it that a name is on the disk as well as what it names."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sweep(staging: Path) -> None:
    """Remove what killed servers left; what is being written is locked."""
    for folder in _inside(staging):
        try:
            with FileLock(folder / ".lock", timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (Timeout, OSError):
            continue


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []

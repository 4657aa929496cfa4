"""The models that a new one is made of: their tensors by what they are, read one at a time."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from studio.errors import ModelError
from studio.models.entry import ModelEntry
from studio.models.headers import Header, HeaderError, Shape, read_header

if TYPE_CHECKING:
    from torch import Tensor

_TEXT = "text_model."
_VARIANT = 2
"""Dots in names such as model.fp16.safetensors, which are not what is loaded."""
_SEEN = 256_000_000
"""Bytes after which a file is mapped anew: pages that were read count as the process's memory."""


@dataclass(frozen=True)
class Key:
    """What a tensor is, whatever its file calls it.

    part: a place in the pipeline ("unet", "vae", "text_encoder"), "" for what is no network's.
    name: of the tensor in it.
    """

    part: str
    name: str


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies. file: below the model's folder, or the file's own name."""

    file: str
    name: str
    shape: Shape
    format: str


class Parent:
    """One model, whose tensors can be read while the block runs.

    Raises ModelError when its files cannot be read.
    """

    def __init__(self, entry: ModelEntry):
        assert entry.family is not None
        self.entry = entry
        self.family = entry.family
        self.headers: dict[str, Header] = {}
        self.tensors: dict[Key, Stored] = {}
        self._mapped: tuple[str, Any] = ("", None)
        self._seen = 0
        for file in _files(entry):
            try:
                header = self.headers[file] = read_header(self.place(file))
            except (HeaderError, OSError) as error:
                raise ModelError(
                    f"{entry.id} cannot be read: {file} {error}; copy it again."
                ) from error
            for name in header.names:
                stored = Stored(file, name, header.shape(name), header.format(name))
                self.tensors[self._key(file, name)] = stored

    def __enter__(self) -> "Parent":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    @property
    def called(self) -> str:
        """Its id: titles may be the same."""
        return self.entry.id

    def place(self, file: str) -> Path:
        """Where a file of it lies."""
        return self.entry.path if self.entry.original else self.entry.path / file

    def keys(self, file: str) -> Iterator[tuple[Key, Stored]]:
        """The tensors of one file, in its order."""
        return ((key, stored) for key, stored in self.tensors.items() if stored.file == file)

    def parts(self) -> set[str]:
        """The networks that its files hold."""
        return {key.part for key in self.tensors} - {""}

    def names(self, part: str) -> list[str]:
        """Of a part's tensors."""
        return [key.name for key in self.tensors if key.part == part]

    def read(self, key: Key) -> "Tensor":
        """One tensor, as it is stored; ModelError for numbers that are none."""
        import torch
        from safetensors import safe_open

        stored = self.tensors[key]
        if self._mapped[0] != stored.file or self._seen > _SEEN:
            self._release()
            self._mapped = stored.file, safe_open(self.place(stored.file), framework="pt")
        tensor: torch.Tensor = self._mapped[1].get_tensor(stored.name)
        self._seen += tensor.nbytes
        if key.part and tensor.is_floating_point() and not is_number(tensor):
            raise ModelError(
                f"{self.called} holds numbers that are none (NaN) in {stored.name}; take "
                "another copy of it."
            )
        return tensor

    def _release(self) -> None:
        self._mapped, self._seen = ("", None), 0

    def _key(self, file: str, name: str) -> Key:
        original = self.entry.original
        if original is None:
            part = file.partition("/")[0]
            known = {self.family.denoiser, "vae", *(encoder for _, encoder in self.family.encoders)}
            return Key(part, name) if part in known else Key("", f"{part}/{name}")
        for each in (*original.parts, original.denoiser):
            # A text encoder's last layer stands beside what its prefix spans.
            prefix = each.prefix.removesuffix(_TEXT)
            if name.startswith(prefix) and (prefix or each.holds(name)):
                return Key(each.name, name[len(prefix) :])
        return Key("", name)


def is_number(tensor: "Tensor", *, finite: bool = False) -> bool:
    """Whether none of a tensor's numbers is NaN; finite: nor infinite."""
    import torch

    small = tensor.dtype.itemsize == 1  # torch can ask nothing of float8
    numbers = tensor.to(torch.float32) if small else tensor
    return bool(numbers.isfinite().all()) if finite else not bool(numbers.isnan().any())


def _files(entry: ModelEntry) -> list[str]:
    """The weight files that the model is loaded from."""
    if entry.original:
        return [entry.path.name]
    found = []
    for folder in sorted(path for path in entry.path.iterdir() if path.is_dir()):
        names = sorted(path.name for path in folder.glob("*.safetensors"))
        index = next(folder.glob("*.safetensors.index.json"), None)
        if index is not None and index.name.count(".") == _VARIANT + 1:
            try:
                shards = json.loads(index.read_text("utf-8"))["weight_map"].values()
                names = sorted(set(shards) & set(names))
            except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                raise ModelError(
                    f"{entry.id} cannot be read: {folder.name}/{index.name} is damaged; copy it "
                    "again."
                ) from error
        else:
            names = [name for name in names if name.count(".") < _VARIANT] or names
        found += [f"{folder.name}/{name}" for name in names]
    return found

"""What teachers say of every window: their mean probabilities of where an answer starts and ends.

Knowledge distillation (Hinton et al. 2015, arXiv 1503.02531): the student learns from the teachers'
softened probabilities. They are worked out once and kept on disk, some thousand windows a file.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.errors import ModelError, from_os_error
from studio.models.hashes import sha256
from studio.models.network_loader import weights
from studio.models.readers import load_reader
from studio.reader.finetuning.features import Batch, Features, takes_types, tokenizer_hash

if TYPE_CHECKING:
    import torch

_CHUNK = 2048
"""Windows of a file."""
_TOKENS = 4096
"""Of a batch that a teacher reads."""


class SoftLabels:
    """The teachers' probabilities for the windows of a data set.

    temperature: that their logits are divided by; they are averaged after the softmax.
    """

    def __init__(self, teachers: Sequence[Path], data: Features, temperature: float, folder: Path):
        sums = [sha256(weights(each)) for each in teachers]
        told = json.dumps([data.name, sums, temperature, _CHUNK])
        self._folder = folder / f"soft-{hashlib.sha256(told.encode()).hexdigest()[:24]}"
        self._teachers = teachers
        self._data = data
        self._temperature = temperature
        self._takes_types = False
        self._cuts = np.concatenate([[0], np.cumsum(data.lengths, dtype=np.int64)])
        self._open: dict[int, np.ndarray] = {}

    @property
    def chunks(self) -> int:
        """How many files there are when all is done."""
        return -(-len(self._data) // _CHUNK)

    def make(
        self,
        device: "torch.device",
        tokenizer: Any,
        mine: Sequence[int],
        on_done: Callable[[int], bool],
    ) -> None:
        """Work out the files that are missing of those that are this process's.

        on_done: told each one that is there; the work ends when it says so. Raises ModelError when
        a teacher cannot be used.
        """
        missing = [chunk for chunk in mine if not self._path(chunk).is_file()]
        loaded = [load_reader(each) for each in self._teachers] if missing else []
        for each in loaded:
            if tokenizer_hash(each.tokenizer) != tokenizer_hash(tokenizer):
                raise ModelError(
                    f"Teacher {each.folder} has another tokenizer than the model that is to learn "
                    "from it; take one that was made from the same encoder."
                )
            each.network.to(device)
        self._takes_types = takes_types(tokenizer)
        for chunk in mine:
            if chunk in missing:
                self._write(chunk, self._worked_out(chunk, [each.network for each in loaded]))
            if on_done(chunk):
                return

    def batch(self, places: np.ndarray, width: int) -> "torch.Tensor":
        """Of some windows (2, windows, width): probabilities of starts and of ends."""
        import torch

        found = np.zeros((2, len(places), width), np.float32)
        for row, place in enumerate(places):
            chunk = int(place) // _CHUNK
            if chunk not in self._open:
                self._open[chunk] = np.load(self._path(chunk), mmap_mode="r")
            first = self._cuts[place] - self._cuts[chunk * _CHUNK]
            length = int(self._data.lengths[place])
            found[:, row, :length] = self._open[chunk][:, first : first + length]
        return torch.from_numpy(found)

    def _worked_out(self, chunk: int, networks: list[Any]) -> np.ndarray:
        import torch

        first = chunk * _CHUNK
        windows = np.arange(first, min(first + _CHUNK, len(self._data)))
        found = np.zeros((2, self._cuts[windows[-1] + 1] - self._cuts[first]), np.float16)
        for places in _batches(windows, self._data.lengths):
            batch = self._data.batch(places)
            with torch.inference_mode():
                told = np.mean([self._said(network, batch) for network in networks], axis=0)
            for row, place in enumerate(places):
                at, length = self._cuts[place] - self._cuts[first], self._data.lengths[place]
                found[:, at : at + length] = told[:, row, :length]
        return found

    def _said(self, network: Any, batch: Batch) -> np.ndarray:
        import torch

        inputs = batch.inputs(network.device, self._takes_types)
        out, mask = network(**inputs), inputs["attention_mask"]
        logits = torch.stack([out.start_logits, out.end_logits]).float() / self._temperature
        chances: np.ndarray = logits.masked_fill(mask == 0, -torch.inf).softmax(-1).cpu().numpy()
        return chances

    def _path(self, chunk: int) -> Path:
        return self._folder / f"{chunk:06}.npy"

    def _write(self, chunk: int, found: np.ndarray) -> None:
        aside = self._path(chunk).with_suffix(f".{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as stream:
                np.save(stream, found)
            aside.replace(self._path(chunk))
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise from_os_error(error, f"write soft labels to {self._folder}") from None


def distilled(logits: Any, wanted: Any, mask: Any, temperature: float) -> Any:
    """Mean over windows of the cross entropy with soft labels, for one end of the span.

    logits, wanted: (windows, tokens), wanted are probabilities at the temperature. Multiplied by
    its square, so that the gradients keep their size (section 2 of the paper).
    """
    import torch

    chances = (logits.float() / temperature).masked_fill(mask == 0, -torch.inf).log_softmax(-1)
    return -(wanted * chances.masked_fill(mask == 0, 0.0)).sum(1).mean() * temperature**2


def _batches(windows: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
    ordered = windows[np.argsort(-lengths[windows], kind="stable")]
    first = 0
    while first < len(ordered):
        count = max(1, _TOKENS // int(lengths[ordered[first]]))
        yield ordered[first : first + count]
        first += count

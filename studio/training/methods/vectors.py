"""Textual inversion: the vectors of a new word, and nothing else (Gal et al. 2022, 2208.01618)."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from studio.diffusion.clip import tokenized
from studio.diffusion.words import Words
from studio.errors import RequestError
from studio.models.embeddings import FIRST_ID
from studio.models.families import Family, Texts
from studio.training.methods.trained import Trained
from studio.training_requests import TrainRequest


class _Rows(Mapping[int, "tuple[torch.Tensor, ...]"]):
    """Each id's vector for each encoder, taken from the trained tables when it is asked for."""

    def __init__(self, tables: list[torch.nn.Parameter]):
        self._tables = tables

    def __getitem__(self, each: int) -> "tuple[torch.Tensor, ...]":
        return tuple(table[each - FIRST_ID] for table in self._tables)

    def __iter__(self) -> Iterator[int]:
        return iter(range(FIRST_ID, FIRST_ID + len(self)))

    def __len__(self) -> int:
        return len(self._tables[0])


def trained_vectors(request: TrainRequest, pipe: Any, family: Family) -> Trained:
    """A table of vectors for each text encoder, begun as the initial word where there is one."""
    if family.texts is not Texts.CLIP:
        raise RequestError(
            f"Textual inversion is for models that read with CLIP alone, which {family.name} does "
            "not; train a LoRA instead.",
            "method",
        )
    tables, weights = torch.nn.ParameterList(), {}
    for tokenizer, place in family.encoders:
        table = getattr(pipe, place).get_input_embeddings().weight
        begun = _begun(request, table, tokenized(getattr(pipe, tokenizer)))
        tables.append(torch.nn.Parameter(begun))
        weights[f"{place}.vectors"] = tables[-1]
    rows = _Rows(list(tables))
    words = Words({request.trigger: range(FIRST_ID, FIRST_ID + request.vectors)}, rows)
    return Trained(weights, reads=True, words=words, modules=[tables])


def _begun(request: TrainRequest, table: torch.Tensor, tokenize: Any) -> torch.Tensor:
    """(vectors, features): the initial word's, as often as there is room, each a little apart."""
    deviation = float(table.detach().float().std())
    noise = torch.randn(request.vectors, table.shape[1]) * deviation
    ids = tokenize(request.initial_word) if request.initial_word.strip() else []
    if not ids:
        return noise
    wanted = [ids[row % len(ids)] for row in range(request.vectors)]
    own = table.detach()[wanted].float().cpu()
    repeated = torch.arange(request.vectors) >= len(ids)
    return own + noise * 0.1 * repeated[:, None]

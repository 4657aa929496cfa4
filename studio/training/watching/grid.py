"""One picture of checkpoints by strengths for some prompts, all from one seed, with scores.

Each cell is kept as a file beside its scores, so that a grid that was stopped goes on where it was,
and a larger one paints only what is new.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from PIL import Image
from pydantic import Field, model_validator

from studio.errors import from_os_error
from studio.requests import Request
from studio.training.watching.grid_picture import Cell, Painted, best, compose
from studio.training_requests import Prompt, SetName

_MOST = 300
Paint = Callable[[int, float, str, int], Image.Image]
"""Makes the picture of a checkpoint (by its step), a strength, a prompt and a seed."""
Score = Callable[[Image.Image, str], Mapping[str, float | None]]
"""Scores of a picture of a prompt, by their names; None for what cannot be told."""


class Grid(Request):
    """A grid that is asked for.

    run: name of the run. checkpoints: by their steps. strengths: of the LoRA, 1 as it was trained.
    """

    kind: Literal["train-grid"] = "train-grid"
    run: SetName
    checkpoints: tuple[Annotated[int, Field(ge=0, le=10**6)], ...] = Field(
        min_length=1, max_length=50
    )
    strengths: tuple[Annotated[float, Field(ge=-4, le=4)], ...] = Field(
        (0.6, 0.8, 1.0), min_length=1, max_length=20
    )
    prompts: tuple[Prompt, ...] = Field(min_length=1, max_length=16)
    seed: int = Field(1, ge=0, le=2**32 - 1)

    @model_validator(mode="after")
    def _not_too_many(self) -> "Grid":
        count = len(cells(self))
        if count > _MOST:
            raise ValueError(
                f"The grid has {count} pictures, but {_MOST} are the most; leave out some "
                "checkpoints, strengths or prompts"
            )
        return self


@dataclass(frozen=True)
class MadeGrid:
    """A finished grid. picture: its file. best: checkpoint and strength that score best, or None
    without scores."""

    picture: Path
    painted: tuple[Painted, ...]
    best: tuple[int, float] | None


def cells(grid: Grid) -> list[Cell]:
    """All cells in the order of painting, each once: a checkpoint is loaded one time only."""
    return [
        Cell(checkpoint, strength, prompt)
        for checkpoint in sorted(set(grid.checkpoints))
        for strength in sorted(set(grid.strengths))
        for prompt in dict.fromkeys(grid.prompts)
    ]


def make_grid(
    grid: Grid,
    folder: Path,
    paint: Paint,
    score: Score | None = None,
    on_done: Callable[[int, int], object] = lambda done, count: None,
) -> MadeGrid:
    """Paint what is not painted yet, score what is not scored yet, and put all into one picture.

    folder: of the grids of the run. on_done: told how many cells of how many are done; may raise to
    stop, with nothing lost. Raises what `paint` and `score` raise, and StorageError when the system
    refuses.
    """
    wanted = cells(grid)
    painted = []
    try:
        (folder / "cells").mkdir(parents=True, exist_ok=True)
        for number, cell in enumerate(wanted):
            on_done(number, len(wanted))
            painted.append(_cell(grid, cell, folder / "cells", paint, score))
        on_done(len(wanted), len(wanted))
        chosen = best(painted)
        picture = folder / f"grid-{_digest(grid.model_dump_json())}.webp"
        _save(compose(painted, chosen), picture, quality=90)
    except OSError as error:
        raise from_os_error(error, f"write the grid to {folder}") from None
    return MadeGrid(picture, tuple(painted), chosen)


def cell_file(grid: Grid, cell: Cell, folder: Path) -> Path:
    """The file of a cell's picture, which follows from all that it is made of."""
    told = json.dumps([grid.run, cell.checkpoint, cell.strength, cell.prompt, grid.seed])
    return folder / f"{cell.checkpoint:08}-{_digest(told)}.webp"


def _cell(grid: Grid, cell: Cell, folder: Path, paint: Paint, score: Score | None) -> Painted:
    file = cell_file(grid, cell, folder)
    if not _is_whole(file):
        file.with_suffix(".json").unlink(missing_ok=True)
        made = paint(cell.checkpoint, cell.strength, cell.prompt, grid.seed)
        _save(made.convert("RGB"), file, lossless=True)
    scores = _scores(file.with_suffix(".json"))
    if scores is None and score is not None:
        with Image.open(file) as opened:
            scores = dict(score(opened.convert("RGB"), cell.prompt))
        _write(file.with_suffix(".json"), json.dumps(scores).encode())
    return Painted(cell, file, scores or {})


def _is_whole(file: Path) -> bool:
    try:
        with Image.open(file) as opened:
            opened.load()
    except (OSError, ValueError, SyntaxError):
        return False
    return True


def _scores(file: Path) -> dict[str, float | None] | None:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): None if v is None else float(v) for name, v in told.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _save(image: Image.Image, file: Path, **how: int | bool) -> None:
    from io import BytesIO

    stream = BytesIO()
    image.save(stream, "WEBP", **how)
    _write(file, stream.getvalue())


def _write(file: Path, content: bytes) -> None:
    """Put it there as a whole or not at all."""
    aside = file.with_name(f"{file.name}.part")
    with aside.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(file)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

"""One picture of checkpoints by strengths for some prompts, all from one seed, with scores.

Each cell is kept as a file beside its scores, so that a grid that was stopped goes on where it was,
and a larger one paints only what is new.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from studio.errors import from_os_error
from studio.store.writing import replace_file
from studio.training.watching.grid_picture import Cell, Painted, best, compose
from studio.training_requests import GridRequest

Paint = Callable[[int, float, str, int], Image.Image]
"""Makes the picture of a checkpoint (by its step), a strength, a prompt and a seed."""
Score = Callable[[Image.Image, str], Mapping[str, float | None]]
"""Scores of a picture of a prompt, by their names; None for what cannot be told."""


@dataclass(frozen=True)
class MadeGrid:
    """A finished grid. picture: its file. best: checkpoint and strength that score best, or None
    without scores."""

    request: GridRequest
    picture: Path
    painted: tuple[Painted, ...]
    best: tuple[int, float] | None

    @property
    def digest(self) -> str:
        """What tells it from the other grids of its run."""
        return self.picture.stem.removeprefix("grid-")


def cells(grid: GridRequest) -> list[Cell]:
    """All cells in the order of painting, each once: a checkpoint is loaded one time only."""
    return [
        Cell(checkpoint, strength, prompt)
        for checkpoint in sorted(set(grid.checkpoints))
        for strength in sorted(set(grid.strengths))
        for prompt in dict.fromkeys(grid.prompts)
    ]


def make_grid(
    grid: GridRequest,
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
        note = json.dumps({"request": grid.model_dump(mode="json"), "best": chosen})
        replace_file(picture.with_suffix(".json"), note.encode())
        _save(compose(painted, chosen), picture, quality=90)
    except OSError as error:
        raise from_os_error(error, f"write the grid to {folder}") from None
    return MadeGrid(grid, picture, tuple(painted), chosen)


def made_grids(folder: Path) -> list[MadeGrid]:
    """The finished grids of a run, the newest first, without damaged ones; folder: of its grids."""
    found = []
    for picture in folder.glob("grid-*.webp"):
        try:
            note = json.loads(picture.with_suffix(".json").read_text(encoding="utf-8"))
            request = GridRequest.model_validate(note["request"])
            chosen = (int(note["best"][0]), float(note["best"][1])) if note["best"] else None
            painted = tuple(_painted(request, cell, folder / "cells") for cell in cells(request))
            made = MadeGrid(request, picture, painted, chosen)
            found.append((picture.stat().st_mtime_ns, made))
        except (OSError, ValueError, TypeError, LookupError):
            continue
    return [made for _, made in sorted(found, key=lambda each: each[0], reverse=True)]


def cell_file(grid: GridRequest, cell: Cell, folder: Path) -> Path:
    """The file of a cell's picture, which follows from all that it is made of."""
    told = json.dumps([grid.run, cell.checkpoint, cell.strength, cell.prompt, grid.seed])
    return folder / f"{cell.checkpoint:08}-{_digest(told)}.webp"


def _cell(
    grid: GridRequest, cell: Cell, folder: Path, paint: Paint, score: Score | None
) -> Painted:
    file = cell_file(grid, cell, folder)
    if not _is_whole(file):
        file.with_suffix(".json").unlink(missing_ok=True)
        made = paint(cell.checkpoint, cell.strength, cell.prompt, grid.seed)
        _save(made.convert("RGB"), file, lossless=True)
    scores = _scores(file.with_suffix(".json"))
    if scores is None and score is not None:
        with Image.open(file) as opened:
            scores = dict(score(opened.convert("RGB"), cell.prompt))
        replace_file(file.with_suffix(".json"), json.dumps(scores).encode())
    return Painted(cell, file, scores or {})


def _painted(grid: GridRequest, cell: Cell, folder: Path) -> Painted:
    file = cell_file(grid, cell, folder)
    return Painted(cell, file, _scores(file.with_suffix(".json")) or {})


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
    stream = io.BytesIO()
    image.save(stream, "WEBP", **how)
    replace_file(file, stream.getvalue())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

"""Grids: their order, what is kept of them, and what they look like."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from studio.training.watching.grid import cell_file, cells, made_grids, make_grid
from studio.training.watching.grid_picture import Cell, Painted, best, compose
from studio.training_requests import GridRequest

GRID = GridRequest(
    run="dog",
    checkpoints=(200, 100),
    strengths=(1.0, 0.5, 1.0),
    prompts=("a sks dog", "a sks dog in the snow"),
    seed=7,
)


class Painter:
    """Paints plain pictures of a colour that follows from the cell; stops when told to."""

    def __init__(self, stop_at: int = -1):
        self.made: list[tuple[int, float, str, int]] = []
        self._stop_at = stop_at

    def __call__(self, checkpoint: int, strength: float, prompt: str, seed: int) -> Image.Image:
        if len(self.made) == self._stop_at:
            raise KeyboardInterrupt
        self.made.append((checkpoint, strength, prompt, seed))
        return Image.new("RGB", (32, 48), (checkpoint, round(strength * 100), len(prompt)))


def score(image: Image.Image, prompt: str) -> dict[str, float | None]:
    """The first channel as a score."""
    return {"subject": image.getpixel((0, 0))[0] / 255, "prompt": None}


def test_cells_come_by_checkpoint_each_once():
    found = cells(GRID)
    assert len(found) == len(set(found)) == 8
    assert [cell.checkpoint for cell in found] == [100] * 4 + [200] * 4
    assert found[0] == Cell(100, 0.5, "a sks dog")


def test_all_is_painted_scored_and_kept(tmp_path: Path):
    painter, told = Painter(), []
    made = make_grid(GRID, tmp_path, painter, score, lambda done, of: told.append((done, of)))
    assert painter.made == [(*vars(cell).values(), 7) for cell in cells(GRID)]
    assert told == [(i, 8) for i in range(9)]
    assert [each.cell for each in made.painted] == cells(GRID)
    for each in made.painted:
        with Image.open(each.file) as opened:
            assert opened.getpixel((3, 3))[0] == each.cell.checkpoint
        assert each.scores["subject"] == pytest.approx(each.cell.checkpoint / 255)
    assert made.best == (200, 0.5)
    with Image.open(made.picture) as opened:
        opened.load()
        assert opened.width > 2 * 256
    assert made_grids(tmp_path) == [made]


def test_a_grid_that_was_stopped_goes_on_where_it_was(tmp_path: Path):
    first, second = Painter(stop_at=3), Painter()
    with pytest.raises(KeyboardInterrupt):
        make_grid(GRID, tmp_path, first, score)
    made = make_grid(GRID, tmp_path, second, score)
    assert first.made + second.made == [(*vars(cell).values(), 7) for cell in cells(GRID)]
    whole = make_grid(GRID, tmp_path / "other", Painter(), score)
    assert made.picture.read_bytes() == whole.picture.read_bytes()


def test_only_what_is_new_or_damaged_is_painted_again(tmp_path: Path):
    made = make_grid(GRID, tmp_path, Painter(), score)
    made.painted[2].file.write_bytes(b"cut off")
    larger = GRID.model_copy(update={"checkpoints": (100, 200, 250)})
    painter = Painter()
    make_grid(larger, tmp_path, painter, score)
    assert [each[0] for each in painter.made] == [100, 250, 250, 250, 250]
    again = Painter()
    make_grid(GRID.model_copy(update={"seed": 8}), tmp_path, again)
    assert len(again.made) == 8, "another seed is another picture"


def test_scores_are_made_up_for_when_they_are_missing(tmp_path: Path):
    assert make_grid(GRID, tmp_path, Painter()).best is None
    painter = Painter()
    assert make_grid(GRID, tmp_path, painter, score).best == (200, 0.5)
    assert painter.made == []


def test_finished_grids_are_found_again_and_damaged_ones_are_not(tmp_path: Path):
    assert made_grids(tmp_path / "none") == []
    first = make_grid(GRID, tmp_path, Painter(), score)
    second = make_grid(GRID.model_copy(update={"seed": 9}), tmp_path, Painter())
    os.utime(first.picture, (1, 1))
    assert made_grids(tmp_path) == [second, first]
    second.picture.with_suffix(".json").write_text("{}")
    assert made_grids(tmp_path) == [first]


def test_files_follow_from_all_that_a_cell_is_made_of(tmp_path: Path):
    prompts = ("../../etc/passwd", "line\nbreak", "ünïcödé \"quotes' \ud800")
    files = {
        cell_file(GRID.model_copy(update={"run": run, "seed": seed}), Cell(1, s, p), tmp_path)
        for run in ("a", "b")
        for seed in (1, 2)
        for s in (0.5, 1.0)
        for p in prompts
    }
    assert len(files) == 24
    assert {file.parent for file in files} == {tmp_path}


@pytest.mark.parametrize(
    "wrong",
    [
        {"run": ""},
        {"strengths": (float("nan"),)},
        {"strengths": (9.0,)},
        {"checkpoints": tuple(range(50)), "strengths": tuple(i / 8 for i in range(20))},
        {"colour": "red"},
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValidationError):
        GridRequest(**{**GRID.model_dump(), **wrong})


def test_the_best_is_by_shares_so_that_no_score_outweighs_another():
    def painted(step: int, subject: float | None, prompt: float) -> Painted:
        return Painted(Cell(step, 1.0, "a"), Path("x"), {"subject": subject, "prompt": prompt})

    assert best([painted(1, 0.9, 0.20), painted(2, 0.8, 0.30)]) == (2, 1.0)
    assert best([painted(1, 0.9, 0.29), painted(2, 0.4, 0.30)]) == (1, 1.0)
    assert best([painted(1, None, 0.2), painted(2, None, 0.3)]) == (2, 1.0)
    assert best([]) is None


def test_cells_lie_where_their_labels_are(tmp_path: Path):
    made = make_grid(GRID, tmp_path, Painter(), score)
    sheet = np.asarray(compose(made.painted, made.best))
    for block in range(2):
        for y, step in enumerate((100, 200)):
            for x, strength in enumerate((50, 100)):
                top = block * (2 * 22 + 2 * (256 + 28) + 6) + 44 + y * 284
                middle = sheet[top + 128, 96 + x * 262 + 128]
                assert middle[:2] == pytest.approx((step, strength), abs=1)


def test_a_lost_file_and_long_or_strange_prompts_leave_a_picture(tmp_path: Path):
    prompts = ("word " * 400, "\n\n", "猫 \"'", "a")
    painted = [Painted(Cell(10**6, -4.0, p), tmp_path / "gone.webp", {}) for p in prompts]
    assert compose(painted).getpixel((200, 200)) == (0xDD, 0xDD, 0xDD)


def test_a_large_grid_fits_into_a_webp(tmp_path: Path):
    painted = [
        Painted(Cell(step, 1.0, str(p)), tmp_path / "x", {}) for step in range(50) for p in range(6)
    ]
    assert max(compose(painted).size) <= 16383

"""How a grid looks: a block for each prompt, checkpoints down, strengths across, scores below."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_SIDE = 256
_LARGEST = 16000
"""Pixels of a side; WebP ends at 16383."""
_TEXT = 15
_LINE = 22
_GAP = 6
_LEFT = 96
_INK, _FAINT, _MARK, _EMPTY = "#1c1c1c", "#666666", "#1a7f37", "#dddddd"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, order=True)
class Cell:
    """One picture of a grid. checkpoint: its step."""

    checkpoint: int
    strength: float
    prompt: str


@dataclass(frozen=True)
class Painted:
    """A cell with its picture's file and its scores by their names, None where there is none."""

    cell: Cell
    file: Path
    scores: Mapping[str, float | None]


def best(painted: Sequence[Painted]) -> tuple[int, float] | None:
    """Checkpoint and strength that score best over all prompts; None without scores.

    Every score counts as a share of the highest of its name, so that none outweighs another.
    """
    highest: dict[str, float] = {}
    for each in painted:
        for name, value in each.scores.items():
            if value is not None:
                highest[name] = max(value, highest.get(name, 0.0))
    shares: dict[tuple[int, float], list[float]] = {}
    for each in painted:
        place = (each.cell.checkpoint, each.cell.strength)
        shares.setdefault(place, []).extend(
            value / highest[name]
            for name, value in each.scores.items()
            if value is not None and highest[name] > 0
        )
    means = {place: sum(values) / len(values) for place, values in shares.items() if values}
    return max(sorted(means), key=lambda place: means[place]) if means else None


def compose(painted: Sequence[Painted], marked: tuple[int, float] | None = None) -> Image.Image:
    """All cells in one picture with their labels; what has no readable file stays grey.

    marked: checkpoint and strength that are framed.
    """
    by_cell = {each.cell: each for each in painted}
    prompts = list(dict.fromkeys(each.cell.prompt for each in painted))
    steps = sorted({cell.checkpoint for cell in by_cell})
    strengths = sorted({cell.strength for cell in by_cell})
    side = _side(len(strengths), len(steps) * max(1, len(prompts)), len(prompts))
    column, row = side + _GAP, side + _LINE + _GAP
    block = 2 * _LINE + len(steps) * row + _GAP
    size = (_LEFT + len(strengths) * column + _GAP, max(1, len(prompts)) * block)
    canvas = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(canvas), _font()
    for number, prompt in enumerate(prompts):
        top = number * block
        _write(draw, font, (_GAP, top), prompt, size[0] - 2 * _GAP)
        for x, strength in enumerate(strengths):
            place = (_LEFT + x * column, top + _LINE)
            _write(draw, font, place, f"strength {strength:g}", side, _FAINT)
        for y, step in enumerate(steps):
            at = top + 2 * _LINE + y * row
            _write(draw, font, (_GAP, at + side // 2), f"step {step}", _LEFT - _GAP, _FAINT)
            for x, strength in enumerate(strengths):
                corner = (_LEFT + x * column, at)
                each = by_cell.get(Cell(step, strength, prompt))
                canvas.paste(_picture(each, side), corner)
                _write(draw, font, (corner[0], at + side), _told(each), side)
                if marked == (step, strength):
                    frame = (corner[0] - 3, at - 3, corner[0] + side + 2, at + side + 2)
                    draw.rectangle(frame, outline=_MARK, width=3)
    return canvas


def _side(columns: int, rows: int, blocks: int) -> int:
    """Pixels of a cell, fewer where the whole would become too large."""
    across = (_LARGEST - _LEFT) // max(columns, 1) - _GAP
    down = (_LARGEST - blocks * 3 * _LINE) // max(rows, 1) - _LINE - _GAP
    return max(16, min(_SIDE, across, down))


def _picture(each: Painted | None, side: int) -> Image.Image:
    """The cell's picture in a square, whole."""
    square = Image.new("RGB", (side, side), _EMPTY)
    if each is None:
        return square
    try:
        with Image.open(each.file) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return square
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    fitted = image.resize((width, height))
    square.paste(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    return square


def _told(each: Painted | None) -> str:
    if each is None:
        return ""
    return ", ".join(f"{name} {v:.2f}" for name, v in each.scores.items() if v is not None)


def _write(
    draw: ImageDraw.ImageDraw,
    font: Font,
    place: tuple[int, int],
    text: str,
    room: int,
    ink: str = _INK,
) -> None:
    """A line of text, cut off where its room ends."""
    line = " ".join(text.split())
    if draw.textlength(line, font=font) > room:
        while line and draw.textlength(f"{line}…", font=font) > room:
            line = line[:-1]
        line += "…"
    draw.text(place, line, fill=ink, font=font)


def _font() -> Font:
    """DejaVu knows most scripts; where it is not installed, what comes with Pillow."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", _TEXT)
    except OSError:
        return ImageFont.load_default(_TEXT)

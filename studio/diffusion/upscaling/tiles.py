"""Work on large arrays window by window, blended where the windows overlap.

The weights of all windows add up to one everywhere, so nothing has to be divided afterwards and no
seam shows. Denoising in windows blends the predictions of every step, not finished pictures, which
is what keeps neighbours of one mind (Bar-Tal et al. 2023, "MultiDiffusion", arXiv 2302.08113,
section 3, with every window weighted towards its middle).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Window:
    """A part of a plane, and how much of it counts.

    left, top, width, height: in the plane's own units. weight_x (width), weight_y (height): shares
    along the two sides; their outer product is the window's weight.
    """

    left: int
    top: int
    width: int
    height: int
    weight_x: torch.Tensor
    weight_y: torch.Tensor

    def of(self, plane: torch.Tensor) -> torch.Tensor:
        """The part of a plane (..., h, w), as a view."""
        return plane[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def weight(self, like: torch.Tensor) -> torch.Tensor:
        """(height, width) on that tensor's device and in its number format."""
        return torch.outer(self.weight_y, self.weight_x).to(like)


def windows(
    size: tuple[int, int], tile: int, overlap: int, onto: tuple[int, int] | None = None
) -> list[Window]:
    """Windows of one size that cover a plane of `size` (width, height), row by row, evenly spread.

    tile, overlap: sides and least overlap, in the plane's units; tile > overlap. onto: the same
    windows on a plane of another size; their sides may then differ by one.
    """
    columns, rows = (
        _spans(length, tile, overlap, wanted)
        for length, wanted in zip(size, onto or size, strict=True)
    )
    return [
        Window(left, top, len(across), len(down), across, down)
        for top, down in rows
        for left, across in columns
    ]


def _spans(length: int, tile: int, overlap: int, onto: int) -> list[tuple[int, torch.Tensor]]:
    """Starts and weights of the windows along one side, of a length and brought to another."""
    tile = min(tile, length)
    count = -(-(length - overlap) // (tile - overlap)) if tile < length else 1
    starts = [round(i * (length - tile) / max(1, count - 1)) for i in range(count)]
    scale = onto / length
    reach = round(overlap * scale) + 1
    total = torch.zeros(onto, dtype=torch.float64)
    spans = []
    for start in starts:
        first, last = round(start * scale), round((start + tile) * scale)
        level = torch.full((last - first,), reach, dtype=torch.float64)
        ramp = torch.arange(1, last - first + 1, dtype=torch.float64).clamp(max=reach)
        rising = ramp if first > 0 else level
        falling = ramp.flip(0) if last < onto else level
        spans.append((first, torch.minimum(rising, falling)))
        total[first:last] += spans[-1][1]
    return [(first, (hat / total[first : first + len(hat)]).float()) for first, hat in spans]


def blended(
    parts: Iterator[tuple[Window, torch.Tensor]], shape: tuple[int, ...], like: torch.Tensor
) -> torch.Tensor:
    """A plane of that shape from its windows' parts, in float32 on `like`'s device."""
    plane = torch.zeros(shape, dtype=torch.float32, device=like.device)
    for window, part in parts:
        window.of(plane).add_(part.float() * window.weight(plane))
    return plane


def in_windows(
    work: Callable[[Window, torch.Tensor], torch.Tensor],
    plane: torch.Tensor,
    parts: list[Window],
    on_window: Callable[[], None] = lambda: None,
) -> torch.Tensor:
    """`work` done on every window of a plane (..., h, w), its results blended, float32.

    work: gives a part of the window's own height and width. on_window: called after each.
    """

    def each() -> Iterator[tuple[Window, torch.Tensor]]:
        for window in parts:
            yield window, work(window, window.of(plane))
            on_window()

    return blended(each(), tuple(plane.shape), plane)

"""A picture set drawn: a page of pictures with captions to edit, and one picture with its cut."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from studio.training.pictures.example import Placed
from tabs.blocks.train.dropped import address


@dataclass(frozen=True)
class Tile:
    """A picture of a page. size: in pixels, as it is seen. problem: why it cannot be read."""

    name: str
    sha256: str
    size: tuple[int, int]
    caption: str
    problem: str = ""


def page(name: str, tiles: Sequence[Tile], picked: str) -> str:
    """Pictures with their captions, which are edited where they stand."""
    if not tiles:
        return '<p class="at-none">No pictures match.</p>'
    return (
        f'<div class="at-train-tiles">{"".join(_tile(name, each, picked) for each in tiles)}</div>'
    )


def nothing() -> str:
    """What stands where there is no set."""
    return (
        '<div class="at-reading"><div class="at-empty"><strong>Pictures to learn from</strong>'
        "Drop pictures, with their captions in .txt files if there are any. Each caption can be "
        "edited where it stands, and all of them together at the left. A press on a picture "
        "shows what a training cuts off.</div></div>"
    )


def one(name: str, placed: Placed, model: str) -> tuple[str, str]:
    """A picture with its cut, and what is known of it, both as HTML."""
    example = placed.example
    asked = urlencode({"model": model, "at": f"{example.focus[0]:.3f}-{example.focus[1]:.3f}"})
    source = f"{address(name, example.sha256, 'cut')}/shown?{asked}"
    image = (
        f'<img class="at-train-cut" src="{source}" data-sum="{example.sha256}" '
        f'alt="{html.escape(example.name)} with what is cut off in the dark">'
    )
    width, height = placed.bucket
    scaled = "enlarged" if placed.scale > 1 else "made smaller"
    facts = (
        f"{example.size[0]} × {example.size[1]} pixels, {scaled} to {width} × {height}. Press "
        "where the cut is to have its middle."
    )
    return image, f'<p class="at-none"><b>{html.escape(example.name)}</b> · {facts}</p>'


def shuffled(captions: Sequence[tuple[str, str]]) -> str:
    """How captions look in some steps."""
    if not captions:
        return '<p class="at-none">No caption has parts that could be shuffled.</p>'
    rows = "".join(
        f"<li><small>{html.escape(name)}</small> {html.escape(text)}</li>"
        for name, text in captions
    )
    return f'<ul class="at-train-shuffled">{rows}</ul>'


def _tile(name: str, tile: Tile, picked: str) -> str:
    said = html.escape(tile.name)
    if tile.problem:
        return (
            f'<article class="at-train-tile"><p class="at-wrong">{said} '
            f"{html.escape(tile.problem)}.</p></article>"
        )
    chosen = " picked" if tile.sha256 == picked else ""
    return (
        f'<article class="at-train-tile{chosen}" data-sum="{tile.sha256}">'
        f'<button type="button" class="at-train-seen" aria-label="{said}, its cut">'
        f'<img src="{address(name, tile.sha256)}" alt="" title="{said}" loading="lazy" '
        'decoding="async"></button>'
        f'<textarea rows="3" aria-label="Caption of {said}" placeholder="no caption" '
        f'spellcheck="false">{html.escape(tile.caption)}</textarea></article>'
    )

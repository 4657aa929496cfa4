"""Prompts that were fixed before the runs that they judge; `prompts/*.json` is what counts.

`python -m training.embedded prompts` writes the files where they are missing and never changes one.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from training.embedded.captions import has_colour_word
from training.embedded.collect import load_art
from training.embedded.denoiser import chosen
from training.embedded.latents import drawings, native_colour
from training.embedded.sets import BY_NAME, STYLES
from training.embedded.split import (
    colour_held_out,
    ground_held_out,
    pair_held_out,
    style_held_out,
)
from training.embedded.things import article, by_name, things
from training.embedded.variants import COLOURS, can_be_recoloured, main_region, split

FOLDER = Path(__file__).with_name("prompts")


@dataclass(frozen=True)
class Wish:
    """A prompt and what its picture must show; "" where nothing is asked.

    other: a second thing beside the first. held_out: a combination never shown in training.
    """

    thing: str
    colour: str = ""
    ground: str = ""
    style: str = ""
    other: str = ""
    held_out: bool = False

    @property
    def prompt(self) -> str:
        """The words that the model is given."""
        text = by_name()[self.thing].phrase(before=self.colour)
        if self.other:
            text += f" and {by_name()[self.other].phrase()}"
        if self.ground:
            text += f" on {article(f'{self.ground} background')}"
        return text + (f", {self.style} style" if self.style else "")


def is_held_out(wish: Wish) -> bool:
    """Whether training never shows what the wish combines."""
    return bool(
        (wish.colour and colour_held_out(wish.thing, wish.colour))
        or (wish.ground and ground_held_out(wish.thing, wish.ground))
        or (wish.style and style_held_out(wish.thing, wish.style))
        or (wish.other and pair_held_out(wish.thing, wish.other))
    )


def colours_of() -> dict[str, set[str]]:
    """The colours to ask a thing in: not its own, and none if few drawings can take one."""
    can: dict[str, list[bool]] = {}
    own: dict[str, set[str]] = {}
    for thing, _, picture in drawings():
        region = main_region(*split(picture))
        can.setdefault(thing.name, []).append(can_be_recoloured(region))
        own.setdefault(thing.name, set()).add(native_colour(picture, region))
    return {
        name: set(COLOURS) - own[name]
        for name, values in can.items()
        if np.mean(values) > 0.7 and not has_colour_word(name)
    }


def styles_of() -> dict[str, set[str]]:
    """The styles in which each thing is drawn, also those that are held out."""
    labels: dict[str, set[str]] = {}
    for icon in load_art()[0]:
        labels.setdefault(icon.label, set()).add(BY_NAME[icon.set].style)
    return {
        thing.name: set().union(*(labels.get(label, set()) for label in thing.icons))
        for thing in things()
    }


class Drawer:
    """Draws combinations of chosen things, held-out ones and others by turns."""

    def __init__(self, names: list[str], seed: int):
        self.rng = np.random.default_rng(seed)
        self.names = names
        self.colours = {n: colours for n, colours in colours_of().items() if n in set(names)}
        self.styles = styles_of()

    def _draw(self, kind: str) -> Wish:
        pick = self.rng.choice
        wish = Wish(str(pick(self.names)))
        if kind in ("colour", "both"):
            name = str(pick(list(self.colours)))
            wish = Wish(name, colour=str(pick(sorted(self.colours[name]))))
        if kind in ("ground", "both"):
            wish = replace(wish, ground=str(pick(list(COLOURS))))
        if kind == "style":
            wish = replace(wish, style=str(pick(STYLES)))
        if kind == "pair":
            wish = replace(wish, other=str(pick(self.names)))
        return wish

    def combinations(self, kind: str, count: int, held: int) -> list[Wish]:
        """`count` different wishes of a kind, `held` of them never shown in training."""
        left = {True: held, False: count - held}
        found: list[Wish] = []
        while any(left.values()):
            wish = self._draw(kind)
            wish = replace(wish, held_out=is_held_out(wish))
            drawn = wish.style in self.styles[wish.thing] or not wish.style
            clash = wish.other == wish.thing or (wish.colour and wish.colour == wish.ground)
            if left[wish.held_out] and drawn and not clash and wish not in found:
                found.append(wish)
                left[wish.held_out] -= 1
        return found


def gate() -> list[Wish]:
    """48 prompts on the 150 things of the short runs: 32 things and 16 combinations."""
    names = [thing.name for thing in chosen(150)]
    drawer = Drawer(names, 48)
    plain = [Wish(str(name)) for name in drawer.rng.choice(names, 32, replace=False)]
    kinds = (("colour", 5, 2), ("ground", 4, 1), ("style", 3, 1), ("both", 1, 0), ("pair", 3, 1))
    return plain + [wish for kind in kinds for wish in drawer.combinations(*kind)]


def final() -> list[Wish]:
    """200 prompts on all things: 100 things in plain words and 100 combinations."""
    names = [thing.name for thing in things()]
    drawer = Drawer(names, 200)
    plain = [Wish(str(name)) for name in drawer.rng.choice(names, 100, replace=False)]
    kinds = (
        ("colour", 28, 12),
        ("ground", 20, 8),
        ("style", 20, 10),
        ("both", 8, 4),
        ("pair", 24, 10),
    )
    return plain + [wish for kind in kinds for wish in drawer.combinations(*kind)]


def write() -> None:
    """The whole stage."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in (("gate", gate), ("final", final)):
        path = FOLDER / f"{name}.json"
        if path.exists():
            print(f"{path.name} stands already")
            continue
        lines = ",\n".join(json.dumps({"prompt": w.prompt, **asdict(w)}) for w in draw())
        path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def load(name: str) -> list[Wish]:
    """The wishes of a file, or "things": each once, or "styles": each thing in each of its styles.

    Raises ValueError when the words of a wish no longer give the prompt that was fixed.
    """
    if name == "things":
        return [Wish(thing.name) for thing in things()]
    if name == "styles":
        return [
            replace(wish, held_out=is_held_out(wish))
            for thing, styles in styles_of().items()
            for wish in (Wish(thing, style=style) for style in sorted(styles))
        ]
    wishes = []
    for entry in json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")):
        prompt = entry.pop("prompt")
        wish = Wish(**entry)
        if wish.prompt != prompt:
            raise ValueError(f"{wish} now gives {wish.prompt!r}, not {prompt!r}.")
        wishes.append(wish)
    return wishes

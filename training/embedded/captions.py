"""Captions: the words under a training picture, drawn anew each time that it is shown."""

from dataclasses import dataclass

import numpy as np

from training.embedded.things import Thing, article, by_name
from training.embedded.variants import COLOURS

EMPTY = 0.1  # share of captions that are left out, for classifier-free guidance
SYNONYM = 0.35
UNNAMED = 0.5  # changed colours: only where a tomato need not be red can a negative "red" choose
NAMED = 0.4  # colours that are a drawing's own
BARE = 0.03  # nothing but the colour, so that it is one to turn away from
NAMELESS = 0.08  # "an emoji in noto style": what a style is, whatever the thing
STYLE = 0.9  # at half, and at two thirds, near twins among styles were told apart last
FRAMES = ("{}", "{}", "{}", "{}", "{}", "{}", "{}", "{} emoji", "an emoji of {}", "a picture of {}")


@dataclass(frozen=True)
class Shown:
    """What a picture shows. colour, ground: "" where nothing was changed or the ground is white.

    native: the colour that the drawing has by itself, "" where none stands out.
    """

    thing: str
    style: str
    colour: str = ""
    native: str = ""
    ground: str = ""


def has_colour_word(words: str) -> bool:
    """Whether the words name a colour themselves ("red apple")."""
    return any(word in COLOURS for word in words.split())


def _word(thing: Thing, colour: str, rng: np.random.Generator) -> str:
    words = [word for word in thing.words if not (colour and has_colour_word(word))]
    if words and rng.random() < SYNONYM:
        return str(rng.choice(words))
    return thing.name


def _subject(shown: Shown, rng: np.random.Generator) -> str:
    thing = by_name()[shown.thing]
    colour = shown.colour
    if not colour and shown.native and rng.random() < NAMED and not has_colour_word(thing.name):
        colour = shown.native
    word = _word(thing, colour, rng)
    # A green apple that was made blue stays a "blue green apple".
    unnamed = bool(shown.colour) and rng.random() < UNNAMED and not has_colour_word(word)
    return thing.phrase(word, "" if unnamed else colour)


def _setting(shown: Shown, rng: np.random.Generator) -> str:
    text = ""
    if shown.ground:
        ground = f"{shown.ground} background"
        text += f" on {article(ground)}" if rng.random() < 0.85 else f", {ground}"
    elif rng.random() < 0.07:
        text += " on a white background"
    if rng.random() < STYLE:
        form = ", {} style" if rng.random() < 0.6 else " in {} style"
        text += form.format(shown.style)
    return text


def caption(shown: Shown, rng: np.random.Generator, other: Shown | None = None) -> str:
    """A caption of a picture; `other` is what stands right of it in a picture of two things."""
    if rng.random() < EMPTY:
        return ""
    if other is not None:
        both = f"{_subject(shown, rng)} and {_subject(other, rng)}"
        return both + _setting(shown, rng)
    colour = shown.colour or shown.native
    if colour and rng.random() < BARE:
        return colour
    if rng.random() < NAMELESS:
        return article(f"{shown.colour} emoji".strip()) + _setting(shown, rng)
    frame = str(rng.choice(FRAMES))
    return frame.format(_subject(shown, rng)) + _setting(shown, rng)

"""Which combinations are held out of training, so that composition can be measured.

Decided by a checksum of the words: the same in every stage, on every machine.
"""

from zlib import crc32

STYLES_HELD = 0.05
COLOURS_HELD = 0.15
GROUNDS_HELD = 0.15
PAIRS_HELD = 0.2


def _drawn(share: float, *words: str) -> bool:
    return crc32("/".join(words).encode()) % 10_000 < share * 10_000


def style_held_out(thing: str, style: str) -> bool:
    """Whether no drawing of the thing in this style is ever shown."""
    return _drawn(STYLES_HELD, "style", thing, style)


def colour_held_out(thing: str, colour: str) -> bool:
    """Whether the thing is never shown recoloured in this colour."""
    return _drawn(COLOURS_HELD, "colour", thing, colour)


def ground_held_out(thing: str, ground: str) -> bool:
    """Whether the thing is never shown on a background of this colour."""
    return _drawn(GROUNDS_HELD, "ground", thing, ground)


def pair_held_out(one: str, other: str) -> bool:
    """Whether the two things are never shown side by side, in either order."""
    return _drawn(PAIRS_HELD, "pair", *sorted((one, other)))

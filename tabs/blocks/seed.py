"""The seed with a button that draws anew and one that takes the last one again."""

from dataclasses import dataclass

import gradio as gr

from studio.requests import SEED_LIMIT


@dataclass(frozen=True)
class Seed:
    """Components of the group."""

    seed: gr.Number
    dice: gr.Button
    recycle: gr.Button


def build(ids: str) -> Seed:
    """Lay the group out; ids: what element ids begin with."""
    with gr.Row(elem_classes="at-inline"):
        seed = number("Seed (-1 draws one)", elem_id=f"{ids}seed")
        dice = gr.Button("Random", elem_id=f"{ids}dice", min_width=72)
        recycle = gr.Button("Last", elem_id=f"{ids}recycle", min_width=60)
    return Seed(seed, dice, recycle)


def number(label: str, elem_id: str | None = None) -> gr.Number:
    """A box for a seed."""
    return gr.Number(-1, label=label, precision=0, minimum=-1, maximum=SEED_LIMIT, elem_id=elem_id)


def wire(seed: Seed) -> None:
    """The dice needs no server; what the last seed was, the tab knows."""
    seed.dice.click(None, None, [seed.seed], js="() => -1")

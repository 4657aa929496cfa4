"""Ask a model for everything the judge knows and count what the judge recognises.

    PYTHONPATH=tests python -m judge.measure assets/models/emoji-v0 --seeds 1 2 3 --attributes

prints the figures of the model card. `measure` can be used with any way of drawing.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from judge.judge import Judge, background, colour_names, pixels

Draw = Callable[[str, int], Image.Image]  # from a prompt and a seed

COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")
COLOURED = ("cat", "automobile", "butterfly", "t-shirt", "umbrella", "balloon", "house", "guitar")


@dataclass(frozen=True)
class Verdict:
    """What the judge made of one picture; `place` is the thing's in its ranking, from 0."""

    prompt: str
    thing: str
    seed: int
    place: int
    taken_for: str
    is_picture: bool
    colour: str | None
    ground: str

    def recognised(self, top: int) -> bool:
        """Whether the thing was among the best `top` of a picture that is one."""
        return self.is_picture and self.place < top


def article(words: str) -> str:
    """The words with 'a' or 'an' before them."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def measure(draw: Draw, judge: Judge, wishes: Sequence[tuple[str, str]], seeds: Sequence[int]):
    """Draw every wish, a pair of prompt and thing, with every seed: a list of Verdicts."""
    verdicts = []
    for seed in seeds:
        for prompt, thing in wishes:
            image = draw(prompt, seed)
            ranking = [name for name, _ in judge.rank(image)]
            verdicts.append(
                Verdict(
                    prompt,
                    thing,
                    seed,
                    ranking.index(thing),
                    ranking[0],
                    judge.is_picture(image),
                    judge.colour(image),
                    str(colour_names(background(pixels(image, 128)))),
                )
            )
    return verdicts


def share(verdicts: Sequence[Verdict], top: int) -> float:
    """The share that was recognised among the best `top`."""
    return float(np.mean([verdict.recognised(top) for verdict in verdicts]))


def plain_wishes(judge: Judge) -> list[tuple[str, str]]:
    """'a cat' and so on, for every thing that the judge knows."""
    return [(article(thing), thing) for thing in sorted({str(thing) for thing in judge.things})]


def diffusers_draw(folder: Path, steps: int = 20, guidance: float = 4.0, side: int = 128) -> Draw:
    """Draw with plain diffusers: the folder's own sampler, fp32, seeds on the CPU."""
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def draw(prompt: str, seed: int) -> Image.Image:
        generator = torch.Generator("cpu").manual_seed(seed)
        return pipeline(
            prompt,
            num_inference_steps=steps,
            guidance_scale=guidance,
            width=side,
            height=side,
            generator=generator,
        ).images[0]

    return draw


def report(title: str, verdicts: Sequence[Verdict]) -> None:
    """Print the shares and every thing that was missed."""
    print(f"{title}: {len(verdicts)} pictures, {share(verdicts, 1):.1%} recognised as the first")
    print(f"    choice, {share(verdicts, 3):.1%} among the best three")
    missed = defaultdict(list)
    for verdict in verdicts:
        if not verdict.recognised(1):
            missed[verdict.prompt].append((verdict.seed, verdict.taken_for, verdict.place + 1))
    for prompt, cases in sorted(missed.items(), key=lambda item: -len(item[1])):
        print(f"    {prompt}: (seed, taken for, place of the thing) {cases}")


def main() -> None:
    """Measure a model folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a StableDiffusionPipeline folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--attributes", action="store_true", help="colours and backgrounds, too")
    arguments = parser.parse_args()
    judge, draw = Judge.load(), diffusers_draw(arguments.folder)

    report("things", measure(draw, judge, plain_wishes(judge), arguments.seeds))
    if not arguments.attributes:
        return
    pairs = [(colour, thing) for colour in COLOURS for thing in COLOURED]
    first = arguments.seeds[:1]
    wishes = [(article(f"{colour} {thing}"), thing) for colour, thing in pairs]
    verdicts = measure(draw, judge, wishes, first)
    report("coloured things", verdicts)
    wrong = [
        (v.prompt, v.colour) for v, (c, _) in zip(verdicts, pairs, strict=True) if v.colour != c
    ]
    print(f"    colour right: {1 - len(wrong) / len(pairs):.1%}; wrong {wrong}")
    wishes = [
        (f"{article(thing)} on {article(colour)} background", thing) for colour, thing in pairs
    ]
    verdicts = measure(draw, judge, wishes, first)
    report("on a coloured background", verdicts)
    wrong = [
        (v.prompt, v.ground) for v, (c, _) in zip(verdicts, pairs, strict=True) if v.ground != c
    ]
    print(f"    background right: {1 - len(wrong) / len(pairs):.1%}; wrong {wrong}")


if __name__ == "__main__":
    main()

"""Draw fixed prompts with a pipeline folder and let the judge of the tests count what is right."""

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from judge.judge import Judge
from PIL import Image

from studio.training.watching.embedded_judge.picture import background, colour_names, halves, pixels
from training.embedded.prompts import Wish, load
from training.embedded.workshop import workshop

BATCH = 8
SIDE = 128
SETTINGS = Path(__file__).with_name("card.toml")
"""What a new model's folder gets as its atelier.toml."""


@dataclass(frozen=True)
class Verdict:
    """What the judge made of one picture; None where the wish asks for no such thing.

    first, third: the things are the judge's first choice, or among its best three.
    """

    wish: Wish
    seed: int
    taken_for: str
    first: bool
    third: bool
    colour: bool | None
    ground: bool | None
    style: bool | None


def best_cfg(folder: Path) -> float:
    """The CFG that suits a model by its folder's settings, or by those that a new one gets."""
    own = folder / "atelier.toml"
    settings = tomllib.loads((own if own.is_file() else SETTINGS).read_text(encoding="utf-8"))
    return float(settings["cfg_scale"])


def pipeline(folder: Path, dtype: torch.dtype = torch.float32) -> StableDiffusionPipeline:
    """The pipeline of a folder, silent."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(
    pipe: StableDiffusionPipeline, prompts: Sequence[str], seed: int, cfg: float, steps: int
) -> list[Image.Image]:
    """A picture of each prompt, all from the noise of one seed."""
    images: list[Image.Image] = []
    for i in range(0, len(prompts), BATCH):
        part = list(prompts[i : i + BATCH])
        images += pipe(
            part,
            num_inference_steps=steps,
            guidance_scale=cfg,
            width=SIDE,
            height=SIDE,
            generator=[torch.Generator().manual_seed(seed) for _ in part],
        ).images
    return images


def judged(judge: Judge, wish: Wish, seed: int, image: Image.Image) -> Verdict:
    """The verdict on one picture."""
    parts = halves(image) if wish.other else [image]
    rankings = [[name for name, _ in judge.rank(part)] for part in parts]
    asked = [wish.thing, wish.other] if wish.other else [wish.thing]
    is_picture = judge.is_picture(image)

    def among(top: int) -> bool:
        orders = [asked, asked[::-1]] if wish.other else [asked]
        return is_picture and any(
            all(thing in ranking[:top] for thing, ranking in zip(order, rankings, strict=True))
            for order in orders
        )

    ground = str(colour_names(background(pixels(image, SIDE))))
    return Verdict(
        wish=wish,
        seed=seed,
        taken_for=" and ".join(ranking[0] for ranking in rankings),
        first=among(1),
        third=among(3),
        colour=judge.colour(image) == wish.colour if wish.colour else None,
        ground=ground == wish.ground if wish.ground else None,
        style=judge.style(image, wish.thing) == wish.style if wish.style else None,
    )


def share(verdicts: Sequence[Verdict], right: Callable[[Verdict], bool | None]) -> str:
    """The share that is right among those that were asked for it, and their number."""
    values = [right(v) for v in verdicts if right(v) is not None]
    return f"{np.mean(values):.1%} of {len(values)}" if values else "none asked"


def table(verdicts: Sequence[Verdict]) -> list[str]:
    """The figures as lines of a Markdown table."""
    plain = [v for v in verdicts if not any((*_asked(v.wish), v.wish.other))]
    single = [v for v in verdicts if any(_asked(v.wish)) and not v.wish.other]
    pairs = [v for v in verdicts if v.wish.other]
    rows = [("things", plain), ("combinations, seen", [v for v in single if not v.wish.held_out])]
    rows += [("combinations, held out", [v for v in single if v.wish.held_out])]
    rows += [("both things of a pair", pairs)]
    lines = ["| asked | first choice | among three |", "|---|---|---|"]
    for name, group in rows:
        first, third = share(group, lambda v: v.first), share(group, lambda v: v.third)
        lines.append(f"| {name} | {first} | {third} |")
    for name in ("colour", "ground", "style"):
        lines.append(f"| {name} right | {share(verdicts, lambda v, n=name: getattr(v, n))} | |")
    return lines


def _asked(wish: Wish) -> tuple[str, str, str]:
    return wish.colour, wish.ground, wish.style


def verdicts_path(folder: Path, name: str, cfg: float) -> Path:
    """Where the verdicts on a model's pictures of a file of wishes are kept."""
    return workshop() / "drawn" / f"{folder.name}-{name}-cfg{cfg:g}" / "verdicts.json"


def evaluate(folder: Path, name: str, seeds: Sequence[int], cfg: float, steps: int) -> None:
    """Print the table for a file of wishes; pictures and verdicts go to the workshop."""
    judge, pipe, wishes = Judge.load(), pipeline(folder), load(name)
    path = verdicts_path(folder, name, cfg)
    path.parent.mkdir(parents=True, exist_ok=True)
    verdicts = []
    for seed in seeds:
        images = draw(pipe, [wish.prompt for wish in wishes], seed, cfg, steps)
        sheet(images).save(path.with_name(f"seed-{seed}.png"))
        verdicts += [judged(judge, w, seed, i) for w, i in zip(wishes, images, strict=True)]
    lines = table(verdicts)
    right = {}
    for verdict in verdicts:
        right.setdefault(verdict.wish.prompt, []).append(verdict.third)
    most = sum(np.mean(values) > 0.5 for values in right.values())
    lines.append(f"| prompts recognised in most seeds | | {most} of {len(right)} |")
    path.write_text(json.dumps([asdict(v) for v in verdicts], indent=0), encoding="utf-8")
    print("\n".join(lines))
    for verdict in verdicts:
        if not verdict.first:
            print(f"{verdict.wish.prompt!r} seed {verdict.seed}: {verdict.taken_for}")


def sheet(images: Sequence[Image.Image], columns: int = 8) -> Image.Image:
    """Pictures in rows."""
    rows = -(-len(images) // columns)
    canvas = Image.new("RGB", (columns * SIDE, rows * SIDE), "white")
    for i, image in enumerate(images):
        canvas.paste(image, (i % columns * SIDE, i // columns * SIDE))
    return canvas

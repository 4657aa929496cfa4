"""All training pictures as latents, encoded once.

Makes `latents.npz`: `whole` (n, 4, 16, 16) and `half` (m, 4, 16, 8) in float16, and `latents.json`
with what each row shows. A picture of two things is two halves side by side, so that every pair can
be shown without being encoded: between the halves is nothing but background, and latents differ by
7% of their deviation from those of the whole picture (0.3 dB once decoded).
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from zlib import crc32

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from tqdm import tqdm

from studio.training.watching.embedded_judge.picture import colour_names, main_colour
from training.embedded.captions import Shown, has_colour_word
from training.embedded.collect import Icon, load_art
from training.embedded.sets import BY_NAME
from training.embedded.split import colour_held_out, ground_held_out, style_held_out
from training.embedded.things import Thing, things
from training.embedded.vae import latents_of
from training.embedded.variants import (
    COLOURS,
    GROUNDS,
    WHITE,
    Region,
    beside,
    can_be_recoloured,
    jittered,
    laid_on,
    main_region,
    recoloured,
    split,
)
from training.embedded.workshop import workshop

BATCH = 8  # larger ones leave the cache and take twice as long
COLOURS_EACH = 3  # recoloured pictures of a drawing
GROUNDS_EACH = 3
BOTH_EACH = 1  # backgrounds of each recoloured picture
PAIR_GROUNDS = ("blue", "yellow")
HALF_SEEN = 80  # px: a half and as much beside it as its latents depend on


@dataclass
class Bank:
    """Rows of latents and what they show, by kind of picture.

    kinds: name of the kind -> rows of `whole`. halves: (ground, right) -> rows of `half`.
    """

    whole: np.ndarray
    half: np.ndarray
    shown: list[Shown]
    shown_half: list[Shown]
    kinds: dict[str, np.ndarray] = field(default_factory=dict)
    halves: dict[tuple[str, bool], np.ndarray] = field(default_factory=dict)


def drawings() -> Iterator[tuple[Thing, Icon, np.ndarray]]:
    """Every drawing of every thing with its picture (128, 128, 4)."""
    icons, pictures = load_art()
    rows: dict[str, list[int]] = {}
    for row, icon in enumerate(icons):
        rows.setdefault(icon.label, []).append(row)
    for thing in things():
        for label in thing.icons:
            for row in rows.get(label, []):
                yield thing, icons[row], np.asarray(pictures[row])


def native_colour(picture: np.ndarray, region: Region) -> str:
    """The colour that stands out in a drawing by itself, "" if hardly half of it has one."""
    rgb, alpha = split(picture)
    inside = rgb[(region.weights * alpha) > 0.5]
    names, counts = np.unique(colour_names(inside), return_counts=True)
    if region.share < 0.5 or not len(names) or counts.max() < 0.6 * counts.sum():
        return ""
    return str(names[counts.argmax()])


def coloured(
    thing: Thing, picture: np.ndarray, region: Region, colours: Iterable[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """The drawing in each of the colours that the judge then calls it by."""
    if has_colour_word(thing.name) or not can_be_recoloured(region):
        return
    for colour in colours:
        if not colour_held_out(thing.name, colour):
            made = recoloured(picture, region, COLOURS[colour])
            if named_colour(made) == colour:
                yield colour, made


def named_colour(picture: np.ndarray) -> str | None:
    """What the judge calls the colour of a drawing."""
    white = np.rint(laid_on(picture, WHITE) * 255).astype("u1")
    return main_colour(Image.fromarray(white))


def _shuffled(values: Iterable[str], rng: np.random.Generator) -> list[str]:
    return [str(value) for value in rng.permutation(list(values))]


Picture = tuple[str, Shown, np.ndarray]
"""The kind of a picture, what it shows, and its pixels (128, width, 3) as uint8."""


def _bytes(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels * 255).astype("u1")


def pictures_of(drawing: tuple[Thing, Icon, np.ndarray], seed: int = 0) -> list[Picture]:
    """All training pictures of one drawing, whole ones and halves of pairs ("left", "right")."""
    thing, icon, picture = drawing
    rng = np.random.default_rng((seed, crc32(f"{icon.set}/{icon.icon}".encode())))
    region = main_region(*split(picture))
    native = native_colour(picture, region)
    free = [g for g in GROUNDS if not ground_held_out(thing.name, g)]
    own = Shown(thing.name, BY_NAME[icon.set].style, native=native)
    colours = _shuffled((c for c in COLOURS if c != native), rng)
    made: list[Picture] = [("plain", own, _bytes(laid_on(picture, WHITE)))]
    for colour, new in islice(coloured(thing, picture, region, colours), COLOURS_EACH):
        shown = replace(own, colour=colour, native="")
        made.append(("coloured", shown, _bytes(laid_on(new, WHITE))))
        grounds = [g for g in _shuffled(free, rng) if g != colour]
        for ground in grounds[:BOTH_EACH]:
            pixels = laid_on(new, jittered(GROUNDS[ground], rng))
            made.append(("both", replace(shown, ground=ground), _bytes(pixels)))
    for ground in [g for g in _shuffled(free, rng) if g != native][:GROUNDS_EACH]:
        pixels = laid_on(picture, jittered(GROUNDS[ground], rng))
        made.append(("grounded", replace(own, ground=ground), _bytes(pixels)))
    for ground in ("", *(g for g in PAIR_GROUNDS if g in free)):
        left, right = (
            _bytes(beside(picture, GROUNDS.get(ground, WHITE), at_right))
            for at_right in (False, True)
        )
        shown = replace(own, ground=ground)
        made.append(("left", shown, left[:, :HALF_SEEN]))
        made.append(("right", shown, right[:, -HALF_SEEN:]))
    return made


class _Encoder:
    """Encodes pictures in batches and keeps the latents in float16."""

    def __init__(self, vae: AutoencoderKL):
        self._vae = vae
        self._waiting: list[np.ndarray] = []
        self._done: list[np.ndarray] = []

    def add(self, pixels: np.ndarray) -> None:
        self._waiting.append(pixels)
        if len(self._waiting) == BATCH:
            self._run()

    @torch.inference_mode()
    def _run(self) -> None:
        batch = torch.from_numpy(np.stack(self._waiting)).permute(0, 3, 1, 2).contiguous()
        self._done.append(latents_of(self._vae, batch.float() / 127.5 - 1).half().numpy())
        self._waiting.clear()

    def result(self) -> np.ndarray:
        """All latents, in the order of the pictures."""
        if self._waiting:
            self._run()
        return np.concatenate(self._done)


def encode(seed: int = 0) -> None:
    """The whole stage. Another seed draws other colours and backgrounds."""
    vae = AutoencoderKL.from_pretrained(workshop() / "vae", dtype=torch.float32).eval()
    whole, halves = _Encoder(vae), _Encoder(vae)
    rows: list[dict] = []
    half_rows: list[dict] = []
    shown_drawings = [
        drawing
        for drawing in drawings()
        if not style_held_out(drawing[0].name, BY_NAME[drawing[1].set].style)
    ]
    # First all pictures, then all latents: torch's threads and the pool's would starve each other.
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        work = pool.map(partial(pictures_of, seed=seed), shown_drawings, chunksize=8)
        everything = list(tqdm(work, total=len(shown_drawings), desc="pictures", mininterval=10))
    for made in tqdm(everything, desc="latents", mininterval=10):
        for kind, shown, pixels in made:
            if kind in ("left", "right"):
                halves.add(pixels)
                half_rows.append({"right": kind == "right", **asdict(shown)})
            else:
                whole.add(pixels)
                rows.append({"kind": kind, **asdict(shown)})
    wide = halves.result()
    right = np.array([row["right"] for row in half_rows])[:, None, None, None]
    half = np.where(right, wide[..., -8:], wide[..., :8])
    np.savez(workshop() / "latents.npz", whole=whole.result(), half=half)
    text = json.dumps({"whole": rows, "half": half_rows}, indent=0)
    (workshop() / "latents.json").write_text(text, encoding="utf-8")
    counts = Counter(row["kind"] for row in rows)
    print(
        f"{len(rows)} pictures of {len(shown_drawings)} drawings {dict(counts)}, {len(half)} halves"
    )


def load_bank() -> Bank:
    """What `encode` made."""
    if not (workshop() / "latents.json").is_file():
        raise SystemExit("There are no latents yet: run python -m training.embedded latents first.")
    index = json.loads((workshop() / "latents.json").read_text(encoding="utf-8"))
    with np.load(workshop() / "latents.npz") as stored:
        whole, half = stored["whole"], stored["half"]
    kinds = np.array([row.pop("kind") for row in index["whole"]])
    rights = np.array([row.pop("right") for row in index["half"]])
    shown = [Shown(**row) for row in index["whole"]]
    shown_half = [Shown(**row) for row in index["half"]]
    bank = Bank(whole, half, shown, shown_half)
    bank.kinds = {str(kind): np.flatnonzero(kinds == kind) for kind in np.unique(kinds)}
    grounds = np.array([row.ground for row in shown_half])
    for ground in np.unique(grounds):
        for right in (False, True):
            here = np.flatnonzero((grounds == ground) & (rights == right))
            bank.halves[str(ground), right] = here
    return bank

"""Teach the text encoder what its words look like, before and without the UNet.

Through the UNet it learns slowly: a word that the start weights do not know stands for whatever is
near it, and most of the pictures are then of the wrong thing. Here linear heads must read from its
states what a caption's picture shows: the picture itself, at an eighth of its size, which things
they are and, where the caption names it, in which style. The heads are thrown away. Captions of
things that the start weights draw already (named in `known.txt` of the workshop, a line each) keep
the states that their UNet knows.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.embedded import checkpoint
from training.embedded.captions import Shown, caption
from training.embedded.denoiser import Sampler
from training.embedded.latents import load_bank
from training.embedded.painter import Painter, Words, build
from training.embedded.recipes import Recipe
from training.embedded.sets import STYLES
from training.embedded.things import things
from training.embedded.workshop import Progress, workshop

BATCH = 64
RATE = 4e-4
NAMED = 0.3  # weight of naming the things against drawing them
KEPT = 2.0  # weight of keeping states
SAVE_EVERY = 200
COARSE = 8  # the side of the coarse latents


class Heads(nn.Module):
    """Linear readings of one state (b, 256): coarse latents, left and right thing, style."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.picture = nn.Linear(width, 4 * COARSE * COARSE)
        self.left = nn.Linear(width, len(things()))
        self.right = nn.Linear(width, len(things()) + 1)  # the last class: nothing
        self.style = nn.Linear(width, len(STYLES) + 1)  # the last class: not named

    def loss(self, state: torch.Tensor, shown: "Lesson") -> torch.Tensor:
        """How badly the state tells what is shown."""
        state = self.norm(state)
        drawn = functional.mse_loss(self.picture(state), shown.coarse.flatten(1))
        named = functional.cross_entropy(self.left(state), shown.left)
        named = named + functional.cross_entropy(self.right(state), shown.right)
        return drawn + NAMED * (named + functional.cross_entropy(self.style(state), shown.style))


@dataclass(frozen=True)
class Lesson:
    """What the pictures of captions show: coarse latents (b, 4, 8, 8) and numbers (b,)."""

    coarse: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    style: torch.Tensor


def known_things() -> set[str]:
    """The things of `known.txt`, none if there is no such file."""
    path = workshop() / "known.txt"
    return set(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else set()


class Lessons:
    """Draws captions that are never empty, with what their pictures show."""

    def __init__(self, recipe: Recipe):
        self.bank = load_bank()
        self.sampler = Sampler(self.bank, recipe)
        self.seed = recipe.seed
        self.number = {thing.name: i for i, thing in enumerate(things())}

    def batch(self, step: int) -> tuple[list[str], Lesson]:
        """Texts and what their pictures show."""
        rng = np.random.default_rng((self.seed, 7, step))
        texts, pictures, left, right, styles = [], [], [], [], []
        while len(texts) < BATCH:
            kind = str(rng.choice(self.sampler.names, p=self.sampler.shares))
            if kind == "pair":
                rows = self.sampler.pair_rows(rng)
                shown = tuple(self.bank.shown_half[row] for row in rows)
                text = caption(shown[0], rng, shown[1])
                picture = np.concatenate([self.bank.half[row] for row in rows], axis=-1)
                right_number = self.number[shown[1].thing]
            else:
                row = int(rng.choice(self.sampler.kinds[kind]))
                shown = (self.bank.shown[row],)
                text, picture = caption(shown[0], rng), self.bank.whole[row]
                right_number = len(self.number)
            if text:
                texts.append(text)
                pictures.append(picture)
                left.append(self.number[shown[0].thing])
                right.append(right_number)
                style = shown[0].style if f"{shown[0].style} style" in text else ""
                styles.append(STYLES.index(style) if style else len(STYLES))
        latents = torch.from_numpy(np.stack(pictures)).float()
        coarse = functional.avg_pool2d(latents, latents.shape[-1] // COARSE)
        numbers = (torch.tensor(column) for column in (left, right, styles))
        return texts, Lesson(coarse, *numbers)

    def kept(self, step: int, known: list[str]) -> list[str]:
        """Captions of known things as the start weights know them: without styles."""
        rng = np.random.default_rng((self.seed, 8, step))
        names = rng.choice(known, BATCH // 4)
        return [caption(Shown(str(name), ""), rng).partition(",")[0] for name in names]


def teach(recipe: Recipe, words: Words, steps: int) -> Painter:
    """A painter whose text encoder has had its lessons; they go on from their last checkpoint."""
    path = workshop() / "words.safetensors"
    painter, lessons = build(replace(recipe, taught=False), words), Lessons(recipe)
    text, before = painter.text, copy.deepcopy(painter.text).eval()
    heads = Heads(text.config.hidden_size)
    known = sorted(known_things() & {thing.name for thing in things()})
    parameters = [*text.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.99), weight_decay=0.01)
    stored, done = checkpoint.load(path)
    if stored:
        text.load_state_dict(checkpoint.pick(stored, "text"))
        heads.load_state_dict(checkpoint.pick(stored, "heads"))
        checkpoint.restore_optimizer(optimizer, checkpoint.pick(stored, "optimizer"))
    progress = Progress(steps, done)
    for step in range(done, steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 50) * (1 - step / steps)
        texts, shown = lessons.batch(step)
        ids = words.ids(texts, 32)
        states = text(ids).last_hidden_state
        rows = torch.arange(len(texts))
        ends = (ids == words.tokenizer.eos_token_id).int().argmax(1)
        loss = sum(
            heads.loss(states[rows, place], shown)
            for place in (ends, torch.full_like(ends, states.shape[1] - 1))
        )
        figures = {"loss": float(loss.detach())}
        if known:
            old = words.ids(lessons.kept(step, known), 32)
            with torch.no_grad():
                wanted = before(old).last_hidden_state
            kept = functional.mse_loss(text(old).last_hidden_state, wanted)
            figures["kept"] = float(kept.detach())
            loss = loss + KEPT * kept
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        progress.step(**figures)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            tensors = checkpoint.put("text", text.state_dict())
            tensors |= checkpoint.put("heads", heads.state_dict())
            tensors |= checkpoint.put("optimizer", checkpoint.optimizer_tensors(optimizer))
            checkpoint.save(path, tensors, step + 1)
    return painter

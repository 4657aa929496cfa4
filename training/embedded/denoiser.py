"""Train the UNet and the text encoder on latents and captions.

The rate is constant after a short warm-up, so that a run can always go on; `cool` branches off with
a rate that falls to nothing, and what it leaves is what ships. v-prediction, the noise schedule of
Stable Diffusion, min-SNR weights (Hang et al. 2023, section 3.4, for v).
"""

import math
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.embedded import checkpoint
from training.embedded.captions import caption
from training.embedded.latents import Bank, load_bank
from training.embedded.muon import Muon
from training.embedded.painter import SHORT, TOKENS, Painter, PlainAttention, Words, build, graft
from training.embedded.recipes import Recipe
from training.embedded.split import pair_held_out
from training.embedded.things import things
from training.embedded.workshop import Progress, autocast, workshop

SHORT_SHARE = 0.85
"""Of the steps that cut the padding; the others keep the denoiser used to all 77 tokens."""

PROBES = 240
SAVE_EVERY = 300.0  # s


def alphas() -> torch.Tensor:
    """The cumulative products of scaled linear betas from 0.00085 to 0.012: (1000,)."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float()


class Optimizers:
    """AdamW for everything, or Muon for the UNet's inner matrices and AdamW for the rest."""

    def __init__(self, painter: Painter, recipe: Recipe):
        unet = dict(painter.unet.named_parameters())
        inner = {
            name
            for name, weight in unet.items()
            if recipe.optimizer == "muon"
            and weight.ndim >= 2
            and not name.startswith(("conv_in", "conv_out", "time_embedding"))
        }
        adamw = [
            {"params": [w for n, w in unet.items() if n not in inner], "rate": recipe.unet_rate},
            {"params": list(painter.text.parameters()), "rate": recipe.text_rate},
        ]
        if recipe.text_rate == 0:
            painter.text.requires_grad_(False)
            del adamw[1]
        self.all: dict[str, torch.optim.Optimizer] = {
            "adamw": torch.optim.AdamW(
                adamw, lr=0, betas=(0.9, 0.99), weight_decay=0.01, fused=True
            )
        }
        if inner:
            muon = [{"params": [unet[n] for n in sorted(inner)], "rate": recipe.unet_rate}]
            self.all["muon"] = Muon(muon, lr=0)

    def step(self, factor: float) -> None:
        """A step at a share of the rates."""
        for optimizer in self.all.values():
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


@dataclass(frozen=True)
class Batch:
    """Latents (b, 4, 16, 16) and their captions."""

    latents: torch.Tensor
    texts: list[str]


class Sampler:
    """Draws training batches from the bank: the same for the same step."""

    def __init__(self, bank: Bank, recipe: Recipe):
        self.bank, self.recipe = bank, recipe
        self.names = list(recipe.shares)
        self.shares = np.array([recipe.shares[name] for name in self.names])
        self.shares /= self.shares.sum()
        wanted = {thing.name for thing in chosen(recipe.things)}
        self.kinds = {
            kind: np.array([row for row in rows if bank.shown[row].thing in wanted])
            for kind, rows in bank.kinds.items()
        }
        self.halves = {
            key: self._by_style(np.array([r for r in rows if bank.shown_half[r].thing in wanted]))
            for key, rows in bank.halves.items()
        }
        self.grounds = sorted({ground for ground, _ in bank.halves})

    def _by_style(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        styles = np.array([self.bank.shown_half[row].style for row in rows])
        return {str(style): rows[styles == style] for style in np.unique(styles)}

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        rng = np.random.default_rng((self.recipe.seed, step))
        latents, texts = [], []
        for kind in rng.choice(self.names, self.recipe.batch, p=self.shares):
            picture, text = self.pair(rng) if kind == "pair" else self.single(str(kind), rng)
            latents.append(picture)
            texts.append(text)
        return Batch(torch.from_numpy(np.stack(latents)).float(), texts)

    def single(self, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        """A picture of one thing and its caption."""
        row = int(rng.choice(self.kinds[kind]))
        return self.bank.whole[row], caption(self.bank.shown[row], rng)

    def pair(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        """A picture of two things and its caption."""
        left, right = self.pair_rows(rng)
        picture = np.concatenate([self.bank.half[left], self.bank.half[right]], axis=-1)
        return picture, caption(self.bank.shown_half[left], rng, self.bank.shown_half[right])

    def pair_rows(self, rng: np.random.Generator) -> tuple[int, int]:
        """Rows of a left and a right half in one style, a pair that is not held out."""
        ground = "" if rng.random() < 0.6 else str(rng.choice(self.grounds))
        left_rows, right_rows = self.halves[ground, False], self.halves[ground, True]
        style = str(rng.choice(sorted(set(left_rows) & set(right_rows))))
        while True:
            left, right = int(rng.choice(left_rows[style])), int(rng.choice(right_rows[style]))
            names = [self.bank.shown_half[row].thing for row in (left, right)]
            if not pair_held_out(*names):
                return left, right


def chosen(count: int) -> list:
    """The first `count` things of a fixed shuffled order, all for 0."""
    order = np.random.default_rng(150).permutation(len(things()))
    return [things()[i] for i in order[: count or None]]


def timesteps(count: int, shift: float, generator: torch.Generator) -> torch.Tensor:
    """Stratified random timesteps (count,), shifted as in Esser et al. 2024, equation 23."""
    u = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    u = shift * u / (1 + (shift - 1) * u)
    t = (u * 1000).long().clamp(0, 999)
    return t[torch.randperm(count, generator=generator)]


class Probe:
    """The plain v loss on fixed pictures, captions, timesteps and noise."""

    def __init__(self, sampler: Sampler, words: Words, table: torch.Tensor):
        rng = np.random.default_rng(4)
        kinds = ["plain", "plain", "coloured", "grounded", "both", "pair"]
        drawn = [
            sampler.pair(rng) if kinds[i % 6] == "pair" else sampler.single(kinds[i % 6], rng)
            for i in range(PROBES)
        ]
        generator = torch.Generator().manual_seed(4)
        self.latents = torch.from_numpy(np.stack([picture for picture, _ in drawn])).float()
        self.ids = words.ids([text for _, text in drawn])
        self.t = timesteps(PROBES, 1.0, generator)
        self.noise = torch.randn(self.latents.shape, generator=generator)
        self.table = table

    @torch.inference_mode()
    def loss(self, painter: Painter, mean: checkpoint.Tensors) -> float:
        """The loss of the averaged weights; the painter's own are put back."""
        own = {name: value.clone() for name, value in painter.state_dict().items()}
        painter.load_state_dict(mean)
        total = 0.0
        for part in torch.arange(PROBES).split(48):
            noisy, wanted = noised(
                self.latents[part], self.noise[part], self.table[self.t[part]].view(-1, 1, 1, 1)
            )
            made = painter(noisy, self.t[part], self.ids[part])
            total += float((made - wanted).square().mean()) * len(part) / PROBES
        painter.load_state_dict(own)
        return total


def noised(
    latents: torch.Tensor, noise: torch.Tensor, alpha: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy latents and their velocity (Salimans and Ho 2022, appendix D)."""
    return (
        alpha.sqrt() * latents + (1 - alpha).sqrt() * noise,
        alpha.sqrt() * noise - (1 - alpha).sqrt() * latents,
    )


def weights(alpha: torch.Tensor, gamma: float) -> torch.Tensor:
    """Min-SNR weights of the v loss for cumulative products of alphas; all one for gamma 0."""
    snr = alpha / (1 - alpha)
    return snr.clamp(max=gamma) / (snr + 1) if gamma else torch.ones_like(alpha)


@dataclass
class Run:
    """A run in a folder of the workshop: its checkpoint, its curve, and what it works on.

    began: the step at which the optimizer's state began, from which the rate warms up. cooled_from:
    the step from which it falls, -1 as long as it does not.
    """

    folder: Path
    recipe: Recipe
    painter: Painter
    mean: checkpoint.Mean
    optimizers: Optimizers
    step: int = 0
    seconds: float = 0.0
    began: int = 0
    cooled_from: int = -1

    @classmethod
    def open(cls, name: str, recipe: Recipe, words: Words) -> "Run":
        """A new run, or the one of that name where it was left."""
        painter = build(recipe, words).to(memory_format=torch.channels_last)
        painter.unet.set_attn_processor(PlainAttention())
        painter.text.set_attn_implementation("eager")
        folder = workshop() / "runs" / name
        stored, step = checkpoint.load(folder / "state.safetensors")
        grown = bool(stored) and graft(painter, checkpoint.pick(stored, "model"))
        mean = checkpoint.Mean(painter, recipe.mean_decay)
        run = cls(folder, recipe, painter, mean, Optimizers(painter, recipe))
        if stored:
            run.step, run.seconds = step, float(stored["seconds"])
            run.began = step if grown else int(stored.get("began", torch.tensor(0)))
            run.cooled_from = int(stored.get("cooled_from", torch.tensor(-1)))
            mean.restore(checkpoint.pick(stored, "mean"))
        if stored and not grown:
            for kind, optimizer in run.optimizers.all.items():
                checkpoint.restore_optimizer(optimizer, checkpoint.pick(stored, kind))
        return run

    def save(self) -> None:
        """Write the checkpoint."""
        tensors = checkpoint.put("model", self.painter.state_dict())
        tensors |= checkpoint.put("mean", self.mean.tensors)
        for kind, optimizer in self.optimizers.all.items():
            tensors |= checkpoint.put(kind, checkpoint.optimizer_tensors(optimizer))
        tensors["began"] = torch.tensor(self.began)
        tensors["cooled_from"] = torch.tensor(self.cooled_from)
        tensors["seconds"] = torch.tensor(self.seconds, dtype=torch.float64)
        checkpoint.save(self.folder / "state.safetensors", tensors, self.step)

    def branch(self, name: str) -> None:
        """Go on under another name; what was saved stays, and the rate does not fall yet."""
        if not self.step:
            raise SystemExit(f"There is no run {self.folder.name!r} to start {name!r} from.")
        source, self.folder = self.folder, self.folder.with_name(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        if (source / "curve.tsv").is_file():
            shutil.copy(source / "curve.tsv", self.folder)
        self.cooled_from = -1
        self.save()

    def log(self, **figures: float) -> None:
        """Add a line to the curve."""
        curve = self.folder / "curve.tsv"
        new = not curve.exists()
        with curve.open("a") as stream:
            if new:
                print("step", "minutes", *figures, sep="\t", file=stream)
            values = [f"{value:.5f}" for value in figures.values()]
            print(self.step, f"{self.seconds / 60:.1f}", *values, sep="\t", file=stream)


def blend(one: Run, other: Run, name: str) -> None:
    """Branch a run off `other` whose weights are the mean of its own and those of `one`.

    They must be of one descent, or there is nothing good between them (Wortsman et al. 2022).
    """
    if not one.step:
        raise SystemExit(
            f"There is no run {one.folder.name!r} to blend {other.folder.name!r} with."
        )
    if other.folder.with_name(name).exists():
        raise SystemExit(f"There is a run {name!r} already; blend under another name.")
    weights, own = one.painter.state_dict(), other.painter.state_dict()
    for key, value in own.items():
        if value.is_floating_point():
            value.lerp_(weights[key], 0.5)
    other.mean.restore(own)
    other.branch(name)


def train(run: Run, words: Words, minutes: float, cool_steps: int = 0) -> None:
    """Go on until a run has had so many minutes in all, or for `cool_steps` with a falling rate.

    A falling rate goes on falling where a killed run left it. One that is constant again can fall
    anew.
    """
    bank = load_bank()
    sampler, table = Sampler(bank, run.recipe), alphas()
    probe = Probe(Sampler(bank, Recipe()), words, table)
    if not cool_steps:
        run.cooled_from = -1
    elif run.cooled_from < 0:
        run.cooled_from = run.step
    last = run.cooled_from + cool_steps
    if cool_steps and run.step >= last:
        return
    began, before = time.monotonic(), run.seconds
    saved, losses = began, []
    if os.environ.get("EMBEDDED_COMPILE"):
        compile_steps(run, sampler, words, table)
    progress = Progress(total=last - run.step if cool_steps else 0)
    run.folder.mkdir(parents=True, exist_ok=True)
    while True:
        factor = min(1.0, (run.step - run.began + 1) / run.recipe.warmup)
        if cool_steps:
            factor = (last - run.step) / cool_steps
        losses.append(one_step(run, sampler, words, table, factor))
        now = time.monotonic()
        run.seconds = before + now - began
        left = {} if cool_steps else {"minutes_left": minutes - run.seconds / 60}
        progress.step(loss=float(np.mean(losses[-50:])), **left)
        over = run.step >= last if cool_steps else run.seconds >= minutes * 60
        if over or now - saved > SAVE_EVERY:
            loss = probe.loss(run.painter, run.mean.tensors)
            run.log(train=float(np.mean(losses)), probe=loss)
            print(f"probe {loss:.4f}", flush=True)
            losses.clear()
            run.save()
            saved = time.monotonic()
        if over:
            return


def compile_steps(run: Run, sampler: Sampler, words: Words, table: torch.Tensor) -> None:
    """Compile the run's steps, checked on the batch of its next one."""
    batch = sampler.batch(run.step)
    t = timesteps(run.recipe.batch, run.recipe.shift, torch.Generator().manual_seed(run.step))
    noisy, _ = noised(batch.latents, torch.randn_like(batch.latents), table[t].view(-1, 1, 1, 1))
    short = [" ".join(text.split()[:8]) for text in batch.texts]
    with autocast():
        run.painter.compile_steps(
            noisy.to(memory_format=torch.channels_last), t, words.ids(short, SHORT)
        )


def one_step(run: Run, sampler: Sampler, words: Words, table: torch.Tensor, factor: float) -> float:
    """One optimizer step; the weighted loss."""
    recipe = run.recipe
    batch = sampler.batch(run.step)
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + run.step)
    t = timesteps(recipe.batch, recipe.shift, generator)
    noise = torch.randn(batch.latents.shape, generator=generator)
    alpha = table[t].view(-1, 1, 1, 1)
    noisy, wanted = noised(batch.latents, noise, alpha)
    length = SHORT if torch.rand((), generator=generator) < SHORT_SHARE else TOKENS
    ids = words.ids(batch.texts, length)
    with autocast():
        made = run.painter(noisy.to(memory_format=torch.channels_last), t, ids).float()
    loss = (weights(alpha, recipe.gamma) * (made - wanted).square()).mean()
    loss.backward()
    nn.utils.clip_grad_norm_(run.painter.parameters(), 1.0)
    run.optimizers.step(factor)
    run.step += 1
    run.mean.update(run.painter, run.step)
    value = loss.item()
    if not math.isfinite(value):
        raise SystemExit(f"The loss of step {run.step} is {value}: go on with a lower rate.")
    return value

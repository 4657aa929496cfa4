"""The autoencoder: AutoencoderKL, f=8, four channels, trained on all drawings.

Deterministic latents with a little noise instead of a sampled posterior; L1 on pixels and on their
differences, which keeps edges crisp. Afterwards each channel is brought to mean 0 and deviation 1
inside quant_conv and post_quant_conv, for StableDiffusionPipeline knows no shift.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from training.embedded import checkpoint
from training.embedded.collect import Icon, load_art
from training.embedded.workshop import Progress, autocast, workshop

CONFIG = {
    "block_out_channels": (16, 32, 64, 128),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 8,
    "mid_block_add_attention": False,
    "sample_size": 128,
    "scaling_factor": 1.0,
    "force_upcast": False,
}
TRAINED = Path(__file__).parent / "vae_trained"
"""The result of this stage, in float16 as it ships."""
NOISE = 0.05  # added to whitened latents in training, so that the decoder forgives
SAVE_EVERY = 150


@dataclass(frozen=True)
class VaeRun:
    """Settings of a run; `start` is a VAE folder to go on from, None for random weights."""

    steps: int
    batch: int = 8
    rate: float = 3e-4
    start: Path | None = None
    seed: int = 0


def held_out(icon: Icon) -> bool:
    """Whether the autoencoder never sees a drawing: every twentieth label, in all sets."""
    return sum(icon.label.encode()) % 20 == 7


def over(picture: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """A picture with straight alpha (h, w, 4) uint8 over a colour (3,): (h, w, 3) in 0 to 1."""
    alpha = picture[..., 3:].astype("f4") / 255
    return picture[..., :3].astype("f4") / 255 * alpha + ground.astype("f4") * (1 - alpha)


def _sample(pictures: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One training picture: a drawing, or two small ones, mirrored or recoloured at times."""
    ground = rng.uniform(0, 1, 3) if rng.random() < 0.4 else np.ones(3)
    if rng.random() < 0.15:
        canvas = np.broadcast_to(ground.astype("f4"), (128, 128, 3)).copy()
        for left in (0, 64):
            small = over(np.asarray(pictures[rng.choice(rows)]), ground)
            canvas[32:96, left : left + 64] = small.reshape(64, 2, 64, 2, 3).mean((1, 3))
    else:
        canvas = over(np.asarray(pictures[rng.choice(rows)]), ground)
    if rng.random() < 0.5:
        canvas = canvas[:, ::-1]
    if rng.random() < 0.15:
        canvas = canvas[..., rng.permutation(3)]
    return canvas


def _loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """L1 on pixels, half as much on differences of neighbours."""
    loss = (made - wanted).abs().mean()
    for axis in (2, 3):
        loss = loss + 0.5 * (made.diff(dim=axis) - wanted.diff(dim=axis)).abs().mean()
    return loss


def latents_of(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """The mean latents (b, 4, h/8, w/8) of pixels (b, 3, h, w) from -1 to 1."""
    return vae.quant_conv(vae.encoder(pixels))[:, : vae.config.latent_channels]


def build(start: Path | None) -> AutoencoderKL:
    """A VAE from a folder, or from random weights with a fixed small variance."""
    if start is not None:
        return AutoencoderKL.from_pretrained(start, dtype=torch.float32)
    vae = AutoencoderKL(**CONFIG)
    with torch.no_grad():
        vae.quant_conv.weight[4:] = 0
        vae.quant_conv.bias[4:] = -6
    return vae


def train(run: VaeRun) -> AutoencoderKL:
    """Train, or go on from the last checkpoint; the weights end in `vae/` of the workshop."""
    path = workshop() / "vae.safetensors"
    icons, pictures = load_art()
    rows = np.array([i for i, icon in enumerate(icons) if not held_out(icon)])
    torch.manual_seed(run.seed)
    vae = build(run.start)
    optimizer = torch.optim.AdamW(vae.parameters(), betas=(0.9, 0.99), weight_decay=1e-3)
    mean = checkpoint.Mean(vae, 0.995)
    stored, done = checkpoint.load(path)
    if stored:
        vae.load_state_dict(checkpoint.pick(stored, "model"))
        mean.restore(checkpoint.pick(stored, "mean"))
        checkpoint.restore_optimizer(optimizer, checkpoint.pick(stored, "optimizer"))
    progress = Progress(run.steps, done)
    for step in range(done, run.steps):
        rng = np.random.default_rng((run.seed, step))
        generator = torch.Generator().manual_seed(run.seed * 1_000_003 + step)
        warm = min(1.0, (step + 1) / 50)
        for group in optimizer.param_groups:
            cosine = 0.5 + 0.5 * math.cos(math.pi * step / run.steps)
            group["lr"] = run.rate * warm * (0.03 + 0.97 * cosine)
        batch = np.stack([_sample(pictures, rows, rng) for _ in range(run.batch)])
        wanted = torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous().float() * 2 - 1
        with autocast():
            latents = latents_of(vae, wanted).float()
            noise = torch.randn(latents.shape, generator=generator)
            made = vae.decode(latents + NOISE * noise).sample.float()
        loss = _loss(made, wanted) + 1e-3 * latents.square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        mean.update(vae, step)
        error = functional.mse_loss(made.detach().clamp(-1, 1), wanted).item() / 4
        progress.step(loss=loss.item(), batch_dB=-10 * math.log10(error))
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == run.steps:
            tensors = checkpoint.put("model", vae.state_dict())
            tensors |= checkpoint.put("mean", mean.tensors)
            tensors |= checkpoint.put("optimizer", checkpoint.optimizer_tensors(optimizer))
            checkpoint.save(path, tensors, step + 1)
    vae.load_state_dict(mean.tensors)
    return vae.eval()


@torch.inference_mode()
def whiten(vae: AutoencoderKL, pixels: torch.Tensor) -> None:
    """Fold mean and deviation of each latent channel over pixels (n, 3, h, w) into 1x1 layers."""
    latents = torch.cat([latents_of(vae, part) for part in pixels.split(32)])
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    channels = vae.config.latent_channels
    vae.post_quant_conv.bias += torch.einsum("oihw,i->o", vae.post_quant_conv.weight, mean)
    vae.post_quant_conv.weight *= std.view(1, -1, 1, 1)
    vae.quant_conv.weight[:channels] /= std.view(-1, 1, 1, 1)
    vae.quant_conv.bias[:channels] = (vae.quant_conv.bias[:channels] - mean) / std


@torch.inference_mode()
def psnr(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """Peak signal to noise ratio in dB of each of the pixels (n, 3, h, w) from -1 to 1, decoded."""
    made = torch.cat([vae.decode(latents_of(vae, part)).sample for part in pixels.split(16)])
    error = (made.clamp(-1, 1) - pixels).square().mean((1, 2, 3)) / 4
    return -10 * error.clamp_min(1e-10).log10()


def on_white(pictures: np.ndarray, rows: np.ndarray) -> torch.Tensor:
    """The given drawings on white: (n, 3, 128, 128) from -1 to 1."""
    stack = np.stack([over(np.asarray(pictures[row]), np.ones(3)) for row in rows])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).contiguous() * 2 - 1


def finish(run: VaeRun) -> None:
    """The whole stage: train, whiten, save in `vae/` and print the held-out PSNR."""
    vae = train(run)
    icons, pictures = load_art()
    hidden = np.array([i for i, icon in enumerate(icons) if held_out(icon)])
    shown = np.array([i for i, icon in enumerate(icons) if not held_out(icon)])
    rng = np.random.default_rng(1)
    whiten(vae, on_white(pictures, rng.choice(shown, 1000, replace=False)))
    vae.save_pretrained(workshop() / "vae")
    for name, rows in (("held out", hidden), ("seen", rng.choice(shown, 300, replace=False))):
        values = psnr(vae, on_white(pictures, rows))
        print(f"{name}: {len(rows)} drawings, PSNR mean {values.mean():.2f} dB,", end=" ")
        print(f"median {values.median():.2f}, tenth percentile {values.quantile(0.1):.2f}")

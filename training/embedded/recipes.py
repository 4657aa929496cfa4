"""The recipes of the denoiser's runs: the one that is used, and those that it was chosen from."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from training.embedded.workshop import ROOT

SHIPPED = next((ROOT / "assets" / "models").glob("*/unet")).parent
"""The model that ships now: training goes on from it unless it starts from nothing."""

SHARES = {"plain": 0.36, "coloured": 0.15, "grounded": 0.13, "both": 0.08, "pair": 0.28}
"""The short runs had 0.4, 0.18, 0.14, 0.08 and 0.2: pairs turned out to be what is learnt last."""

FINE_SHARES = {"plain": 0.6, "coloured": 0.07, "grounded": 0.08, "both": 0.05, "pair": 0.2}
"""Once colours and backgrounds are right in all pictures; 0.4 were plain and 0.4 pairs for 9,000
steps, after which styles, which only whole things show, were what was missing; then 0.5 and 0.3 for
4,000 more, until two of three pairs were right."""


@dataclass(frozen=True)
class Recipe:
    """How the UNet and the text encoder are trained; rates are of the constant part.

    start: a pipeline folder whose weights are gone on from, None for random ones. shift: of the
    timesteps' distribution towards less noise (below 1) or more. gamma: of the min-SNR weights, 0
    for equal weights. shares: how often each kind of picture is shown. things: only the first so
    many of a fixed order, 0 for all. taught: begin with the text encoder of the stage `words`.
    """

    start: Path | None = SHIPPED
    batch: int = 32
    optimizer: str = "adamw"
    unet_rate: float = 3e-4
    text_rate: float = 2e-4
    mean_decay: float = 0.998
    shift: float = 4.0
    gamma: float = 0.0
    things: int = 0
    taught: bool = True
    warmup: int = 100
    widths: tuple[int, int, int] = (96, 192, 256)
    attention: tuple[bool, bool, bool] = (False, True, True)
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))
    seed: int = 0


BASE = Recipe()
SHORT = replace(BASE, things=150)
FINE = replace(BASE, shift=6.0, shares=FINE_SHARES)
EVEN = replace(SHORT, taught=False, gamma=5.0, shift=1.0)
RECIPES = {
    "base": BASE,
    "fine": FINE,
    "end": replace(FINE, shift=2.0),
    "last": replace(FINE, shift=3.0),
    "short": SHORT,
    "short-end": replace(SHORT, shift=2.0),
    "short-attention": replace(SHORT, attention=(True, True, True)),
    "short-muon": replace(SHORT, optimizer="muon", unet_rate=5e-4),
    "even": EVEN,
    "even-flat": replace(EVEN, gamma=0.0),
    "even-fast": replace(EVEN, unet_rate=6e-4, text_rate=4e-4),
    "even-taught": replace(EVEN, taught=True),
}
"""base, fine, end and last: the long run, its second half, when words are known and edges and pairs
are not, its steps with a falling rate, and those after two runs were blended; the others were short
ones."""

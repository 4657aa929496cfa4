"""Learning rates by method and family, each with where it comes from.

A rate is AdamW's; `derive` makes those of other optimisers of it.
"""

from dataclasses import dataclass

from studio.models.entry import ModelEntry
from studio.training_requests import Method, TrainRequest

_SCRIPTS = "as in the guide of sd-scripts"
_EXAMPLE = "as in the example of diffusers"
_OWN = "our own estimate"
_INVERSION_MOST = 5e-3


@dataclass(frozen=True)
class Rates:
    """Rates of the denoiser and of the text encoders, each with its source; most: of a scaled."""

    rate: tuple[float, str]
    text: tuple[float, str]
    most: float = _INVERSION_MOST


_LORA = {
    # docs/train_network.md of sd-scripts; text encoders at half of it in the presets of kohya_ss.
    "sd15": Rates((1e-4, _SCRIPTS), (5e-5, "half the denoiser's, as in presets of kohya_ss")),
    # docs/sdxl_train_network.md, sd3_train_network.md and flux_train_network.md of sd-scripts.
    "sdxl": Rates((1e-4, _SCRIPTS), (1e-5, _SCRIPTS)),
    "sd3": Rates((1e-4, _SCRIPTS), (1e-5, _OWN)),
    "flux": Rates((1e-4, _SCRIPTS), (1e-5, _OWN)),
    "small": Rates((1e-3, _OWN), (5e-4, _OWN)),
}
_DREAMBOOTH_WHOLE = {
    # examples/dreambooth/README.md of diffusers: 2e-6 with the text encoder or in 12 GB, else 5e-6.
    # Of SDXL: examples/text_to_image/README_sdxl.md.
    "sd15": Rates((2e-6, _EXAMPLE), (1e-6, "half the denoiser's: " + _OWN)),
    "sdxl": Rates((1e-6, _EXAMPLE), (5e-7, _OWN)),
    "sd3": Rates((1e-6, _OWN), (5e-7, _OWN)),
    "flux": Rates((1e-6, _OWN), (5e-7, _OWN)),
    "small": Rates((5e-5, _OWN), (2.5e-5, _OWN)),
}
_FULL = {
    # examples/text_to_image/README.md and README_sdxl.md of diffusers.
    "sd15": Rates((1e-5, _EXAMPLE), (5e-6, _OWN)),
    "sdxl": Rates((1e-6, _EXAMPLE), (5e-7, _OWN)),
    "sd3": Rates((1e-6, _OWN), (5e-7, _OWN)),
    "flux": Rates((1e-6, _OWN), (5e-7, _OWN)),
    "small": Rates((1e-4, _OWN), (5e-5, _OWN)),
}
# examples/textual_inversion/README.md of diffusers: 5e-4, scaled by the batch; Gal et al. 2022
# (arXiv 2208.01618), section 4: 5e-3 for all of a batch.
_INVERSION = Rates((5e-4, _EXAMPLE), (5e-4, _EXAMPLE))


def group_of(family: str) -> str:
    """Which families are trained alike: the first part of a preset's name.

    family: a key of studio/models/families.py. Models of a width that no published one has are
    small ones.
    """
    known = {"sd1": "sd15", "sd2": "sd15", "sdxl": "sdxl", "sd3": "sd3", "flux": "flux"}
    return known.get(family.partition("-")[0], "small")


def rates_of(request: TrainRequest, entry: ModelEntry) -> Rates:
    """The rates of a request's method for a model's family."""
    if request.method is Method.TEXTUAL_INVERSION:
        return _INVERSION
    if request.method is Method.FULL:
        table = _FULL
    else:
        table = _LORA if request.adds_lora else _DREAMBOOTH_WHOLE
    return table[group_of(entry.family.key if entry.family else "")]

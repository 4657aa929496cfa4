"""All weights of the denoiser, and of the CLIP text encoders where these learn too."""

from typing import Any

from studio.models.families import Family
from studio.training.methods.trained import Trained, clip_encoders
from studio.training_requests import TrainRequest


def trained_weights(request: TrainRequest, pipe: Any, family: Family) -> Trained:
    """The whole denoiser; in float32, for halves lose what a small rate adds."""
    denoiser = getattr(pipe, family.denoiser)
    encoders = clip_encoders(pipe, family) if request.text_encoder else {}
    weights, text = {}, set()
    for place, module in ({family.denoiser: denoiser} | encoders).items():
        module.float()
        module.requires_grad_(True)
        for name, weight in module.named_parameters():
            weights[f"{place}.{name}"] = weight
            if place in encoders:
                text.add(f"{place}.{name}")
    return Trained(
        weights,
        frozenset(text),
        reads=bool(encoders),
        modules=[denoiser, *encoders.values()],
    )

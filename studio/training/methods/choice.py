"""Makes a loaded model ready for the method that a request names."""

from typing import Any

import torch

from studio.models.families import Family
from studio.training.methods.lora import trained_lora
from studio.training.methods.trained import Trained
from studio.training.methods.vectors import trained_vectors
from studio.training.methods.weights import trained_weights
from studio.training_requests import TrainRequest


def trained(request: TrainRequest, pipe: Any, family: Family) -> Trained:
    """What a request trains of a pipeline, made ready for it; all else is frozen.

    Raises RequestError for what the family has no place for.
    """
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
            part.eval()
    torch.manual_seed(request.seed)
    if request.adds_lora:
        return trained_lora(request, pipe, family)
    if request.trains_weights:
        return trained_weights(request, pipe, family)
    return trained_vectors(request, pipe, family)

"""Upscaling models whose result is known, as files that spandrel reads."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact
from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet


def nearest(path: Path, scale: int = 2) -> Path:
    """A compact Real-ESRGAN that repeats every pixel: nothing is added to its upsampled input."""
    model = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=scale)
    with torch.no_grad():
        model.body[-1].weight.zero_()
        model.body[-1].bias.zero_()
    return _saved(model, path)


def esrgan(path: Path, scale: int = 4) -> Path:
    """An ESRGAN of two small blocks with random weights."""
    torch.manual_seed(0)
    return _saved(RRDBNet(num_filters=8, num_blocks=2, scale=scale), path)


def _saved(model: torch.nn.Module, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return path

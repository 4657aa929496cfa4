"""What is known of a training when its outcome is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from studio.training_requests import TrainRequest


@dataclass(frozen=True)
class Facts:
    """A training that has come to its end, or to a checkpoint.

    request: with nothing left open. family: the key of the base model's. velocity: whether it
    predicts velocity. base: its title; base_sha256, base_legacy: of its denoiser's or single file
    (see `hashes.legacy_hash`). licence: of the base, "" when nobody knows.
    pictures, class_pictures: how many. folders: by name, repeats and pictures of each. tags: by
    folder, how often each part of a caption stands in it. buckets: how many pictures by width and
    height. hashes: SHA-256 of each picture by its name. resolution: width and height.
    epoch, epochs, step, steps: done and in all. batch: pictures that a device takes at once;
    accumulation: how often before the optimiser steps; processes: devices. started, finished:
    seconds since 1970.
    triggers: words that call it up, the first of them first. thumbnail: a picture file, b"" for
    none. curve: last values and the like by name. versions: of libraries.
    """

    request: TrainRequest
    family: str
    velocity: bool = False
    base: str = ""
    base_sha256: str = ""
    base_legacy: str = ""
    licence: str = ""
    pictures: int = 0
    class_pictures: int = 0
    folders: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    buckets: Mapping[tuple[int, int], int] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    resolution: tuple[int, int] = (512, 512)
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    batch: int = 1
    accumulation: int = 1
    processes: int = 1
    precision: str = "float32"
    checkpointing: bool = False
    started: float = 0.0
    finished: float = 0.0
    triggers: tuple[str, ...] = ()
    thumbnail: bytes = b""
    curve: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def trigger(self) -> str:
        """All trigger words, as a prompt has them."""
        return ", ".join(self.triggers)


def versions() -> dict[str, str]:
    """Of the libraries that a training's outcome depends on."""
    from importlib.metadata import version

    import studio

    names = ("torch", "diffusers", "transformers", "peft", "accelerate", "safetensors")
    return {"atelier": studio.__version__, **{name: version(name) for name in names}}

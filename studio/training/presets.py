"""Settings that suit a family of models and a device, each a TOML file in assets/presets.

A file's name says what it is for: `sdxl-16gb-lora` is for the family group sdxl (see
`rate_table.group_of`), devices of 16 GB and LoRA; instead of a size stands apple or cpu. It holds
only fields of a TrainRequest, and where its numbers come from in a comment at its head.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from studio.errors import NotFound
from studio.models.entry import ASSETS
from studio.training.rate_table import group_of
from studio.training.toml_files import read_toml
from studio.training_requests import Method

FOLDER = ASSETS / "presets"
_NAME = re.compile(r"([a-z0-9]+)-(?:(\d+)gb|(apple|cpu))-([a-z-]+)")
_SORTS = {"apple": "mps", "cpu": "cpu", None: "cuda"}
_GIB = 2**30
_SHORT = 0.9
"""Of what a device is called, its driver leaves at least this share."""


@dataclass(frozen=True)
class Preset:
    """One file.

    group: of families. sort: of devices, as `Device.sort` has it. memory: of the device, in GiB, 0
    where it does not decide. title: its first line. source: the rest of its comment. fields: of a
    TrainRequest.
    """

    name: str
    group: str
    method: Method
    sort: str
    memory: int
    title: str
    source: str
    fields: dict[str, Any]

    def fits(self, memory: int, sort: str) -> bool:
        """Whether a device has what this takes. memory: in bytes. sort: of the device."""
        if self.memory:
            return sort != "cpu" and memory >= self.memory * _GIB * _SHORT
        return self.sort == sort or self.sort == "cpu"


def presets(family: str, method: Method, memory: int, sort: str) -> list[Preset]:
    """Those of a model's family and a method, the one that fits a device best first.

    family: key of studio/models/families.py. memory: of the device, in bytes. sort: of the device.
    Then the others that fit, from more to less, and last those that ask for more than there is.
    """
    found = [p for p in _all() if p.group == group_of(family) and p.method == method]
    return sorted(found, key=lambda preset: _distance(preset, memory, sort))


def preset(name: str) -> dict[str, Any]:
    """The fields of a preset, for `validated(TrainRequest, ...)`; NotFound when there is none.

    A name without its method, as in `sd15-12gb`, is that of the LoRA.
    """
    for known in _all():
        if known.name in (name, f"{name}-{Method.LORA.value}"):
            return dict(known.fields)
    raise NotFound(
        f"There is no preset {name[:60]!r}; there are {', '.join(each.name for each in _all())}."
    )


def _distance(preset: Preset, memory: int, sort: str) -> tuple[bool, bool, int]:
    if preset.fits(memory, sort):
        return False, preset.sort != sort, -preset.memory
    return True, not preset.memory, preset.memory


@cache
def _all() -> tuple[Preset, ...]:
    return tuple(_read())


def _read() -> Iterator[Preset]:
    for file in sorted(FOLDER.glob("*.toml")):
        name = _NAME.fullmatch(file.stem)
        if name is None:
            raise ValueError(f"{file.name} is no name of a preset")
        text = file.read_text(encoding="utf-8")
        head = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
        yield Preset(
            name=file.stem,
            group=name[1],
            method=Method(name[4]),
            sort=_SORTS[name[3]],
            memory=int(name[2] or 0),
            title=head[0].rstrip("."),
            source=" ".join(head[1:]),
            fields=read_toml(text),
        )

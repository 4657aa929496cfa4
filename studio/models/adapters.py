"""LoRA files: what they say of themselves, which models they fit, and how a model wears them."""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.context import Worn
from studio.errors import ModelError
from studio.models.drawers import Drawers, Kind, WeightFile, recognised
from studio.models.entry import ModelEntry
from studio.models.families import FAMILIES, Network
from studio.models.headers import read_header
from studio.models.lora_facts import LoraFacts

_PICTURES = (".preview.png", ".png", ".jpg", ".jpeg", ".webp")
TRIGGERS_SHOWN = 12


@dataclass(frozen=True)
class Lora:
    """A LoRA as people see it.

    name: what a prompt calls it by. size: in bytes. problem: a sentence on why it cannot be used,
    or "".
    """

    name: str
    path: Path
    facts: LoraFacts
    size: int
    problem: str = ""

    @property
    def family(self) -> str:
        """The name of the family that it was made for; "" when nobody can tell."""
        return family_name(self.facts)

    @property
    def version(self) -> str:
        """A word, without dots, that changes as soon as the file does; "" when it is gone."""
        try:
            facts = self.path.stat()
        except OSError:
            return ""
        text = f"{self.path} {facts.st_size} {facts.st_mtime_ns}"
        return "a" + hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def triggers(self) -> tuple[str, ...]:
        """Words that call up what it was trained on, the likeliest first."""
        note = _note(self.path)
        own = str(note.get("activation text") or "") or self.facts.trigger
        if own:
            return tuple(word.strip() for word in own.split(",") if word.strip())
        return self.facts.tags[:TRIGGERS_SHOWN]

    @property
    def strength(self) -> float:
        """What its notes recommend, or 1."""
        try:
            return float(_note(self.path).get("preferred weight") or 1.0)
        except (TypeError, ValueError):
            return 1.0

    def picture(self) -> bytes | None:
        """A picture of what it does: beside its file, or in its header; None when there is none."""
        for suffix in _PICTURES:
            beside = self.path.with_suffix(suffix)
            if beside.is_file():
                return beside.read_bytes()
        return self.facts.thumbnail(self.path)


Elsewhere = Callable[[str], Path | None]
"""Finds LoRA files by name that are in nobody's list, such as checkpoints of trainings."""


Shown = Callable[[Iterable[Path]], set[Path]]
"""Tells which files are shown to who is at work."""


class LoraShelf:
    """The LoRA files below the models folder, and those that are found elsewhere by name."""

    def __init__(
        self,
        drawers: Drawers,
        root: Path,
        elsewhere: Elsewhere = lambda name: None,
        shown: Shown = set,
    ):
        self._shown = shown
        self._drawers = drawers
        self._root = root
        self._elsewhere = elsewhere

    def entries(self) -> list[Lora]:
        """All of them by name; of two files with one name, the later is called by its place."""
        found: dict[str, Lora] = {}
        for file in self._drawers.files():
            if file.kind is not Kind.LORA:
                continue
            place = file.path.relative_to(self._root).with_suffix("").as_posix()
            name = file.path.stem if file.path.stem not in found else place
            found[name] = _lora(name, file)
        shown = self._shown([lora.path for lora in found.values()])
        names = sorted(found, key=str.casefold)
        return [found[name] for name in names if found[name].path in shown]

    def find(self, name: str) -> Lora | None:
        """The LoRA of a name, whatever the case of its letters; None when there is none."""
        entries = self.entries()
        exact = next((each for each in entries if each.name == name), None)
        folded = name.casefold()
        same = exact or next((each for each in entries if each.name.casefold() == folded), None)
        return same or self._found_elsewhere(name)

    def get(self, name: str) -> Lora:
        """The LoRA of a name; ModelError when it is not here, damaged or of another sort."""
        lora = self.find(name)
        if problem := self._missing(name) if lora is None else lora.problem:
            raise ModelError(problem)
        assert lora is not None
        return lora

    def usable(self, name: str, model: ModelEntry) -> Lora:
        """The LoRA of a name for a model; ModelError as `get`, and when it is for others."""
        lora = self.get(name)
        if problem := misfit(lora, model):
            raise ModelError(problem)
        return lora

    def _missing(self, name: str) -> str:
        """Why there is no LoRA of a name: there is no such file, or what is wrong with it."""
        files = [f for f in self._drawers.files() if f.path.stem.casefold() == name.casefold()]
        shown = self._shown([file.path for file in files])
        for file in files:
            if file.path in shown:
                told = file.problem or "is none; choose another"
                return f"LoRA {name!r} cannot be used: {file.path.name} {told}."
        return f"LoRA {name!r} is not installed."

    def _found_elsewhere(self, name: str) -> Lora | None:
        path = self._elsewhere(name)
        try:
            file = None if path is None else recognised(path, path.stat().st_size)
        except OSError:
            return None  # it was removed just now
        return _lora(name, file) if file is not None and file.lora is not None else None


def misfit(lora: Lora, model: ModelEntry) -> str:
    """One sentence on why a LoRA is not for a model, or ""; what its header tells decides."""
    assert model.family is not None
    facts = lora.facts
    same = facts.network in (None, model.family.network)
    wide = not (facts.context and model.context) or facts.context == model.context
    if same and wide:
        return ""
    made_for = lora.family or f"models with text states of {facts.context} features"
    return (
        f"LoRA {lora.name!r} is for {made_for}, but {model.title} is {model.family.name}; choose "
        "another model or leave the LoRA out."
    )


def family_name(facts: LoraFacts) -> str:
    """The family that a LoRA was made for, in words; "" when nobody can tell."""
    fitting = [
        family
        for family in FAMILIES
        if family.network == facts.network
        and (family.network is not Network.UNET or family.context == (facts.context or -1))
    ]
    if facts.network == Network.FLUX:
        return "FLUX.1"
    return fitting[0].name if fitting else ""


def lora_hash(lora: Lora) -> str:
    """Twelve hex digits as AUTOMATIC1111 writes them: SHA-256 of all that follows the header."""
    return lora.facts.hash or _hashed(lora.path, lora.path.stat().st_mtime_ns)


@lru_cache(maxsize=512)
def _hashed(path: Path, _changed: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        stream.seek(int.from_bytes(stream.read(8), "little") + 8)
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]


def dress(pipe: Any, worn: Sequence[tuple[Worn, Lora]]) -> None:
    """Let a pipeline wear just these adapters; its own weights are never changed.

    Those that it wears already are not read again, and without any it is as it was loaded.
    Raises ModelError for a file that has nothing for this pipeline.

    A strength k multiplies a LoRA's product: W + k s B A. Of a DoRA it is that of the direction
    alone, as peft has it: m (W + k s B A) / |W + k s B A|, so that the magnitudes m stay as they
    were learnt, also near 0, where ComfyUI and AUTOMATIC1111 go back to W. Of several DoRAs at once
    peft lets each also scale what those before it have added.
    """
    there = {name for names in pipe.get_list_adapters().values() for name in names}
    wanted = {lora.version: (use, lora.path) for use, lora in worn}
    if not wanted:
        if there:
            pipe.unload_lora_weights()
        return
    if gone := there - set(wanted):
        pipe.delete_adapters(sorted(gone))
    for key in wanted.keys() - there:
        _put_on(pipe, key, *wanted[key])
    weights = [_weights(pipe, key, use) for key, (use, _) in wanted.items()]
    pipe.set_adapters(list(wanted), adapter_weights=weights)


def _put_on(pipe: Any, key: str, use: Worn, path: Path) -> None:
    from studio.models.lora_layout import is_kohya, unknown_layers

    names = list(read_header(path).names)
    with warnings.catch_warnings():
        # peft wonders at a second adapter, which is just what is wanted.
        warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
        strange = unknown_layers(pipe, names) if is_kohya(names) else names
        if not strange:
            _put_on_exactly(pipe, key, use, path)
        elif any(name.endswith("dora_scale") for name in names):
            # diffusers would pass over the scale and wear the rest, which is another picture.
            raise ModelError(
                f"LoRA {use.name!r} is a DoRA with layers that this model has not ({strange[0]} "
                "and so on); choose another model or leave the LoRA out."
            )
        else:
            pipe.load_lora_weights(
                str(path.parent),
                weight_name=path.name,
                adapter_name=key,
                use_safetensors=True,
                local_files_only=True,
            )
            _set_magnitudes(pipe, key, path, names)
    if not any(key in names for names in pipe.get_list_adapters().values()):
        raise ModelError(
            f"LoRA {use.name!r} has no weights for any part of this model; choose another model or "
            "leave the LoRA out."
        )


def _set_magnitudes(pipe: Any, key: str, path: Path, names: Sequence[str]) -> None:
    """Give text encoders the magnitudes of a DoRA, which transformers does not know by peft's name.

    It would leave those that peft begins with, which are of the model's own weights.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        for name in names:
            part, _, layer = name.partition(".")
            layer, mark, _ = layer.partition(".lora_magnitude_vector")
            network = getattr(pipe, part, None) if part.startswith("text_encoder") else None
            if not mark or network is None:
                continue
            if not hasattr(network, "text_model"):
                layer = layer.removeprefix("text_model.")
            own = network.get_submodule(layer).lora_magnitude_vector[key].weight
            own.data = file.get_tensor(name).to(own).reshape(own.shape)


def _put_on_exactly(pipe: Any, key: str, use: Worn, path: Path) -> None:
    """Put on a file all of whose layers are known by kohya's names."""
    from safetensors.torch import load_file

    from studio.models.lora_layout import kohya_parts

    for part, lora in kohya_parts(pipe, load_file(path), use.name).items():
        network = getattr(pipe, part)
        state = {f"{part}.{name}": tensor for name, tensor in lora.state.items()}
        config = {f"{part}.{name}": value for name, value in lora.config.items()}
        if part.startswith("text_encoder"):
            pipe.load_lora_into_text_encoder(
                state,
                network_alphas=None,
                text_encoder=network,
                prefix=part,
                adapter_name=key,
                metadata=config,
                _pipeline=pipe,
            )
        else:
            network.load_lora_adapter(
                state,
                prefix=part,
                adapter_name=key,
                metadata=config,
                _pipeline=pipe,
                low_cpu_mem_usage=True,
            )
        if lora.inputs:
            from studio.models import dora

            dora.put_on(network, key, lora.inputs)


def _weights(pipe: Any, key: str, use: Worn) -> float | dict[str, float]:
    """The strengths, by the part of the pipeline where they differ."""
    if use.strength == use.text_strength:
        return use.strength
    parts = [part for part, names in pipe.get_list_adapters().items() if key in names]
    return {
        part: use.text_strength if part.startswith("text_encoder") else use.strength
        for part in parts
    }


def _lora(name: str, file: WeightFile) -> Lora:
    assert file.lora is not None
    problem = f"LoRA {name!r} {file.lora.problem}." if file.lora.problem else ""
    return Lora(name, file.path, file.lora, file.bytes, problem)


def _note(path: Path) -> Mapping[str, Any]:
    """What A1111 and the tools around it keep in a .json beside a file."""
    try:
        note = json.loads(path.with_suffix(".json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}

"""Writes a whole model: as a folder of diffusers, and as one file in its first authors' layout.

Of the UNets' families both; Stable Diffusion 3 and FLUX.1 as a folder only. What a single file
cannot say is taken by its readers to be as in the published models (see originals/architecture), so
a model that is otherwise, in its heads or its words, say, is refused as a file.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import ModelError
from studio.models.hashes import body_hashes
from studio.models.headers import Header
from studio.models.merging.output import FORMATS, Writer, staged
from studio.models.merging.rewrite import titled
from studio.store.writing import flush
from studio.training.export import metadata
from studio.training.export.facts import Facts

if TYPE_CHECKING:
    from torch import Tensor

State = dict[str, "Tensor"]
_TEXT = "text_model."
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_ENTRY = 300
"""Bytes that a tensor takes in a header, at most."""
_SMALL = 30_000_000
"""Bytes of a folder's configurations and tokenizers, at most."""
_FREE = {
    "sample_size",
    "upcast_attention",
    "force_upcast",
    "dropout",
    "_class_name",
    "_diffusers_version",
    "_use_default_values",
    "_name_or_path",
    "num_attention_heads",
}
"""Fields of configurations that no picture depends on, but for the last, which is compared below as
the other field that diffusers reads for it."""
_CLIP_FIELDS = (
    "hidden_act",
    "hidden_size",
    "layer_norm_eps",
    "num_attention_heads",
    "num_hidden_layers",
    "vocab_size",
)


@dataclass(frozen=True)
class _Network:
    """A part of a pipeline with its place in a single file and how its weights are renamed."""

    part: str
    prefix: str
    module: Any
    rename: Callable[[State], State]

    def weights(self, *, meta: bool = False) -> State:
        """Under their names in the file; meta: without their numbers."""
        state = dict(self.module.state_dict())
        if meta:
            state = {name: tensor.to("meta") for name, tensor in state.items()}
        return {self.prefix + name: tensor for name, tensor in self.rename(state).items()}


def write_folder(
    pipe: Any,
    facts: Facts,
    place: Path,
    dtype: str = "float16",
    *,
    card: str = "",
    replace: bool = False,
) -> Path:
    """Write a pipeline as a folder that diffusers reads, its networks in a number format.

    Whatever happens, there is a whole folder at the place or what was there before; returns it.
    card: what the base model's atelier.toml says of sizes and defaults, which suits this one too.
    replace: over what is there already. Raises ModelError when there is no room or numbers do not
    fit the format, StorageError when the system refuses.
    """
    import torch

    modules = {n: m for n, m in pipe.components.items() if isinstance(m, torch.nn.Module)}
    count = sum(
        tensor.numel() for module in modules.values() for tensor in module.state_dict().values()
    )
    words = _words(facts)
    with staged(place.parent, place, count * _BYTES[dtype] + _SMALL, replace=replace) as made:
        made.mkdir()
        pipe.save_config(made)
        for name, component in pipe.components.items():
            if name in modules:
                _write_part(_bare(component), made / name, words, dtype)
            elif component is not None:
                component.save_pretrained(made / name)
        if card:
            (made / "atelier.toml").write_text(titled(card, facts.request.name), encoding="utf-8")
        for path in made.rglob("*"):
            flush(path)
    return place


def write_file(
    pipe: Any, facts: Facts, place: Path, dtype: str = "float16", *, replace: bool = False
) -> Path:
    """Write a UNet's pipeline as one .safetensors in the layout of its first authors.

    Promises as `write_folder`; further, ModelError for a model that such files cannot hold.
    """
    import torch

    networks = _networks(pipe)
    shapes = {name: t for network in networks for name, t in network.weights(meta=True).items()}
    marks = _marks(pipe)
    _check(pipe, {**shapes, **marks})
    words = _words(facts)
    notes = len(json.dumps(words).encode()) + _ENTRY
    count = sum(tensor.numel() for tensor in shapes.values())
    needed = count * _BYTES[dtype] + notes + _ENTRY * len(shapes)
    names = [*shapes, *marks]
    with (
        staged(place.parent, place, needed, replace=replace) as made,
        Writer(made, names, notes) as writer,
        torch.no_grad(),
    ):
        for name, tensor in _all(networks, marks):
            writer.add(name, _cast(name, tensor, dtype), _kind(tensor, dtype))
        digest = body_hashes(writer.body(), b"")["sshs_model_hash"]
        writer.finish({**words, "modelspec.hash_sha256": f"0x{digest}"})
    return place


def _all(networks: list[_Network], marks: State) -> Iterator[tuple[str, "Tensor"]]:
    for network in networks:
        yield from network.weights().items()
    yield from marks.items()


def _words(facts: Facts) -> dict[str, str]:
    return {"format": "pt", **metadata.spec_words(facts), **metadata.training_words(facts)}


def _networks(pipe: Any) -> list[_Network]:
    """A UNet's pipeline in the order of a single file."""
    from studio.models.originals import names

    if not hasattr(pipe, "unet"):
        raise ModelError(
            f"A {type(pipe).__name__} is not written as one file; take the folder of diffusers."
        )
    unet, vae = _bare(pipe.unet), _bare(pipe.vae)
    found = [
        _Network("unet", "model.diffusion_model.", unet, lambda s: names.unet(s, unet.config)),
        _Network("vae", "first_stage_model.", vae, lambda s: names.vae(s, vae.config)),
    ]
    first = _bare(getattr(pipe, "text_encoder", None))
    second = _bare(getattr(pipe, "text_encoder_2", None))
    if hasattr(pipe, "text_encoder_2"):
        if first is not None:
            prefix = "conditioner.embedders.0.transformer."
            found.append(_Network("text_encoder", prefix, first, names.clip))
        prefix = f"conditioner.embedders.{int(first is not None)}.model."
        rename = lambda s: names.open_clip(s, unused=False)  # noqa: E731
        found.append(_Network("text_encoder_2", prefix, second, rename))
    elif first.config.hidden_act == "gelu":  # OpenCLIP's, of Stable Diffusion 2
        rename = lambda s: names.open_clip(s, unused=True)  # noqa: E731
        found.append(_Network("text_encoder", "cond_stage_model.model.", first, rename))
    else:
        found.append(_Network("text_encoder", "cond_stage_model.transformer.", first, names.clip))
    return found


def _marks(pipe: Any) -> State:
    """Empty tensors by which readers know how a model was trained, as ComfyUI began them."""
    import torch

    noise = pipe.scheduler.config
    told = {
        "v_pred": noise.get("prediction_type") == "v_prediction",
        "ztsnr": bool(noise.get("rescale_betas_zero_snr")),
    }
    return {name: torch.zeros(0) for name, is_so in told.items() if is_so}


def _check(pipe: Any, shapes: State) -> None:
    """ModelError when a single file of these shapes would be read as another model."""
    from accelerate import init_empty_weights

    from studio.models.families import Texts
    from studio.models.originals.layout import LayoutError, read_layout
    from studio.models.originals.load import empty_network

    entries = {
        name: {"shape": list(tensor.shape), "dtype": "F32", "data_offsets": [0, 0]}
        for name, tensor in shapes.items()
    }
    try:
        original = read_layout(Header(entries, {}, 0), lambda _: "v_pred" in shapes)
    except LayoutError as error:
        raise ModelError(f"The model {error}; take the folder of diffusers.") from None
    if original is None or original.wanted:
        raise ModelError("The model is of no layout of single files; take the folder of diffusers.")
    for part in (original.denoiser, *original.parts):
        projected = original.family.texts is Texts.SD3 or part.name == "text_encoder_2"
        with init_empty_weights():
            told, _ = empty_network(part, projected=projected)
        own = _bare(getattr(pipe, part.name))
        if other := _difference(own.config, told.config):
            field, mine, theirs = other
            raise ModelError(
                f"The model cannot be one file, whose readers would take {field} of its "
                f"{part.name} for {theirs} when it is {mine}; take the folder of diffusers."
            )


def _difference(own: Any, told: Any) -> tuple[str, object, object] | None:
    """The first field in which a network's configuration is not what a file tells of it."""
    if hasattr(told, "to_diff_dict"):  # of transformers
        fields = {name: (getattr(own, name), getattr(told, name)) for name in _CLIP_FIELDS}
    else:
        levels = len(told["block_out_channels"])
        fields = {
            name: (_each(name, own.get(name), levels), _each(name, told.get(name), levels))
            for name in {*own, *told} - _FREE
        }
    for name, (mine, theirs) in sorted(fields.items()):
        if mine != theirs:
            return name, mine, theirs
    return None


def _each(name: str, value: Any, levels: int) -> Any:
    """A value as it is compared: one number for all levels is as many numbers."""
    if name in ("attention_head_dim", "transformer_layers_per_block") and isinstance(value, int):
        return [value] * levels
    return list(value) if isinstance(value, list | tuple) else value


def _bare(module: Any) -> Any:
    """A module as it was before torch compiled it."""
    return getattr(module, "_orig_mod", module)


def _write_part(module: Any, folder: Path, words: Mapping[str, str], dtype: str) -> None:
    """A network's configuration and weights, as its library names the files."""
    folder.mkdir()
    state = dict(module.state_dict())
    if hasattr(module, "save_config"):
        module.save_config(folder)
        name = "diffusion_pytorch_model.safetensors"
    else:
        config = deepcopy(module.config)
        config.dtype, config.architectures = dtype, [type(module).__name__]
        config.save_pretrained(folder)
        name = "model.safetensors"
        state = _published(module, state)
    notes = len(json.dumps(dict(words)).encode()) + _ENTRY
    with Writer(folder / name, list(state), notes) as writer:
        for key, tensor in state.items():
            writer.add(key, _cast(f"{folder.name}.{key}", tensor, dtype), _kind(tensor, dtype))
        writer.finish(words)


def _published(module: Any, state: State) -> State:
    """A text encoder's weights under the names that all versions of transformers read."""
    if type(module).__name__.startswith("CLIPText"):
        from studio.models.originals.names import clip

        return clip(state)
    # T5 counts its table of words twice.
    return {name: tensor for name, tensor in state.items() if name != "encoder.embed_tokens.weight"}


def _kind(tensor: "Tensor", dtype: str) -> str:
    return FORMATS[dtype] if tensor.is_floating_point() else "I64"


def _cast(name: str, tensor: "Tensor", dtype: str) -> "Tensor":
    import torch

    if not tensor.is_floating_point():
        return tensor.detach().to("cpu", torch.int64)
    out = tensor.detach().to("cpu", getattr(torch, dtype))
    if not bool(torch.isfinite(out).all()):
        raise ModelError(
            f"{name} holds numbers that are none (NaN) or do not fit {dtype}; store it as bfloat16 "
            "or float32, or take an earlier checkpoint."
        )
    return out

"""LoRA files in kohya's names, as peft wants them: exact, layer by layer.

diffusers guesses names from their parts, passes over the magnitudes of a DoRA and, where alphas
differ from layer to layer, over all but the commonest. Here names are looked up among a pipeline's
own layers, so that each has its own rank, alpha and magnitudes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

_DOWN, _UP, _ALPHA, _SCALE = "lora_down.weight", "lora_up.weight", "alpha", "dora_scale"
_LEAVES = (_DOWN, _UP, _ALPHA, _SCALE)
_ENCODERS = {"text_encoder": ("lora_te_", "lora_te1_"), "text_encoder_2": ("lora_te2_",)}
_TEXT = "text_model."
_PEFT = (".lora_", ".base_layer")
"""What peft's own parts of a layer that wears something have in their names."""


@dataclass(frozen=True)
class PartLora:
    """What a LoRA has for one part of a pipeline.

    state: tensors by peft's names. config: for peft's LoraConfig. inputs: magnitudes of the inputs
    by layer, of those DoRAs that are normed so; peft knows those of outputs only.
    """

    state: Mapping[str, "Tensor"]
    config: Mapping[str, Any]
    inputs: Mapping[str, "Tensor"]


def is_kohya(names: Iterable[str]) -> bool:
    """Whether all tensors are named as kohya's scripts name them."""
    return all(
        name.startswith("lora_") and name.partition(".")[2] in _LEAVES and "_lora." not in name
        for name in names
    )


def unknown_layers(pipe: Any, names: Iterable[str]) -> list[str]:
    """The layers of a file that a pipeline has not, by the file's names."""
    there = _stems(pipe)
    return [stem for stem in dict.fromkeys(map(_stem, names)) if stem not in there]


def kohya_parts(pipe: Any, tensors: Mapping[str, "Tensor"], called: str) -> dict[str, PartLora]:
    """A file's tensors by the pipeline's part and peft's names.

    All its layers must be the pipeline's. called: the LoRA's name, for the ModelError that says
    what is wrong with it.
    """
    there = _stems(pipe)
    layers: dict[str, dict[str, dict[str, Tensor]]] = defaultdict(lambda: defaultdict(dict))
    for name, tensor in tensors.items():
        part, layer = there[_stem(name)]
        layers[part][layer][name.partition(".")[2]] = tensor
    return {part: _part(getattr(pipe, part), found, called) for part, found in layers.items()}


def _part(network: Any, layers: Mapping[str, Mapping[str, "Tensor"]], called: str) -> PartLora:
    state: dict[str, Tensor] = {}
    inputs: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    scaled = 0
    for layer, own in layers.items():
        if _DOWN not in own or _UP not in own:
            raise ModelError(
                f"LoRA {called!r} has one matrix of two for {layer}; take another copy of it."
            )
        state[f"{layer}.lora_A.weight"], state[f"{layer}.lora_B.weight"] = own[_DOWN], own[_UP]
        ranks[layer] = int(own[_DOWN].shape[0])
        alphas[layer] = float(own[_ALPHA].item()) if _ALPHA in own else float(ranks[layer])
        if _SCALE in own:
            scaled += 1
            scale, out = own[_SCALE], int(own[_UP].shape[0])
            if scale.shape[0] == out or scale.dim() == 1:
                wide = own[_DOWN].dim() == 4
                state[f"{layer}.lora_magnitude_vector.weight"] = scale.reshape(
                    (1, -1, 1, 1) if wide else (-1,)
                )
            else:
                inputs[layer] = scale
    if scaled not in (0, len(layers)) or (inputs and len(inputs) != scaled):
        raise ModelError(
            f"LoRA {called!r} is a DoRA in some of its layers and not in others, which this studio "
            "does not apply; take one that is the same throughout."
        )
    config = _config(ranks, alphas) | {"use_dora": bool(scaled and not inputs)}
    return PartLora(state, config, inputs)


def _config(ranks: Mapping[str, int], alphas: Mapping[str, float]) -> dict[str, Any]:
    rank = Counter(ranks.values()).most_common(1)[0][0]
    alpha = Counter(alphas.values()).most_common(1)[0][0]
    return {
        "r": rank,
        "lora_alpha": alpha,
        # Without the sign of a beginning a name would also be any other's end.
        "rank_pattern": {f"^{name}": each for name, each in ranks.items() if each != rank},
        "alpha_pattern": {f"^{name}": each for name, each in alphas.items() if each != alpha},
        "target_modules": list(ranks),
    }


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _stems(pipe: Any) -> dict[str, tuple[str, str]]:
    """Part and name of a pipeline's layers by all the names that files have for them."""
    from studio.models.originals.names import unet_name

    found = {}
    for layer in _layers(getattr(pipe, "transformer", None)):
        found["lora_transformer_" + layer.replace(".", "_")] = "transformer", layer
    unet: Any = getattr(pipe, "unet", None)
    for layer in _layers(unet):
        found["lora_unet_" + layer.replace(".", "_")] = "unet", layer
        try:
            original = unet_name(layer, unet.config)
        except (KeyError, ValueError, TypeError):  # no single file has a layer for it
            continue
        found["lora_unet_" + original.replace(".", "_")] = "unet", layer
    for part, heads in _ENCODERS.items():
        for layer in _layers(getattr(pipe, part, None)):
            plain = layer.removeprefix(_TEXT).replace(".", "_")
            for head in heads:
                found[f"{head}text_model_{plain}"] = part, layer
    return found


def _layers(network: Any) -> list[str]:
    if network is None:
        return []
    return [
        name
        for name, module in network.named_modules()
        if getattr(module, "weight", None) is not None and not any(p in name for p in _PEFT)
    ]

"""Settings of ComfyUI, found by walking the graph that made the picture.

The base pass counts: the sampler whose latent comes from no other sampler. What later passes,
LoRAs and start pictures did is noted.
"""

from studio.diffusion.metadata.document import JsonObject
from studio.diffusion.metadata.graph import Graph, Node
from studio.diffusion.metadata.imported import Draft, Imported, Source

_CUSTOM = {"SamplerCustom", "SamplerCustomAdvanced"}
_LATENT = ("latent_image", "samples", "latent", "optional_latent", "pixels", "image", "images", "")
_MODEL = ("model", "unet", "")
_CLIP = ("conditioning", "conditioning_1", "positive", "clip", "")
_MODEL_NAMES = ("ckpt_name", "unet_name", "base_ckpt_name", "model_name")
# Schedules and samplers of SamplerCustom are nodes, most named after what they are.
_SCHEDULE_KINDS = {"BetaSamplingScheduler": "beta", "SDTurboScheduler": "turbo"}
_PASSES = 32
"""Samplers looked at; a graph with more is no picture's."""


def matches(data: JsonObject) -> bool:
    """Whether an object is a graph as ComfyUI runs it."""
    return any(isinstance(node, dict) and "class_type" in node for node in data.values())


def load(data: JsonObject, text: str) -> Imported:
    """Settings of a graph; its fields are empty when no sampler is found."""
    draft = Draft(Source.COMFYUI, text)
    graph = Graph(data)
    passes = [key for key, node in graph.nodes.items() if _samples(node)]
    if not passes:
        return draft.done()
    base = graph.nodes[_base_pass(graph, passes[:_PASSES])]
    settings = _settings(graph, base)
    for role in ("positive", "negative"):
        _prompt(draft, graph, settings, role)
    draft.put_sampler(_value(graph, settings, "sampler_name"), _value(graph, settings, "scheduler"))
    draft.put("steps", _value(graph, settings, "steps"))
    draft.put("cfg_scale", _value(graph, settings, "cfg"))
    seed = "seed" if "seed" in settings else "noise_seed"
    draft.put("seed", _value(graph, settings, seed))
    _size(draft, graph, settings)
    _model(draft, graph, settings)
    _clip_skip(draft, graph, settings)
    denoise = _value(graph, settings, "denoise")
    if isinstance(denoise, float) and denoise < 1:
        draft.left_out({"denoising strength": denoise})
    if len(passes) > 1:
        draft.note(f"Only the first of {len(passes)} sampling passes is taken over")
    return draft.done()


def _samples(node: Node) -> bool:
    named = {"sampler_name", "positive"} <= node.inputs.keys()
    return node.kind in _CUSTOM or (named and "latent_image" in node.inputs)


def _base_pass(graph: Graph, passes: list[str]) -> str:
    for key in passes:
        latent = graph.nodes[key].inputs.get("latent_image")
        if not any(_samples(node) for _, node in graph.upstream(latent, _LATENT)):
            return key
    return passes[0]


def _settings(graph: Graph, base: Node) -> JsonObject:
    """Inputs of the sampler and of the nodes that it takes its parts from, its own first."""
    settings: JsonObject = {}
    for name in ("noise", "guider", "sampler"):
        if found := graph.target(base.inputs.get(name)):
            settings |= found[1].inputs
            if name == "sampler" and found[1].kind.startswith("Sampler"):
                settings["sampler_name"] = found[1].kind.removeprefix("Sampler")
    for _, node in graph.upstream(base.inputs.get("sigmas"), ("sigmas",)):
        settings |= {"scheduler": _schedule(node), **node.inputs}
    return settings | base.inputs


def _schedule(node: Node) -> str:
    return _SCHEDULE_KINDS.get(node.kind, node.kind.removesuffix("Scheduler"))


def _value(graph: Graph, settings: JsonObject, name: str) -> object:
    return graph.literal(settings.get(name), name)


def _prompt(draft: Draft, graph: Graph, settings: JsonObject, role: str) -> None:
    # BasicGuider has one conditioning and no negative.
    start = settings.get(role, settings.get("conditioning") if role == "positive" else None)
    texts = graph.texts(start, role)
    draft.put("prompt" if role == "positive" else "negative_prompt", ", ".join(texts))
    if len(texts) > 1:
        draft.note(f"{len(texts)} {role} prompts of the graph are joined with commas")


def _size(draft: Draft, graph: Graph, settings: JsonObject) -> None:
    for _, node in graph.upstream(settings.get("latent_image"), _LATENT):
        if {"width", "height"} <= node.inputs.keys():
            sides = [_value(graph, node.inputs, name) for name in ("width", "height")]
            draft.put_size(*sides)
            return
        if node.kind.startswith("LoadImage"):
            draft.note("The picture was made from another picture, which is not in the file")
            return


def _model(draft: Draft, graph: Graph, settings: JsonObject) -> None:
    for _, node in graph.upstream(settings.get("model"), _MODEL):
        if "lora_name" in node.inputs:
            name = _value(graph, node.inputs, "lora_name")
            draft.lora(name, _value(graph, node.inputs, "strength_model"))
        for key in _MODEL_NAMES:
            if key in node.inputs:
                draft.put_model(_value(graph, node.inputs, key))
                return


def _clip_skip(draft: Draft, graph: Graph, settings: JsonObject) -> None:
    start = settings.get("positive", settings.get("conditioning"))
    for _, node in graph.upstream(start, _CLIP):
        layer = _value(graph, node.inputs, "stop_at_clip_layer")
        if isinstance(layer, int):
            # ComfyUI counts layers from the end: -1 is the last.
            draft.put("clip_skip", -layer)
            return

"""Routes that list what there is: samplers, upscalers, models and what goes with them."""

from collections.abc import Callable
from typing import Any

import psutil
from fastapi import APIRouter, Response

from studio.api.sdapi import answers
from studio.api.sdapi.door import in_thread
from studio.api.sdapi.names import (
    ALIASES,
    LATENT_MODES,
    NO_UPSCALER,
    RESAMPLERS,
    schedules_of,
    title_of,
)
from studio.api.sdapi.styles import Styles
from studio.models.drawers import Kind
from studio.models.embeddings import Embedding
from studio.requests import Sampler, Schedule
from studio.services import Services

_RHO = {Schedule.KARRAS: 7.0}
_EMPTY = ("hypernetworks", "face-restorers", "realesrgan-models", "script-info", "extensions")
"""Lists of what is not there in this studio."""


def add_routes(router: APIRouter, services: Services, styles: Styles) -> None:
    """Add them to a router."""

    def listing(path: str, model: Any, look: Callable[..., Any], *given: Any) -> None:
        async def show() -> Response:
            return await in_thread(look, *given)

        show.__doc__ = look.__doc__
        router.get(f"/{path}", response_model=model, name=path)(show)

    listing("samplers", list[answers.SamplerItem], _samplers)
    listing("schedulers", list[answers.SchedulerItem], _schedulers)
    listing("upscalers", list[answers.UpscalerItem], _upscalers, services)
    listing("latent-upscale-modes", list[answers.Named], _latent_modes)
    listing("sd-models", list[answers.ModelItem], _models, services)
    listing("sd-vae", list[answers.VaeItem], _vaes, services)
    listing("loras", list[answers.LoraItem], _loras, services)
    listing("embeddings", answers.EmbeddingsAnswer, _embeddings, services)
    listing("prompt-styles", list[answers.StyleItem], _styles, styles)
    listing("scripts", answers.ScriptsAnswer, _scripts)
    listing("memory", answers.MemoryAnswer, _memory, services)
    for path in _EMPTY:
        listing(path, list[dict[str, Any]], _nothing)


def _nothing() -> list[Any]:
    """Nothing of the sort is in this studio."""
    return []


def _scripts() -> dict[str, Any]:
    """There are no scripts."""
    return {"txt2img": [], "img2img": []}


def _styles(styles: Styles) -> list[dict[str, Any]]:
    """Saved pieces of prompts, of styles.csv in the data folder, everybody's, and one's own."""
    return [
        {"name": each.name, "prompt": each.prompt, "negative_prompt": each.negative_prompt}
        for each in styles.all().values()
    ]


def _samplers() -> list[dict[str, Any]]:
    """Samplers by the names that requests take."""
    return [
        {"name": each.value, "aliases": ALIASES[each], "options": schedules_of(each)}
        for each in Sampler
    ]


def _schedulers() -> list[dict[str, Any]]:
    """How noise levels can be spaced."""
    return [
        {
            "name": each.value.lower().replace(" ", "_"),
            "label": each.value,
            "aliases": ["SGMUniform"] if each is Schedule.SGM_UNIFORM else None,
            "default_rho": _RHO.get(each, -1.0),
            "need_inner_model": each is Schedule.SGM_UNIFORM,
        }
        for each in Schedule
    ]


def _latent_modes() -> list[dict[str, Any]]:
    """Ways to enlarge latents before a second pass."""
    return [{"name": name} for name in LATENT_MODES]


def _upscalers(services: Services) -> list[dict[str, Any]]:
    """Upscalers for finished pictures and for second passes."""
    plain = [NO_UPSCALER, *RESAMPLERS]
    own = [entry for entry in services.upscalers.entries() if not entry.problem]
    return [_upscaler(name) for name in plain] + [
        _upscaler(entry.name, entry.path.name) for entry in own
    ]


def _upscaler(name: str, file: str | None = None) -> dict[str, Any]:
    model = name if file else None
    return {
        "name": name,
        "model_name": model,
        "model_path": file,
        "model_url": None,
        "scale": 4.0,
    }


def _models(services: Services) -> list[dict[str, Any]]:
    """Models that can be used."""
    catalogue = services.catalogue
    found = []
    for entry in catalogue.entries():
        if entry.problem:
            continue
        digest = catalogue.known_sha256(entry) or None
        found.append(
            {
                "title": title_of(entry, catalogue),
                "model_name": entry.id,
                "hash": digest and digest[:10],
                "sha256": digest,
                "filename": entry.path.name,
                "config": None,
            }
        )
    return found


def _vaes(services: Services) -> list[dict[str, Any]]:
    """VAEs in files of their own; which model uses which is found by itself."""
    return [
        {"model_name": file.path.name, "filename": file.path.name}
        for file in services.catalogue.files()
        if file.kind is Kind.VAE
    ]


def _loras(services: Services) -> list[dict[str, Any]]:
    """LoRAs, by the names that prompts call them by."""
    return [
        {
            "name": lora.name,
            "alias": lora.name,
            "path": lora.path.name,
            "metadata": {
                "ss_base_model_version": lora.family,
                "ss_sd_model_name": lora.facts.base,
                "modelspec.trigger_phrase": lora.facts.trigger,
                "sshs_model_hash": lora.facts.hash,
            },
        }
        for lora in services.catalogue.loras.entries()
        if not lora.problem
    ]


def _embeddings(services: Services) -> dict[str, Any]:
    """Textual inversions, by the words that stand for them."""
    model = services.catalogue.get("")
    known = services.catalogue.embeddings.entries()
    fits = {each.word: model.family is not None and each.fits(model) for each in known}
    loaded = {each.word: _embedding(each) for each in known if fits[each.word]}
    skipped = {each.word: _embedding(each) for each in known if not fits[each.word]}
    return {"loaded": loaded, "skipped": skipped}


def _embedding(entry: Embedding) -> dict[str, Any]:
    return {
        "step": None,
        "sd_checkpoint": None,
        "sd_checkpoint_name": None,
        "shape": entry.widths[-1],
        "vectors": entry.vectors,
    }


def _memory(services: Services) -> dict[str, Any]:
    """Memory of this process, and of the graphics card if there is one."""
    used, total = psutil.Process().memory_info().rss, psutil.virtual_memory().total
    cuda: dict[str, Any] = {"error": "unavailable"}
    device = services.engine.known_device
    if device is not None and device.sort != "cpu":
        card = services.engine.memory()
        free = card.total - card.used
        cuda = {"system": {"free": free, "used": card.used, "total": card.total}}
    return {"ram": {"free": total - used, "used": used, "total": total}, "cuda": cuda}

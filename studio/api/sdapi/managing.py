"""Routes for options and models in memory, and those that read pictures."""

import io
from typing import Any

from fastapi import APIRouter, Body, Response

from studio.api.sdapi import answers, fields
from studio.api.sdapi.door import in_thread
from studio.api.sdapi.options import Options
from studio.api.sdapi.pictures import decoded
from studio.diffusion.metadata.containers import scan
from studio.diffusion.metadata.files import read
from studio.diffusion.metadata.infotext import parse
from studio.errors import MetadataError, RequestError
from studio.models.broker import Holder, this_thread
from studio.people import Deed, acting
from studio.reader.answering import at_most
from studio.services import Services
from studio.store.intake import in_words, opened, take_picture

_REFRESHED = ("checkpoints", "vae", "loras", "embeddings")
_PATIENCE = 30.0
"""Seconds that are waited for the device: a training may have it for hours."""


def add_routes(router: APIRouter, services: Services, options: Options) -> None:
    """Add them to a router."""

    @router.get("/options", response_model=dict[str, Any])
    async def get_options() -> Response:
        """The options and how they are."""
        return await in_thread(options.all)

    @router.post("/options")
    async def set_options(wanted: dict[str, Any] = Body()) -> Response:  # noqa: B008
        """Change options; those that are not known are passed over."""
        return await in_thread(options.set, wanted)

    @router.get("/cmd-flags", response_model=dict[str, Any])
    async def cmd_flags() -> Response:
        """How the server was started, as far as that is nobody's secret."""
        return await in_thread(_flags, services)

    @router.post("/png-info", response_model=answers.PngInfoAnswer)
    async def png_info(sent: fields.PngInfo) -> Response:
        """The settings that a picture carries."""
        return await in_thread(_png_info, sent, services.settings.max_upload)

    @router.post("/interrogate", response_model=answers.Caption)
    async def interrogate(sent: fields.Interrogate) -> Response:
        """What a picture shows, in the words of a captioner that is installed."""
        return await in_thread(_interrogated, services, sent)

    @router.post("/unload-checkpoint")
    async def unload_checkpoint() -> Response:
        """Take the models that no job uses out of memory."""
        return await in_thread(_unloaded, services)

    @router.post("/reload-checkpoint")
    async def reload_checkpoint() -> Response:
        """Bring the model in use into memory."""
        return await in_thread(_reloaded, services)

    for name in _REFRESHED:
        _add_refresh(router, name)


def _add_refresh(router: APIRouter, name: str) -> None:
    async def refresh() -> Response:
        """Nothing needs to be done: folders are looked at afresh whenever they are asked for."""
        return await in_thread(lambda: None)

    router.post(f"/refresh-{name}", name=f"refresh-{name}")(refresh)


def _flags(services: Services) -> dict[str, Any]:
    settings = services.settings
    return {
        "api": True,
        "nowebui": False,
        "listen": settings.host not in ("127.0.0.1", "localhost", "::1"),
        "port": settings.port,
        "subpath": settings.root_path or None,
        "share": False,
        "lowvram": False,
        "medvram": False,
        "xformers": settings.attention == "xformers",
        "opt_sdp_attention": settings.attention == "sdpa",
        "no_half": settings.dtype == "float32",
        "precision": "full" if settings.dtype == "float32" else "autocast",
        "use_cpu": ["all"] if settings.device == "cpu" else [],
        "disable_safe_unpickle": False,
        "enable_insecure_extension_access": False,
        "loglevel": settings.log_level,
    }


def _png_info(sent: fields.PngInfo, limit: int) -> dict[str, Any]:
    name = "The picture"
    data = decoded(sent.image, name, limit)
    with in_words(name):
        opened(data, name).close()
    try:
        text = read(io.BytesIO(data), name).text
        texts = scan(io.BytesIO(data), name).texts
    except MetadataError:
        return {"info": "", "items": {}, "parameters": {}}
    items = {key: value for key, value in texts.items() if key != "parameters"}
    found = parse(text)
    if not found.fields:
        return {"info": text, "items": items, "parameters": {}}
    prompts = {"Prompt": found.prompt, "Negative prompt": found.negative_prompt}
    return {"info": text, "items": items, "parameters": {**prompts, **found.fields}}


def _interrogated(services: Services, sent: fields.Interrogate) -> dict[str, Any]:
    if sent.model == "deepdanbooru":
        raise RequestError("Model 'deepdanbooru' is not here; send 'clip' or a captioner.", "model")
    acting().must_be_allowed(Deed.MAKE)
    entry = services.captioners.usable("" if sent.model == "clip" else sent.model)
    name = "The picture"
    data = decoded(sent.image, name, services.settings.max_upload)
    image = take_picture(data, name).image
    holder = Holder("a caption", is_alive=this_thread())
    engine = services.engine
    engine.device()
    with engine.broker.lease(holder, on_wait=at_most(_PATIENCE)):
        return {"caption": engine.caption(entry.name, image)}


def _unloaded(services: Services) -> dict[str, Any]:
    acting().must_be_allowed(Deed.MAKE)
    services.in_memory.drop_idle(0)
    return {}


def _reloaded(services: Services) -> dict[str, Any]:
    services.library.load(services.catalogue.usable("").id)
    return {}

"""Routes that make pictures: txt2img, img2img and the extras."""

import asyncio
import html
import json
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from studio.api.sdapi import answers, fields
from studio.api.sdapi.asking import edit, generation, with_infotext
from studio.api.sdapi.desk import Desk, caller_of
from studio.api.sdapi.door import Packed, in_pieces, in_thread
from studio.api.sdapi.enlarging import Enlarging
from studio.api.sdapi.options import Options
from studio.api.sdapi.results import check, made
from studio.api.sdapi.styles import Styles
from studio.errors import RequestError
from studio.requests import EditRequest, GenerationRequest
from studio.services import Services
from studio.store.jobs import JobRow

_PROMPTS = ("prompt", "negative_prompt")
_Sent = TypeVar("_Sent", bound=fields.Making)
_PICTURES = {"init_images", "mask", "latent_mask", "firstpass_image"}


class Reading:
    """What programs send, read as requests of the studio; pictures in it are kept."""

    def __init__(self, services: Services, options: Options, styles: Styles):
        self._services = services
        self._options = options
        self._styles = styles

    def text(self, sent: fields.TextToImage) -> tuple[fields.TextToImage, GenerationRequest]:
        """For pictures from a text; with what was sent, completed by its infotext."""
        sent = with_infotext(sent)
        force = self._options.in_force(sent.override_settings or {})
        return sent, generation(self._styled(sent), force, self._services.upscalers)

    def picture(self, sent: fields.ImageToImage) -> tuple[fields.ImageToImage, EditRequest]:
        """For a picture changed by a text; with what was sent, as above."""
        sent = with_infotext(sent)
        force = self._options.in_force(sent.override_settings or {})
        limit = self._services.settings.max_upload
        return sent, edit(self._styled(sent), force, self._services.inputs, limit)

    def _styled(self, sent: _Sent) -> _Sent:
        names = sent.styles or ()
        prompts = self._styles.applied(names, sent.prompt, sent.negative_prompt)
        return sent.model_copy(update=dict(zip(_PROMPTS, prompts, strict=True)))


def add_routes(router: APIRouter, services: Services, desk: Desk, reading: Reading) -> None:
    """Add them to a router."""
    _add_making(router, services, desk, reading)
    _add_extras(router, services, desk)


def _add_making(router: APIRouter, services: Services, desk: Desk, reading: Reading) -> None:
    async def picture(
        request: Request, sent: fields.Making, job: GenerationRequest | EditRequest, echo: Any
    ) -> Response:
        kept = json.dumps(sent.model_dump(exclude=_PICTURES))
        [row] = await desk.done([job], caller_of(request), kept, sent.force_task_id or "")
        return await in_pieces(_result, services, row, echo, sent.send_images)

    @router.post("/txt2img", response_model=answers.Made)
    async def txt2img(request: Request, sent: fields.TextToImage) -> Response:
        """Pictures from a text."""
        sent, job = await run_in_threadpool(reading.text, sent)
        return await picture(request, sent, job, sent.model_dump())

    @router.post("/img2img", response_model=answers.Made)
    async def img2img(request: Request, sent: fields.ImageToImage) -> Response:
        """A picture changed by a text, all of it or behind a mask."""
        sent, job = await run_in_threadpool(reading.picture, sent)
        echo = sent.model_dump()
        if not sent.include_init_images:
            echo |= {"init_images": None, "mask": None}
        return await picture(request, sent, job, echo)


def _add_extras(router: APIRouter, services: Services, desk: Desk) -> None:
    enlarging = Enlarging(services)

    async def enlarged(request: Request, sent: fields.Extras, texts: list[str]) -> list[str | None]:
        sources = await run_in_threadpool(enlarging.sources, sent, texts)
        jobs = await run_in_threadpool(enlarging.requests, sent, sources)
        rows: list[JobRow] = []
        if jobs:
            kept = json.dumps(sent.model_dump(exclude={"image", "imageList"}))
            rows = await desk.done(jobs, caller_of(request), kept)
        for row in rows:
            check(row)
        if not sent.show_extras_results:
            return []
        work = [run_in_threadpool(enlarging.finished, sent, row) for row in rows]
        if rows:
            return list(await asyncio.gather(*work))
        return list(await run_in_threadpool(enlarging.unchanged, sources))

    @router.post("/extra-single-image", response_model=answers.Enlarged)
    async def extra_single_image(request: Request, sent: fields.SingleExtras) -> Response:
        """A picture made larger."""
        found = await enlarged(request, sent, [sent.image])
        image = found[0] if found else None
        return await in_thread(lambda: {"html_info": _html(sent), "image": image})

    @router.post("/extra-batch-images", response_model=answers.AllEnlarged)
    async def extra_batch_images(request: Request, sent: fields.BatchExtras) -> Response:
        """Pictures made larger, each as a job of its own."""
        if not sent.imageList:
            raise RequestError("imageList is empty; send at least one picture.", "source")
        found = await enlarged(request, sent, [each.data for each in sent.imageList])
        images = [each for each in found if each]
        return await in_thread(lambda: {"html_info": _html(sent), "images": images})


def _result(services: Services, row: JobRow, echo: dict[str, Any], images: bool) -> Packed:
    check(row)
    return made(services, row, echo, images=images)


def _html(sent: fields.Extras) -> str:
    """What was done, as there: settings in a paragraph."""
    if sent.upscaler_1 == "None":
        return ""
    if sent.resize_mode == 1:
        size = f"Postprocess upscale to: {sent.upscaling_resize_w}x{sent.upscaling_resize_h}"
    else:
        size = f"Postprocess upscale by: {sent.upscaling_resize:g}"
    return f"<p>{html.escape(f'{size}, Postprocess upscaler: {sent.upscaler_1}')}</p>"

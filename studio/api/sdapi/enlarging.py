"""The extras: finished pictures made larger by the studio's upscalers."""

from studio.api.sdapi.fields import Extras
from studio.api.sdapi.names import NO_UPSCALER, upscaler_of
from studio.api.sdapi.pictures import cut_to, decoded, encoded
from studio.api.sdapi.results import files_of
from studio.errors import RequestError
from studio.requests import UpscaleRequest, validated
from studio.services import Services
from studio.store.inputs import Input
from studio.store.jobs import JobRow

_CANNOT = ("gfpgan_visibility", "codeformer_visibility")


class Enlarging:
    """What the routes of the extras ask for and get."""

    def __init__(self, services: Services):
        self._services = services

    def sources(self, sent: Extras, texts: list[str]) -> list[Input]:
        """The pictures of a request, kept; InputError or RequestError when that cannot be done."""
        for name in _CANNOT:
            if getattr(sent, name):
                raise RequestError(
                    f"{name} is {getattr(sent, name):g}, but faces are not restored here; leave it "
                    "out.",
                    name,
                )
        if sent.upscaler_2 != NO_UPSCALER and sent.extras_upscaler_2_visibility:
            raise RequestError(
                "Two upscalers cannot be mixed here; leave upscaler_2 out.", "upscaler_2"
            )
        if sent.upscaler_1 != NO_UPSCALER:
            upscaler_of(sent.upscaler_1, self._services.upscalers)
        limit = self._services.settings.max_upload
        files = [decoded(text, "The picture", limit) for text in texts]
        return [self._services.inputs.add_picture(data, "The picture") for data in files]

    def requests(self, sent: Extras, sources: list[Input]) -> list[UpscaleRequest]:
        """A job for each picture; none where nothing is to be done, as with no upscaler."""
        if sent.upscaler_1 == NO_UPSCALER:
            return []
        name = upscaler_of(sent.upscaler_1, self._services.upscalers)
        return [
            validated(
                UpscaleRequest,
                {"source": each.hash, "scale": _scale(sent, each), "upscaler": name},
            )
            for each in sources
        ]

    def finished(self, sent: Extras, row: JobRow) -> str | None:
        """What a job made, cut to the wanted size where that was asked for; None if nothing."""
        files = files_of(self._services, row.id)
        if not files:
            return None
        if sent.resize_mode == 1 and sent.upscaling_crop:
            size = sent.upscaling_resize_w, sent.upscaling_resize_h
            return encoded(cut_to(files[0].read_bytes(), *size))
        return encoded(files[0].read_bytes())

    def unchanged(self, sources: list[Input]) -> list[str]:
        """The pictures as they came."""
        return [encoded(self._services.inputs.path(each.hash).read_bytes()) for each in sources]


def _scale(sent: Extras, source: Input) -> float:
    """How much larger a picture gets: at a wanted size it covers all of that."""
    if sent.resize_mode == 0:
        return sent.upscaling_resize
    return max(sent.upscaling_resize_w / source.width, sent.upscaling_resize_h / source.height)

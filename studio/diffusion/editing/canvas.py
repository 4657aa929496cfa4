"""What an edit works on, from the source and the mask to arrays that the model can take.

All of it is plain arithmetic on pixels; nothing here knows of a model but its sizes.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from studio.diffusion.editing import ground, masks
from studio.diffusion.editing.blend import blended
from studio.diffusion.editing.masks import Box
from studio.diffusion.sizes import check_side
from studio.errors import RequestError
from studio.models.entry import ModelEntry
from studio.requests import EditRequest, InpaintArea, MaskedContent, MaskMode, Resize

SIDE_LIMIT = 2048


@dataclass(frozen=True)
class Canvas:
    """A prepared edit.

    source: the picture as it will be but for the change (h, w, 3). hole, soft: where it may change,
    as 0 or 255 and as 0 to 1, both None for all of it. box: the part that is worked on. work,
    work_hole, work_soft: that part at the model's size. filled: the same with its hole filled from
    around, if that was asked for. inner: width and height of `work` without what was added to
    reach the model's multiple. given: the source before it was resized, for resizing as latents.
    """

    source: np.ndarray
    hole: np.ndarray | None
    soft: np.ndarray | None
    box: Box
    work: np.ndarray
    work_hole: np.ndarray | None
    work_soft: np.ndarray | None
    inner: tuple[int, int]
    filled: np.ndarray | None = None
    given: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height that the model works at."""
        return self.work.shape[1], self.work.shape[0]

    def finished(self, made: Image.Image, request: EditRequest) -> Image.Image:
        """The source with what the model made of the part put back."""
        pixels = np.asarray(made)[: self.inner[1], : self.inner[0]]
        pixels = ground.resized(np.ascontiguousarray(pixels), *self.box.size)
        if self.soft is None:
            return Image.fromarray(pixels)
        result = self.source.copy()
        part = self.box.of(result)
        part[:] = blended(part, pixels, self.box.of(self.soft), request.blend)
        return Image.fromarray(result)


def prepare(
    request: EditRequest, source: Image.Image, mask: Image.Image | None, entry: ModelEntry
) -> Canvas:
    """The canvas of a request; RequestError when mask and source do not fit or are too large.

    entry: the model, whose multiple, own size and largest side fix what is worked on at once.
    """
    given = np.asarray(source.convert("RGB"))
    hole = None if mask is None else _fitting(mask, source)
    only_masked = request.area is InpaintArea.MASKED and (hole is not None or request.extends)
    picture = given
    if not only_masked:
        width, height = request.width or source.width, request.height or source.height
        picture = ground.fitted(given, width, height, request.resize)
        if hole is not None:
            as_picture = np.repeat(hole[..., None], 3, axis=-1)
            # Stretched edges of a mask would be holes that nobody painted.
            hole = ground.fitted(as_picture, width, height, request.resize)[..., 0]
    picture, hole = _extended(request, picture, hole)
    if hole is None:
        canvas = _whole(request, picture, given, entry.multiple)
    else:
        hole = _adjusted(request, hole)
        asked = (request.width or entry.width, request.height or entry.height)
        canvas = _masked(request, picture, hole, (entry.multiple, asked if only_masked else None))
    check_side("width", max(canvas.size), entry)
    return canvas


def _fitting(mask: Image.Image, source: Image.Image) -> np.ndarray:
    """The mask at the source's size; another shape cannot have been painted on it."""
    if mask.size != source.size:
        wide, high = mask.width / source.width, mask.height / source.height
        if abs(wide / high - 1) > 0.02:
            raise RequestError(
                f"The mask is {mask.width}x{mask.height}, but the picture is "
                f"{source.width}x{source.height}; use a mask of the picture's size.",
                field="mask",
            )
        mask = mask.resize(source.size, Image.Resampling.BILINEAR)
    return masks.hard(np.asarray(mask.convert("L")))


def _extended(
    request: EditRequest, picture: np.ndarray, hole: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    if not request.extends:
        return picture, hole
    sides = (
        request.extend_left,
        request.extend_right,
        request.extend_top,
        request.extend_bottom,
    )
    new = ground.new_ground(picture.shape[:2], sides)
    # The overlap reaches into the picture only: beyond the new ground's other edge is nothing.
    new = masks.grown(new, request.extend_overlap)
    if hole is not None:
        left, right, top, bottom = sides
        new = np.maximum(new, np.pad(hole, ((top, bottom), (left, right))))
    return ground.extended(picture, sides, request.extend_fill, request.seed), new


def _adjusted(request: EditRequest, hole: np.ndarray) -> np.ndarray:
    if request.mask_mode is MaskMode.NOT_MASKED and request.mask:
        hole = 255 - hole
    hole = masks.grown(hole, request.mask_grow)
    if not hole.any():
        raise RequestError(
            "The mask leaves nothing to change; paint over what is to become something else, "
            "or send no mask to change all of the picture.",
            field="mask",
        )
    return hole


def _whole(request: EditRequest, picture: np.ndarray, given: np.ndarray, multiple: int) -> Canvas:
    height, width = picture.shape[:2]
    _check_side(width, height)
    work = ground.padded(picture, multiple)
    as_latents = request.resize is Resize.LATENT and picture.shape != given.shape
    return Canvas(
        source=picture,
        hole=None,
        soft=None,
        box=Box(0, 0, width, height),
        work=work,
        work_hole=None,
        work_soft=None,
        inner=(width, height),
        given=given if as_latents else None,
    )


def _masked(
    request: EditRequest,
    picture: np.ndarray,
    hole: np.ndarray,
    model: tuple[int, tuple[int, int] | None],
) -> Canvas:
    """model: its multiple, and the size to work on the framed hole at; None to work on all."""
    multiple, asked = model
    height, width = picture.shape[:2]
    soft = masks.feathered(hole, request.feather)
    box, inner = Box(0, 0, width, height), (width, height)
    if asked:
        box = masks.frame(soft, request.padding, asked[0] / asked[1])
        inner = _working_size(box.size, asked, multiple)
    _check_side(*inner)
    part, part_hole, part_soft = box.of(picture), box.of(hole), box.of(soft)
    part = np.ascontiguousarray(part)
    fills = request.masked_content is MaskedContent.FILL
    return Canvas(
        source=picture,
        hole=hole,
        soft=soft,
        box=box,
        work=_work(part, inner, multiple),
        work_hole=ground.padded(masks.resized(part_hole, *inner), multiple),
        work_soft=ground.padded(masks.resized(part_soft, *inner), multiple),
        inner=inner,
        filled=_work(ground.filled(part, part_hole), inner, multiple) if fills else None,
    )


def _work(part: np.ndarray, inner: tuple[int, int], multiple: int) -> np.ndarray:
    return ground.padded(ground.resized(part, *inner), multiple)


def _working_size(part: tuple[int, int], asked: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The part's shape at about as many pixels as were asked for, in multiples of the multiple."""
    scale = (asked[0] * asked[1] / (part[0] * part[1])) ** 0.5
    wide, high = (max(multiple, round(side * scale / multiple) * multiple) for side in part)
    return wide, high


def _check_side(width: int, height: int) -> None:
    if max(width, height) > SIDE_LIMIT:
        raise RequestError(
            f"The picture is {width}x{height}, but at most {SIDE_LIMIT} pixels a side can be "
            "worked on at once; ask for a smaller width and height, or inpaint only the masked "
            "area.",
            field="width",
        )

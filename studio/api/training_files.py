"""Files of trainings, to be shown and saved: pictures of sets, samples and settings of runs.

No path comes from a client: sets and runs are looked up by name among those that are there, a
picture by its sum among those of its set, a sample by its step and number.
"""

import threading
from collections import OrderedDict
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse

from studio.api.outputs import HEADERS, found
from studio.errors import NotFound
from studio.requests import HASH
from studio.services import Services
from studio.training.pictures.listing import Found, describe, find_pictures
from studio.training.pictures.sets import PictureSets
from studio.training.toml_files import write_toml
from studio.training.watching.grid import MadeGrid

SMALL, LARGE = 256, 1600
"""Pixels of the longer side of what is shown in lists, and alone."""
_FRESH = {**HEADERS, "Cache-Control": "private, no-cache"}
_SETS = 8
"""Of which the sums are remembered."""

SetName = Annotated[str, InPath(max_length=100)]
Digest = Annotated[str, InPath(pattern=HASH)]
RunName = Annotated[str, InPath(max_length=255)]
GridDigest = Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")]
Count = Annotated[int, InPath(ge=0, le=10**8)]


class SetIndex:
    """The pictures of sets by their sums; a set is listed again when one is not as it was."""

    def __init__(self, sets: PictureSets):
        self._sets = sets
        self._known: OrderedDict[str, dict[str, Found]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, name: str, digest: str) -> Found:
        """The picture of a set that has a sum; NotFound when there is none."""
        if not self._sets.shows(name):  # what is known was looked up for somebody else
            self._sets.path(name)
        picture = self._known.get(name, {}).get(digest)
        if picture is None or not _is_as_it_was(picture):
            picture = self._listed(name).get(digest)
        if picture is None:
            raise NotFound(f"The picture set {name!r} has no such picture; look at it anew.")
        return picture

    def _listed(self, name: str) -> dict[str, Found]:
        folder = self._sets.path(name)
        pictures = find_pictures(folder)
        facts = describe(folder, pictures)
        sums = {facts[each.name].sha256: each for each in reversed(pictures)}
        with self._lock:
            self._known[name] = sums
            self._known.move_to_end(name)
            while len(self._known) > _SETS:
                self._known.popitem(last=False)
        return sums


def build_router(services: Services) -> APIRouter:
    """Routes under /picture_sets and /runs."""
    router = APIRouter(tags=["training"])
    index = SetIndex(services.picture_sets)

    @router.get("/picture_sets/{name}/{digest}/{size}")
    def picture(name: SetName, digest: Digest, size: Literal["small", "large"]) -> Response:
        """A picture of a set as WebP, upright, no larger than a page needs it."""
        path = found(lambda: index.find(name, digest).path)
        side = SMALL if size == "small" else LARGE
        content = found(lambda: services.checking.thumbnail(path, side))
        return Response(content, media_type="image/webp", headers=HEADERS)

    @router.get("/picture_sets/{name}/{digest}/cut/shown")
    def cut(
        name: SetName,
        digest: Digest,
        model: Annotated[str, Query(max_length=200)] = "",
        side: Annotated[int, Query(ge=0, le=2048)] = 0,
        buckets: bool = True,
    ) -> Response:
        """The picture with what a training cuts off in the dark; side: 0 for the model's own."""
        content = found(
            lambda: services.checking.cut(name, index.find(name, digest), (model, side, buckets))
        )
        return Response(content, media_type="image/webp", headers=_FRESH)

    @router.get("/runs/{name}/samples/{step}/{number}")
    def sample(name: RunName, step: Count, number: Count) -> FileResponse:
        """A sample of a run, by its step and the number of its prompt."""
        path = found(lambda: services.runs.folder(name).sample_path(step, number))
        if not path.is_file():
            raise HTTPException(404, f"The run {name} has no sample {number} of step {step}.")
        return FileResponse(path, media_type="image/webp", headers=HEADERS)

    @router.get("/runs/{name}/grids/{digest}")
    def whole_grid(name: RunName, digest: GridDigest) -> FileResponse:
        """A grid of a run in one picture, with its labels."""
        path = found(lambda: grid_of(name, digest).picture)
        return FileResponse(path, media_type="image/webp", filename="grid.webp", headers=HEADERS)

    @router.get("/runs/{name}/grids/{digest}/{number}")
    def cell(name: RunName, digest: GridDigest, number: Count) -> FileResponse:
        """A picture of a grid by its number."""
        painted = found(lambda: grid_of(name, digest).painted)
        if number >= len(painted) or not painted[number].file.is_file():
            raise HTTPException(404, f"The grid has no picture {number}.")
        return FileResponse(painted[number].file, media_type="image/webp", headers=HEADERS)

    def grid_of(name: str, digest: str) -> MadeGrid:
        for made in services.gridding.made(name):
            if made.digest == digest:
                return made
        raise NotFound(f"The run {name} has no such grid.")

    @router.get("/runs/{name}/settings.toml")
    def settings(name: RunName) -> Response:
        """What a run was asked, as a file that another one can be begun with."""
        text = write_toml(found(lambda: services.runs.request(name)))
        headers = {**_FRESH, "Content-Disposition": 'attachment; filename="training.toml"'}
        return Response(text, media_type="application/toml", headers=headers)

    return router


def _is_as_it_was(picture: Found) -> bool:
    try:
        facts = picture.path.stat()
    except OSError:
        return False
    return (facts.st_size, facts.st_mtime_ns) == (picture.bytes, picture.changed)

"""Files of the reader, to be saved: those of submissions by id, data sets by name.

No path comes from a client: a name is compared with those of the files that are there.
"""

import re
from typing import Annotated

from fastapi import APIRouter, HTTPException, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse

from studio.api.outputs import found
from studio.reader.submission_files import (
    archive,
    model_card,
    na_probs_json,
    predictions_json,
)
from studio.services import Services
from studio.store.submissions import SubmissionRow

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-cache",
}
_JSON, _ZIP, _TEXT = "application/json", "application/zip", "text/markdown; charset=utf-8"

SubmissionId = Annotated[int, InPath(ge=1, le=2**63 - 1)]
DataSetName = Annotated[str, InPath(max_length=255)]


def build_router(services: Services) -> APIRouter:
    """Routes under /submissions and /data_sets."""
    router = APIRouter(tags=["reader"])
    board = services.leaderboard

    @router.get("/submissions/{submission_id}/predictions.json")
    def predictions(submission_id: SubmissionId) -> Response:
        """The texts as the official script takes them."""
        row = found(lambda: board.get(submission_id))
        content = predictions_json(found(lambda: board.predictions(submission_id)))
        return _attached(content, row, "predictions.json", _JSON)

    @router.get("/submissions/{submission_id}/na_prob.json")
    def na_probs(submission_id: SubmissionId) -> Response:
        """The no-answer probabilities as the official script takes them."""
        row = found(lambda: board.get(submission_id))
        content = na_probs_json(found(lambda: board.predictions(submission_id)))
        if content is None:
            raise HTTPException(404, f"Submission {row.id} has no no-answer probabilities.")
        return _attached(content, row, "na_prob.json", _JSON)

    @router.get("/submissions/{submission_id}/README.md")
    def card(submission_id: SubmissionId) -> Response:
        """A model card for the Hugging Face hub."""
        row = found(lambda: board.get(submission_id))
        return _attached(model_card(row).encode(), row, "README.md", _TEXT)

    @router.get("/submissions/{submission_id}/submission.zip")
    def packed(submission_id: SubmissionId) -> Response:
        """All of these with the scores, in one file."""
        row = found(lambda: board.get(submission_id))
        content = archive(row, found(lambda: board.predictions(submission_id)))
        return _attached(content, row, "submission.zip", _ZIP)

    @router.get("/data_sets/{name}")
    def data_set(name: DataSetName) -> FileResponse:
        """The file of a data set as it is kept."""
        path = found(lambda: services.data_sets.path(name))
        kind = "application/gzip" if path.suffix == ".gz" else _JSON
        return FileResponse(path, media_type=kind, filename=path.name, headers=_HEADERS)

    return router


def _attached(content: bytes, row: SubmissionRow, file: str, kind: str) -> Response:
    model = re.sub(r"[^A-Za-z0-9._-]+", "-", row.model)[:80].strip("-.") or "model"
    name = f"{model}-{row.id}-{file}"
    headers = {**_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=kind, headers=headers)

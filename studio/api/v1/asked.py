"""What can be asked for as a job: every request of the studio, told apart by its kind."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from studio.model_requests import BakeRequest, ExtractRequest, MergeRequest, ResizeRequest
from studio.reader_requests import EvaluateRequest, FetchDataRequest, FinetuneRequest
from studio.requests import (
    DownloadRequest,
    EditRequest,
    GenerationRequest,
    TimingRequest,
    UpscaleRequest,
)
from studio.training_requests import (
    CaptionRequest,
    CostRequest,
    FetchPicturesRequest,
    GridRequest,
    TrainRequest,
)


class TrainingRequest(TrainRequest):
    """A training; `train-cost` asks what it will take."""

    kind: Literal["train"] = "train"


AnyRequest = Annotated[
    GenerationRequest
    | EditRequest
    | UpscaleRequest
    | TimingRequest
    | TrainingRequest
    | CostRequest
    | GridRequest
    | CaptionRequest
    | FetchPicturesRequest
    | FinetuneRequest
    | EvaluateRequest
    | FetchDataRequest
    | MergeRequest
    | ExtractRequest
    | BakeRequest
    | ResizeRequest
    | DownloadRequest,
    Field(discriminator="kind"),
]
KINDS: tuple[str, ...] = tuple(
    each.model_fields["kind"].default for each in get_args(get_args(AnyRequest)[0])
)
_HASH = "0" * 64
EXAMPLES: dict[str, Any] = {
    "generate": {
        "summary": "A picture from a text",
        "value": {"kind": "generate", "prompt": "a red apple", "steps": 20, "seed": 7},
    },
    "edit": {
        "summary": "A picture changed by a text; source is the hash that /api/v1/inputs gave",
        "value": {"kind": "edit", "source": _HASH, "prompt": "a blue car", "strength": 0.6},
    },
    "upscale": {
        "summary": "A picture made larger",
        "value": {"kind": "upscale", "source": _HASH, "scale": 2.0},
    },
    "train": {
        "summary": "A LoRA of the pictures of a set",
        "value": {"kind": "train", "name": "my-dog", "pictures": "dogs", "trigger": "sks dog"},
    },
    "evaluate-reader": {
        "summary": "A reader's scores, for the leaderboard",
        "value": {"kind": "evaluate-reader", "data_set": "dev-v2.0"},
    },
}

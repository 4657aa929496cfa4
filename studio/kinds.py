"""Which kinds of jobs there are: their requests, how these are completed, and who does them."""

from typing import Protocol, cast

from studio.context import Context
from studio.diffusion.resolve import (
    resolve_edit,
    resolve_generation,
    resolve_timing,
    resolve_upscale,
)
from studio.jobs.queue import Kind, Use
from studio.model_requests import BakeRequest, ExtractRequest, MergeRequest, ResizeRequest
from studio.models.catalogue import Catalogue
from studio.models.hub import Hub
from studio.models.merging.workshop import Workshop
from studio.models.upscalers import UpscalerShelf
from studio.people import Deed
from studio.reader.data_sets import DataSets
from studio.reader.evaluating import Evaluating
from studio.reader.finetuning.job import Finetuning
from studio.reader_requests import EvaluateRequest, FetchDataRequest, FinetuneRequest
from studio.requests import (
    DownloadRequest,
    EditRequest,
    GenerationRequest,
    Request,
    TimingRequest,
    UpscaleRequest,
)
from studio.store.inputs import InputStore
from studio.training.launch.costing import Costing
from studio.training.launch.gridding import Gridding
from studio.training.launch.job import Training
from studio.training.pictures.caption_job import Captioning
from studio.training.pictures.fetch_job import FetchingPictures
from studio.training_requests import (
    CaptionRequest,
    CostRequest,
    FetchPicturesRequest,
    GridRequest,
    TrainRequest,
)


class Painters(Protocol):
    """The work functions of a device's engine, wherever it is at work."""

    def generate(self, request: Request, context: Context) -> None:
        """Pictures from words."""
        ...

    def edit(self, request: Request, context: Context) -> None:
        """Pictures from pictures."""
        ...

    def upscale(self, request: Request, context: Context) -> None:
        """A picture made larger."""
        ...

    def time(self, request: Request, context: Context) -> None:
        """How fast a model is."""
        ...


def picturing(
    engine: Painters,
    catalogue: Catalogue,
    inputs: InputStore,
    shelf: UpscalerShelf,
    captioning: Captioning,
) -> dict[str, Kind]:
    """The kinds of jobs that make or look at pictures."""
    return {
        "generate": Kind(
            GenerationRequest,
            lambda request: resolve_generation(cast(GenerationRequest, request), catalogue, shelf),
            engine.generate,
            title="a picture",
        ),
        "edit": Kind(
            EditRequest,
            lambda request: resolve_edit(cast(EditRequest, request), catalogue, inputs),
            engine.edit,
            title="an edit",
        ),
        "upscale": Kind(
            UpscaleRequest,
            lambda request: resolve_upscale(
                cast(UpscaleRequest, request), catalogue, inputs, shelf
            ),
            engine.upscale,
            title="an enlargement",
        ),
        "timing": Kind(
            TimingRequest,
            lambda request: resolve_timing(cast(TimingRequest, request), catalogue),
            engine.time,
            title="a timing",
        ),
        "caption-pictures": Kind(
            CaptionRequest,
            lambda request: captioning.resolve(cast(CaptionRequest, request)),
            lambda request, context: captioning(cast(CaptionRequest, request), context),
            title="captions",
        ),
    }


def fetching(hub: Hub, data_sets: DataSets, pictures: FetchingPictures) -> dict[str, Kind]:
    """The kinds of jobs that wait for the network."""
    return {
        "download": Kind(
            DownloadRequest,
            lambda request: request,
            lambda request, context: hub(cast(DownloadRequest, request), context),
            Use.NONE,
            lane="network",
            deed=Deed.MANAGE_MODELS,
        ),
        "fetch-data": Kind(
            FetchDataRequest,
            lambda request: request,
            lambda request, context: data_sets.fetch(cast(FetchDataRequest, request), context),
            Use.NONE,
            lane="network",
        ),
        "fetch-pictures": Kind(
            FetchPicturesRequest,
            lambda request: request,
            lambda request, context: pictures(cast(FetchPicturesRequest, request), context),
            Use.NONE,
            lane="network",
        ),
    }


def reading(evaluating: Evaluating) -> dict[str, Kind]:
    """The kinds of jobs that read."""
    return {
        "evaluate-reader": Kind(
            EvaluateRequest,
            lambda request: evaluating.resolve(cast(EvaluateRequest, request)),
            lambda request, context: evaluating(cast(EvaluateRequest, request), context),
            title="an evaluation",
            lane="reading",
        )
    }


def looking(gridding: Gridding) -> dict[str, Kind]:
    """The kinds of jobs that show what a training has made."""
    return {
        "train-grid": Kind(
            GridRequest,
            lambda request: gridding.resolve(cast(GridRequest, request)),
            lambda request, context: gridding(cast(GridRequest, request), context),
            title="a grid",
        )
    }


def trainings(finetuning: Finetuning, training: Training, costing: Costing) -> dict[str, Kind]:
    """The kinds of jobs that train, alone on the device and for hours."""
    return {
        "finetune-reader": Kind(
            FinetuneRequest,
            lambda request: finetuning.resolve(cast(FinetuneRequest, request)),
            lambda request, context: finetuning(cast(FinetuneRequest, request), context),
            Use.ALONE,
            title="a training",
            resumes=True,
            lane="training",
        ),
        "train": Kind(
            TrainRequest,
            lambda request: training.resolve(cast(TrainRequest, request)),
            lambda request, context: training(cast(TrainRequest, request), context),
            # It takes the device itself, for as long as its process lives.
            Use.NONE,
            title="a training",
            resumes=True,
            lane="training",
        ),
        "train-cost": Kind(
            CostRequest,
            lambda request: costing.resolve(cast(CostRequest, request)),
            lambda request, context: costing(cast(CostRequest, request), context),
            Use.NONE,
            title="a measurement",
            lane="training",
        ),
    }


def making(workshop: Workshop) -> dict[str, Kind]:
    """The kinds of jobs that make new models."""
    return {
        "merge": Kind(
            MergeRequest,
            lambda request: workshop.resolve_merge(cast(MergeRequest, request)),
            lambda request, context: workshop.merge(cast(MergeRequest, request), context),
            Use.NONE,
            lane="making",
        ),
        "extract": Kind(
            ExtractRequest,
            lambda request: workshop.resolve_extract(cast(ExtractRequest, request)),
            lambda request, context: workshop.extract(cast(ExtractRequest, request), context),
            Use.NONE,
            lane="making",
        ),
        "bake": Kind(
            BakeRequest,
            lambda request: workshop.resolve_bake(cast(BakeRequest, request)),
            lambda request, context: workshop.bake(cast(BakeRequest, request), context),
            Use.NONE,
            lane="making",
        ),
        "resize": Kind(
            ResizeRequest,
            lambda request: workshop.resolve_resize(cast(ResizeRequest, request)),
            lambda request, context: workshop.resize(cast(ResizeRequest, request), context),
            Use.NONE,
            lane="making",
        ),
    }

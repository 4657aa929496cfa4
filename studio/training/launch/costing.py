"""The job that measures what a run will cost: three of its steps, in a process as the run's."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from studio.context import Context
from studio.errors import DataError
from studio.events import Measured, Notice
from studio.models.devices import Device
from studio.training.cost import Cost, read_cost
from studio.training.launch.asking import Asked, Asking
from studio.training.launch.class_pictures import ClassPictures
from studio.training.launch.hold import DeviceHold
from studio.training.launch.job import Training
from studio.training.launch.process import PROGRAM, is_running
from studio.training.run_folder import RunFolder
from studio.training_requests import CostRequest, TrainRequest

_FOLDER = ("cache", "costs")
_FLAG = "--measure"
_LARGEST = 1024


class Costing:
    """The work function of measurements, and what completes their requests.

    data, asking, hold, class_pictures, device, empty: as a training has them.
    """

    def __init__(
        self,
        data: Path,
        asking: Asking,
        hold: DeviceHold,
        class_pictures: ClassPictures,
        device: Callable[[], Device],
        empty: Callable[[], object],
    ):
        self._asking = _AskingCost(asking, data)
        self._training = Training(
            data,
            self._asking,
            hold,
            class_pictures,
            device,
            empty,
            program=(*PROGRAM, _FLAG),
        )

    def resolve(self, request: CostRequest) -> CostRequest:
        """The request with nothing left open; its name may be taken already."""
        return self._asking.completed(request)

    def __call__(self, request: CostRequest, context: Context) -> None:
        """Measure, and tell the cost as figures and what had to be changed as notices."""
        run = self._asking.folder(request)
        if not is_running(run):
            shutil.rmtree(run.path, ignore_errors=True)
        self._training(request, context)
        cost = read_cost(run.path)
        for words in cost.way:
            context.emit(Notice(text=words))
        told = {
            name: float(value)
            for name, value in asdict(cost).items()
            if isinstance(value, int | float)
        }
        context.emit(Measured(step=0, values=told))

    def cost(self, request: TrainRequest) -> Cost | None:
        """What was measured for a request, which need not be complete; None for nothing yet."""
        asked = CostRequest.model_validate(
            {**request.model_dump(), "kind": CostRequest.model_fields["kind"].default}
        )
        run = self._asking.folder(self._asking.completed(asked))
        try:
            return read_cost(run.path)
        except DataError:
            return None


class _AskingCost(Asking):
    """As a training's, but that no name is taken and that the folder is in the cache."""

    def __init__(self, asking: Asking, data: Path):
        self._own = asking
        self._folder = data.joinpath(*_FOLDER)

    def __call__(self, request: TrainRequest) -> TrainRequest:
        return request

    def keep(self, request: TrainRequest) -> None:
        """A measurement is nobody's: whoever asks for the same finds its figures."""

    def completed(self, request: Asked) -> Asked:
        """The request with nothing left open.

        Instead of pictures of the class, which are yet to be made, it takes as many more of the
        subject's, for they cost the same.
        """
        done = self._own.completed(request)
        if not done.preservation:
            return done
        twice = min(2 * done.batch_size, _LARGEST)
        return done.model_copy(update={"preservation": False, "batch_size": twice})

    def folder(self, request: TrainRequest) -> RunFolder:
        told = request.model_dump_json(exclude={"name", "owner"})
        return RunFolder(self._folder / hashlib.sha256(told.encode()).hexdigest()[:24])

    def pictures(self, request: TrainRequest) -> Path:
        return self._own.pictures(request)

    def configuration(self, request: TrainRequest) -> Path | None:
        return self._own.configuration(request)

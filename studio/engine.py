"""The heavy half of the services: device, model manager and work functions.

torch and diffusers are imported on first use, in the background, so that the page answers first
and the first picture still comes soon.
"""

import logging
import threading
import time
from typing import TYPE_CHECKING, cast

from studio.context import Context, ModelSpec
from studio.errors import AtelierError
from studio.models.broker import Broker
from studio.models.captioners import CAPTIONER, CaptionerLoader, CaptionerShelf
from studio.models.catalogue import Catalogue
from studio.models.devices import (
    NOTES,
    Device,
    Memory,
    automatic_budget,
    automatic_resting_budget,
    choose_device,
    free_memory,
    memory,
    release_cached,
)
from studio.models.diffusion_loader import DiffusionLoader
from studio.models.journal import Journal
from studio.models.manager import ModelManager
from studio.models.readers import KINDS as READER_KINDS
from studio.models.readers import ReaderLoader, ReaderShelf
from studio.models.speeds import Speeds
from studio.models.speedups import LOADERS, QUANTISED
from studio.models.upscalers import UpscalerLoader, UpscalerShelf
from studio.requests import (
    EditRequest,
    GenerationRequest,
    Request,
    TimingRequest,
    UpscaleRequest,
)
from studio.settings import Settings
from studio.store.inputs import InputStore

if TYPE_CHECKING:
    from PIL.Image import Image

    from studio.diffusion.editing.edit import Editing
    from studio.diffusion.generate import Generation
    from studio.diffusion.timing import Timing
    from studio.diffusion.upscaling.upscale import Upscaling

log = logging.getLogger(__name__)


class Engine:
    """What needs torch, made when first asked for."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        inputs: InputStore,
        shelf: UpscalerShelf,
        readers: ReaderShelf,
        captioners: CaptionerShelf,
        journal: Journal,
        speeds: Speeds,
    ):
        self._speeds = speeds
        self._settings = settings
        self._catalogue = catalogue
        self._inputs = inputs
        self._lock = threading.Lock()
        self._device: Device | None = None
        self._pictures: tuple[Generation, Editing, Upscaling, Timing] | None = None
        self.models = ModelManager(
            {
                kind: DiffusionLoader(
                    catalogue, self.device, settings.attention, quantised=kind == QUANTISED
                )
                for kind in LOADERS
            }
            | {"upscaler": UpscalerLoader(shelf, self.device)}
            | {CAPTIONER: CaptionerLoader(captioners, self.device)}
            | {kind: ReaderLoader(readers, self.device, kind) for kind in READER_KINDS},
            budget=self.budget,
            release=self.release,
            free=self.free,
            resting=self.resting_budget,
            journal=journal,
        )

        self._journal = journal
        self.broker = Broker(self.models.clear, journal)

    def device(self) -> Device:
        """The device that work runs on; the first call imports torch."""
        with self._lock:
            if self._device is None:
                self._device = choose_device(
                    self._settings.device,
                    self._settings.dtype,
                    self._settings.data_dir / NOTES,
                )
            return self._device

    @property
    def known_device(self) -> Device | None:
        """The device if it has been found already; never waits."""
        return self._device

    @property
    def is_up(self) -> bool:
        """Whether jobs can be begun: here nothing has to come up first."""
        return True

    @property
    def restarts(self) -> int:
        """How often its process was begun again: here it is the server's own."""
        return 0

    @property
    def is_hopeless(self) -> bool:
        """Whether it cannot come up."""
        return False

    def stop(self) -> None:
        """End with the server: here nothing has to be ended."""

    def memory(self) -> Memory:
        """What the device's memory holds."""
        return memory(self.device())

    def free(self) -> int:
        """Bytes that work can still take on the device."""
        return free_memory(self.device())

    def release(self) -> None:
        """Give memory that nothing uses any more back to the system."""
        release_cached(self.device())

    def empty(self) -> None:
        """Take all models that nobody holds off the device."""
        self.models.clear()
        self.release()

    def generate(self, request: Request, context: Context) -> None:
        """The work function of generation jobs."""
        self._workers()[0](cast(GenerationRequest, request), context)

    def paint(self, request: Request, context: Context) -> None:
        """Make pictures that the context keeps instead of the table of outputs."""
        self.generate(request, context)

    def edit(self, request: Request, context: Context) -> None:
        """The work function of edit jobs."""
        self._workers()[1](cast(EditRequest, request), context)

    def upscale(self, request: Request, context: Context) -> None:
        """The work function of upscaling jobs."""
        self._workers()[2](cast(UpscaleRequest, request), context)

    def time(self, request: Request, context: Context) -> None:
        """The work function of timing jobs."""
        self._workers()[3](cast(TimingRequest, request), context)

    def caption(self, captioner: str, image: "Image") -> str:
        """What a picture shows, in the words of a captioner that is installed."""
        with self.models.borrow(ModelSpec(CAPTIONER, captioner)) as model:
            return str(model.caption([image])[0])

    def warm_up(self) -> None:
        """Import what the first job needs, so that it need not wait for it."""
        start = time.monotonic()
        try:
            device = self.device()
            self._workers()
        except AtelierError as error:
            log.error("%s", error)
            return
        seconds = time.monotonic() - start
        log.info("Ready on %s (%s) after %.1f s.", device.label, device.dtype, seconds)

    def _workers(self) -> "tuple[Generation, Editing, Upscaling, Timing]":
        with self._lock:
            if self._pictures is None:
                from studio.diffusion.editing.edit import Editing
                from studio.diffusion.generate import Generation
                from studio.diffusion.memory.climb import Climb
                from studio.diffusion.preview import Previewer, installed_taesd
                from studio.diffusion.timing import Timing
                from studio.diffusion.upscaling.upscale import Upscaling

                previewer = Previewer(installed_taesd(self._settings.data_dir / "models"))
                climb = Climb(self.device, self.free, self.release, self._journal)
                self._pictures = (
                    Generation(self._catalogue, previewer, climb),
                    Editing(self._catalogue, self._inputs, previewer, climb),
                    Upscaling(self._catalogue, self._inputs, previewer, climb),
                    Timing(self._catalogue, climb, self.device, self._speeds),
                )
            return self._pictures

    def budget(self) -> int:
        """Bytes that models may hold on the device."""
        return self._settings.memory_budget or automatic_budget(self.device())

    def resting_budget(self) -> int:
        """Bytes that models may hold in main memory while they are off the device."""
        device = self.device()
        if device.sort not in ("cuda", "xpu"):
            return 0
        return self._settings.main_memory_budget or automatic_resting_budget()

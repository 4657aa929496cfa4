"""The engine of a device as the server sees it: everything is done in that device's process."""

import io
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from pydantic import BaseModel, TypeAdapter

from studio.context import Context, ModelSpec, Signal
from studio.device.child import Child
from studio.device.faults import error_of
from studio.device.life import Call
from studio.device.messages import (
    Ask,
    Bring,
    Caption,
    Clear,
    Done,
    DropIdle,
    Handed,
    Lacks,
    Load,
    OfCall,
    Refused,
    Release,
    Run,
    Skip,
    Told,
    Unload,
)
from studio.errors import AtelierError, Cancelled, DeviceLost, ServerEnds
from studio.events import Saved
from studio.models.broker import Broker, Holder, this_thread
from studio.models.devices import Device, Memory
from studio.models.journal import Journal
from studio.models.readers import ReaderShelf
from studio.models.slots import Held
from studio.people import Deed, acting, needs
from studio.reader.answering import Answered, Answering, Waits
from studio.reader.documents import Document
from studio.reader_requests import AskRequest
from studio.requests import Request, inputs_of
from studio.store.inputs import InputStore

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.1
"""After which a job without news is asked whether it is to stop."""
_ANSWERED: TypeAdapter[Answered] = TypeAdapter(Answered)
_TITLES: TypeAdapter[list[str]] = TypeAdapter(list[str])


class Remote:
    """The same services as an engine's, by the process of a device.

    inputs: of a process on another machine, which is brought those of them that it lacks, and sends
    its pictures; None for one that reads and writes the data folder itself.
    """

    def __init__(self, child: Child, journal: Journal, inputs: InputStore | None = None):
        self._child = child
        self._inputs = inputs
        self.models = RemoteModels(child)
        self.broker = Broker(self.models.clear, journal)

    @property
    def known_device(self) -> Device | None:
        """The device if it has been found already; never waits."""
        return self._child.device

    @property
    def is_up(self) -> bool:
        """Whether its process can work right now."""
        return self._child.is_up

    @property
    def is_hopeless(self) -> bool:
        """Whether its process cannot come up, so that who waits for it had better be told."""
        return self._child.is_hopeless

    @property
    def restarts(self) -> int:
        """How often its process has died and was begun again."""
        return self._child.deaths

    def device(self) -> Device:
        """The device that work runs on, once its process has found it."""
        self._child.wait()
        assert self._child.device is not None
        return self._child.device

    def memory(self) -> Memory:
        """What the device's memory held a moment ago."""
        return self._child.state.memory if self._child.state else Memory(0, 0)

    def budget(self) -> int:
        """Bytes that models may hold on the device."""
        return self._child.state.budget if self._child.state else 0

    def resting_budget(self) -> int:
        """Bytes that models may hold in main memory while they are off the device."""
        return self._child.state.resting if self._child.state else 0

    def release(self) -> None:
        """Give memory that nothing uses any more back to the system."""
        with suppress(DeviceLost):  # then all of it is given back
            if self._child.is_up:
                _asked(self._child, lambda number: Release(call=number))

    def empty(self) -> None:
        """Take all models that nobody holds off the device."""
        self.models.clear()

    def warm_up(self) -> None:
        """Begin the process and wait until it can work."""
        try:
            self._child.wait()
        except AtelierError as error:
            log.warning("The device %s is not ready: %s", self._child.name, error)

    def stop(self) -> None:
        """End the process."""
        self._child.stop()

    def generate(self, request: Request, context: Context) -> None:
        """The work function of generation jobs."""
        self.run("generate", request, context)

    def edit(self, request: Request, context: Context) -> None:
        """The work function of edit jobs."""
        self.run("edit", request, context)

    def upscale(self, request: Request, context: Context) -> None:
        """The work function of upscaling jobs."""
        self.run("upscale", request, context)

    def time(self, request: Request, context: Context) -> None:
        """The work function of timing jobs."""
        self.run("timing", request, context)

    def paint(self, request: Request, context: Context) -> None:
        """Make pictures that the context keeps instead of the table of outputs."""
        self.run("generate", request, context, hands_over=True)

    def run(
        self, kind: str, request: Request, context: Context, *, hands_over: bool = False
    ) -> None:
        """Do a job in the process and tell of it as if it were done here.

        hands_over: whether pictures are saved by this context. Raises what the job raises, and
        DeviceLost when the process dies.
        """
        asked = partial(
            Run,
            job_id=context.job_id,
            kind=kind,
            request=request.model_dump_json(),
            hands_over=hands_over or self._inputs is not None,
            person=acting(),
        )
        self._bring(inputs_of(request), context)
        call = self._child.call(lambda number: asked(call=number), context.check)
        try:
            _follow(call, context)
        finally:
            call.close()

    def _bring(self, digests: Sequence[str], context: Context) -> None:
        """Bring those of these inputs to the process that it does not have."""
        if self._inputs is None or not digests:
            return
        self._child.wait(context.check)
        told = _asked(self._child, lambda number: Lacks(call=number, digests=[*digests]))
        for digest in _TITLES.validate_json(told):
            data = self._inputs.path(digest).read_bytes()
            asked = partial(Bring, digest=digest, data=data)
            _asked(self._child, lambda number, asked=asked: asked(call=number))  # type: ignore[misc]

    def ask(self, document: Document, request: AskRequest) -> Answered:
        """The answers to a question, by whoever has a lease."""
        value = _asked(
            self._child, lambda number: Ask(call=number, document=document, request=request)
        )
        return _ANSWERED.validate_json(value)

    def caption(self, captioner: str, image: "Image") -> str:
        """What a picture shows, in the words of a captioner that is installed."""
        stream = io.BytesIO()
        image.save(stream, "PNG")
        told = _asked(
            self._child,
            lambda number: Caption(call=number, captioner=captioner, image=stream.getvalue()),
        )
        return _TITLES.validate_json(told)[0]


class RemoteModels:
    """The models in the memory of a device's process."""

    def __init__(self, child: Child):
        self._child = child

    def held(self) -> list[Held]:
        """The models in memory a moment ago, most recently used first."""
        state = self._child.state
        return state.held if state is not None and self._child.is_up else []

    def load(self, spec: ModelSpec) -> None:
        """Bring a model into memory, where it stays until its room is needed."""
        _asked(self._child, lambda number: Load(call=number, kind=spec.kind, id=spec.id))

    def unload(self, kind: str, model_id: str) -> bool:
        """Drop a model that nobody holds; False when it is in use or not in memory."""
        asked = partial(Unload, kind=kind, id=model_id)
        return _asked(self._child, lambda number: asked(call=number)) == "true"

    def drop_idle(self, seconds: float) -> list[str]:
        """Drop what nobody has held for so long, on the device or resting; the titles."""
        if not self._child.is_up:
            return []
        told = _asked(self._child, lambda number: DropIdle(call=number, seconds=seconds))
        return _TITLES.validate_json(told)

    def clear(self) -> None:
        """Take all that nobody holds off the device, for one who wants it alone."""
        with suppress(DeviceLost):  # then nothing is on the device any more
            if self._child.is_up:
                _asked(self._child, lambda number: Clear(call=number))


class AnsweringElsewhere(Answering):
    """Has questions answered by the process of the first device that nobody has alone."""

    def __init__(self, shelf: ReaderShelf, engines: Sequence[Remote]):
        first = engines[0]
        super().__init__(shelf, None, first.broker, first.device)
        self._engines = engines

    @needs(Deed.MAKE)
    def ask(
        self,
        document: Document,
        request: AskRequest,
        on_load: Callable[[str], None] = lambda title: None,
        on_wait: Waits = lambda held: None,
    ) -> Answered:
        """The answers to a question on a document; as of every Answering."""
        self._shelf.usable(request.reader)
        engine = next(filter(_is_shared, self._engines), self._engines[0])
        holder = Holder("a question", "", this_thread())
        with engine.broker.lease(holder, alone=False, on_wait=on_wait):
            return engine.ask(document, request)

    def holders(self) -> list[str]:
        """Who has the device alone, or is next to, so that a question would wait."""
        return [] if any(map(_is_shared, self._engines)) else super().holders()


def _is_shared(engine: Remote) -> bool:
    return not any(lease.alone for lease in engine.broker.leases())


def _asked(child: Child, message: Callable[[int], BaseModel]) -> str:
    """What a call returns that tells nothing on its way; asked again once when that is lost."""
    try:
        told = _once(child, message)
    except DeviceLost:
        told = _once(child, message)
    if isinstance(told, Refused):
        raise error_of(told)
    assert isinstance(told, Done)
    return told.value


def _once(child: Child, message: Callable[[int], BaseModel]) -> OfCall | None:
    call = child.call(message)
    try:
        return call.next()
    finally:
        call.close()


def _follow(call: Call, context: Context) -> None:
    """Hand on what a job tells, and tell it what its person wishes, until it has ended."""
    stopped: BaseException | None = None
    while True:
        told = call.next(_LOOK_SECONDS)
        match told:
            case Done():
                if stopped is None or isinstance(stopped, Cancelled):
                    return  # it had ended before it heard of that
                raise stopped
            case Refused():
                raise stopped or error_of(told)
            case Told(event=Saved()) if isinstance(stopped, Cancelled):
                context.emit(told.event)
        if stopped is not None:
            continue
        try:
            if isinstance(told, Told):
                context.emit(told.event)
            elif isinstance(told, Handed):
                context.save(told.picture)
            if context.check() is Signal.SKIP:
                call.send(Skip(call=call.number))
        except BaseException as error:  # the process has to end the job before this one may
            stopped = error
            call.send(call.stopped(closing=isinstance(error, ServerEnds)))

"""What the process of a device does: jobs and calls, each in a thread of its own."""

import io
import threading
from collections.abc import Callable
from functools import partial

from pydantic import BaseModel, TypeAdapter

from studio import logs
from studio.context import Context, ModelSpec, Signal
from studio.device.messages import (
    Alive,
    Ask,
    Begin,
    Bring,
    Caption,
    Clear,
    Done,
    DropIdle,
    Evicted,
    Handed,
    Lacks,
    Load,
    Noted,
    Release,
    Run,
    Sender,
    Skip,
    State,
    Stop,
    Told,
    Unload,
)
from studio.engine import Engine
from studio.errors import AtelierError, NotFound, StorageError
from studio.events import FINAL, Event
from studio.jobs.channel import CancelToken, Channel
from studio.jobs.worker import JobContext
from studio.models.devices import Device
from studio.models.journal import Journal
from studio.parts import build_parts, kinds_on
from studio.people import acting_as
from studio.reader.answering import Answered, Answering
from studio.settings import Settings
from studio.store.database import Database
from studio.store.outputs import Picture

ANSWERED: TypeAdapter[Answered] = TypeAdapter(Answered)
TITLES: TypeAdapter[list[str]] = TypeAdapter(list[str])


class Desk:
    """The half of the services that works on a device; begin: which one that is.

    database: in the place of the data folder's.
    """

    def __init__(
        self, settings: Settings, begin: Begin, sender: Sender, database: Database | None = None
    ):
        self._sender = sender
        self._journal = _ToldJournal(sender, self.tell_state)
        parts = self._parts = build_parts(settings, self._journal, database)
        self._engine = Engine(
            settings,
            parts.catalogue,
            parts.inputs,
            parts.upscalers,
            parts.readers,
            parts.captioners,
            self._journal,
            parts.speeds,
        )
        # The server's broker says who may use the device: here nobody has to wait for that.
        self._answering = Answering(
            parts.readers, self._engine.models, self._engine.broker, self._engine.device
        )
        self._kinds = kinds_on(self._engine, parts, self._answering).all
        self._tokens: dict[int, _Token] = {}
        self._lock = threading.Lock()

    def prepare(self) -> Device:
        """Find the device and import what the first job needs."""
        device = self._engine.device()
        self._engine.warm_up()
        return device

    def state(self) -> State | None:
        """How it is now; None as long as the device is not known."""
        if self._engine.known_device is None:
            return None
        return State(
            memory=self._engine.memory(),
            budget=self._engine.budget(),
            resting=self._engine.resting_budget(),
            held=self._engine.models.held(),
        )

    def alive(self) -> Alive:
        """The jobs that have shown a sign of life since the last look."""
        with self._lock:
            return Alive(signs=[call for call, token in self._tokens.items() if token.seen()])

    def expect(self, message: BaseModel) -> None:
        """Note that a job is to be done, so that it can be stopped before it is begun."""
        if isinstance(message, Run):
            with self._lock:
                self._tokens[message.call] = _Token()

    def signal(self, message: Stop | Skip) -> None:
        """Stop a job, or have it skip; one that has ended meanwhile does neither."""
        with self._lock:
            token = self._tokens.get(message.call)
        if token is None:
            return
        if isinstance(message, Stop):
            token.cancel(closing=message.closing)
        else:
            token.skip()

    def answer(self, message: BaseModel) -> Done:
        """Do what a call asks for; raises what fails."""
        models = self._engine.models
        match message:
            case Run():
                with acting_as(message.person):
                    self._run(message)
                return Done(call=message.call)
            case Ask():
                found = self._answering.ask(message.document, message.request)
                return Done(call=message.call, value=ANSWERED.dump_json(found).decode())
            case Caption():
                told = self._captioned(message)
                return Done(call=message.call, value=TITLES.dump_json([told]).decode())
            case Lacks():
                lacking = [each for each in message.digests if not self._has(each)]
                return Done(call=message.call, value=TITLES.dump_json(lacking).decode())
            case Bring():
                self._keep(message)
            case Load():
                models.load(ModelSpec(message.kind, message.id))
            case Unload():
                gone = models.unload(message.kind, message.id)
                self.tell_state()
                return Done(call=message.call, value="true" if gone else "false")
            case DropIdle():
                titles = models.drop_idle(message.seconds)
                return Done(call=message.call, value=TITLES.dump_json(titles).decode())
            case Clear():
                self._engine.empty()
            case Release():
                self._engine.release()
            case _:
                raise AtelierError(f"A message cannot be answered: {type(message).__name__}.")
        self.tell_state()
        return Done(call=message.call)

    def _run(self, message: Run) -> None:
        kind, token = self._kinds[message.kind], self._tokens[message.call]
        tell = partial(self._tell, message.call, token)
        context: Context = JobContext(
            message.job_id, Channel(tell), token, self._engine.models, self._parts.outputs
        )
        if message.hands_over:
            context = _Handing(context, partial(self._hand, message.call))
        try:
            with logs.of_job(message.job_id):
                kind.work(kind.request.model_validate_json(message.request), context)
        finally:
            with self._lock:
                del self._tokens[message.call]
            self.tell_state()

    def _captioned(self, message: Caption) -> str:
        from PIL import Image

        with Image.open(io.BytesIO(message.image)) as image:
            return self._engine.caption(message.captioner, image.convert("RGB"))

    def _has(self, digest: str) -> bool:
        try:
            self._parts.inputs.path(digest)
        except NotFound:
            return False
        return True

    def _keep(self, brought: Bring) -> None:
        from PIL import Image

        with Image.open(io.BytesIO(brought.data), formats=["PNG"]) as image:
            image.load()
        kept = self._parts.inputs.add_image(image)
        if kept.hash != brought.digest:
            raise StorageError(f"The input {brought.digest[:12]} was damaged on its way.")

    def refuse(self, error: BaseException) -> BaseException:
        """A failure of a call as it is told to the server."""
        return error

    def _tell(self, call: int, token: "_Token", event: Event) -> None:
        token.sign()
        if not isinstance(event, FINAL):  # which the server tells itself
            self._sender.send(Told(call=call, event=event))

    def _hand(self, call: int, picture: Picture) -> None:
        self._sender.send(Handed(call=call, picture=picture))

    def tell_state(self) -> None:
        """Send how it is now."""
        if (state := self.state()) is not None:
            self._sender.send(state)


class _Token(CancelToken):
    """A job's, which notes that the job looked at it: that is its sign of life."""

    def __init__(self) -> None:
        super().__init__()
        self._signs = 0

    def check(self) -> Signal:
        """As of every token."""
        self.sign()
        return super().check()

    def sign(self) -> None:
        """Note a sign of life."""
        self._signs += 1

    def seen(self) -> bool:
        """Whether there was a sign of life since the last look."""
        seen, self._signs = self._signs > 0, 0
        return seen


class _Handing:
    """A job's context that hands pictures over instead of saving them."""

    def __init__(self, context: Context, hand: Callable[[Picture], None]):
        self.job_id = context.job_id
        self.borrow = context.borrow
        self.emit = context.emit
        self.check = context.check
        self._hand = hand

    def save(self, artifact: Picture) -> int:
        """Hand a picture over."""
        self._hand(artifact)
        return 0


class _ToldJournal(Journal):
    """Tells the server what happens, which counts and logs it, and how the device is then."""

    def __init__(self, sender: Sender, tell_state: Callable[[], None]):
        super().__init__()
        self._sender = sender
        self._tell_state = tell_state

    def record(self, event: str, **facts: str | float) -> None:
        """Tell of one event."""
        if event not in ("lease", "return"):  # of the broker that nobody has to wait for here
            self._sender.send(Noted(event=event, facts=facts))
            self._tell_state()

    def evicted(self, to: str, why: str) -> None:
        """Tell of a model that left the device."""
        self._sender.send(Evicted(to=to, why=why))

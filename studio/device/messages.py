"""What the server and the process of a device tell each other: a closed set of typed messages.

On the wire each is a frame: its length as four bytes, the highest first, and so many bytes of JSON.
A call is known by a number that the server gives; what belongs to it names that number.
"""

import struct
import threading
from collections.abc import Callable
from typing import IO, Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from studio.events import Event
from studio.models.devices import Device, Memory
from studio.models.slots import Held
from studio.people import HOME, Person
from studio.reader.documents import Document
from studio.reader_requests import AskRequest
from studio.store.outputs import Picture

_LENGTH = struct.Struct(">I")


class _Message(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64"
    )


class Begin(_Message):
    """The first message: the settings, which device of them, and its place among them."""

    type: Literal["begin"] = "begin"
    settings: dict[str, Any] = Field(repr=False)
    device: str
    number: int


class Run(_Message):
    """Do a job; request: as JSON. hands_over: its pictures are sent and not saved.

    person: whose it is.
    """

    type: Literal["run"] = "run"
    call: int
    person: Person = HOME
    job_id: str
    kind: str
    request: str
    hands_over: bool = False


class Stop(_Message):
    """End a job at its next step; closing: because the server ends."""

    type: Literal["stop"] = "stop"
    call: int
    closing: bool = False


class Skip(_Message):
    """Leave out the picture that a job is making."""

    type: Literal["skip"] = "skip"
    call: int


class Ask(_Message):
    """Answer a question on a document."""

    type: Literal["ask"] = "ask"
    call: int
    document: Document
    request: AskRequest


class Caption(_Message):
    """Say what a picture shows; image: a PNG file."""

    type: Literal["caption"] = "caption"
    call: int
    captioner: str
    image: bytes


class Lacks(_Message):
    """Say which of these inputs are not there; digests: their hashes."""

    type: Literal["lacks"] = "lacks"
    call: int
    digests: list[str]


class Bring(_Message):
    """Keep an input; data: its PNG file."""

    type: Literal["bring"] = "bring"
    call: int
    digest: str
    data: bytes


class Load(_Message):
    """Bring a model into memory."""

    type: Literal["load"] = "load"
    call: int
    kind: str
    id: str


class Unload(_Message):
    """Take a model out of memory that nobody uses."""

    type: Literal["unload"] = "unload"
    call: int
    kind: str
    id: str


class DropIdle(_Message):
    """Take out what nobody has used for so many seconds."""

    type: Literal["drop_idle"] = "drop_idle"
    call: int
    seconds: float


class Clear(_Message):
    """Take all that nobody holds off the device, for one who wants it alone."""

    type: Literal["clear"] = "clear"
    call: int


class Release(_Message):
    """Give memory that nothing uses any more back to the system."""

    type: Literal["release"] = "release"
    call: int


Downstream = Annotated[
    Begin
    | Run
    | Stop
    | Skip
    | Ask
    | Caption
    | Lacks
    | Bring
    | Load
    | Unload
    | DropIdle
    | Clear
    | Release,
    Field(discriminator="type"),
]
DOWNSTREAM: TypeAdapter[Downstream] = TypeAdapter(Downstream)


class State(_Message):
    """What is on the device; budget, resting: bytes that models may hold there and beside it."""

    type: Literal["state"] = "state"
    memory: Memory
    budget: int
    resting: int
    held: list[Held]


class Alive(_Message):
    """The process is, and so are these calls: each has shown a sign of life since the last time."""

    type: Literal["alive"] = "alive"
    signs: list[int]


class Ready(_Message):
    """The process can work."""

    type: Literal["ready"] = "ready"
    device: Device


class Unusable(_Message):
    """The process cannot work as it is told to, which another start would not change."""

    type: Literal["unusable"] = "unusable"
    reason: str


class Told(_Message):
    """An event of a job."""

    type: Literal["told"] = "told"
    call: int
    event: Event


class Handed(_Message):
    """A picture that a job hands over."""

    type: Literal["handed"] = "handed"
    call: int
    picture: Picture


class Done(_Message):
    """A call has ended well; value: what it returns, as JSON."""

    type: Literal["done"] = "done"
    call: int
    value: str = "null"


class Refused(_Message):
    """A call has failed; name: of the error's class, facts: what it holds beside its words."""

    type: Literal["refused"] = "refused"
    call: int
    name: str
    words: str
    facts: dict[str, str | int] = {}


class Noted(_Message):
    """The broker of the device did something, which is counted and logged."""

    type: Literal["noted"] = "noted"
    event: str
    facts: dict[str, str | int | float]


class Evicted(_Message):
    """A model left the device."""

    type: Literal["evicted"] = "evicted"
    to: str
    why: str


class Logged(_Message):
    """A line for the log."""

    type: Literal["logged"] = "logged"
    level: int
    logger: str
    message: str
    job: str = ""


OfCall = Told | Handed | Done | Refused
Upstream = Annotated[
    State | Alive | Ready | Unusable | Told | Handed | Done | Refused | Noted | Evicted | Logged,
    Field(discriminator="type"),
]
UPSTREAM: TypeAdapter[Upstream] = TypeAdapter(Upstream)


class Wire(Protocol):
    """What messages are written to; raises OSError or ValueError when nobody reads any more."""

    def write(self, content: bytes, /) -> object:
        """Write a part of the stream."""
        ...

    def flush(self) -> object:
        """Send what was written."""
        ...

    def close(self) -> object:
        """Tell that nothing more comes."""
        ...


class Sender:
    """Writes messages to a stream, from any thread; gone: called when nobody reads any more."""

    def __init__(self, stream: Wire, gone: Callable[[], object] = lambda: None):
        self._stream = stream
        self._gone = gone
        self._lock = threading.Lock()

    def send(self, message: BaseModel) -> None:
        """Write one message."""
        content = message.model_dump_json().encode()
        try:
            with self._lock:
                self._stream.write(_LENGTH.pack(len(content)) + content)
                self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._gone()


def read_frame(stream: IO[bytes]) -> bytes | None:
    """The next frame's content, None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    content = stream.read(length)
    return content if len(content) == length else None

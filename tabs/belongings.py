"""What of Gradio's belongs to whom: the sessions of pages, their events, and uploaded files.

Gradio knows these by names alone, which whoever learns one could use: follow another page's
events, stop them, read a file. Here each belongs to the person who used it first.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.api.bodies import EVENT_BODY
from studio.api.guard import ASKING, told
from studio.errors import Forbidden
from studio.people import NOBODY, Deed, Person

_REMEMBERED = 100_000
_PREFIX = "/gradio_api/"
_FILES = ("file=", "file/")
_UPLOAD = "upload"
_NAMED = ("session_hash", "event_id")


class Belongings:
    """Whose each thing is, by its name; the longest unused are forgotten and nobody's again."""

    def __init__(self, folder: Path):
        self._folder = folder.resolve()
        self._names: OrderedDict[str, int] = OrderedDict()
        self._files: OrderedDict[str, frozenset[int]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, person: Person) -> bool:
        """Whether a session or event is the person's, as it is when nobody used it before."""
        with self._lock:
            owner = self._names.setdefault(name, person.id)
            self._names.move_to_end(name)
            while len(self._names) > _REMEMBERED:
                self._names.popitem(last=False)
        return owner == person.id and person != NOBODY

    def hand(self, path: str, person: Person) -> None:
        """Note that a file was uploaded by a person or made for one; the same may be another's."""
        with self._lock:
            place = str(Path(path).resolve())
            self._files[place] = self._files.pop(place, frozenset()) | {person.id}
            while len(self._files) > _REMEMBERED:
                self._files.popitem(last=False)

    def has(self, path: str, person: Person) -> bool:
        """Whether a person may use a file; what does not lie among the uploads is not judged."""
        try:
            place = Path(path).resolve()
        except (OSError, ValueError, RuntimeError):
            return False
        if not place.is_relative_to(self._folder):
            return True
        with self._lock:
            return person.is_administrator or person.id in self._files.get(str(place), ())


def paths(value: Any) -> Iterator[str]:
    """The places of all files that something sent or answered names."""
    if isinstance(value, dict):
        if isinstance(place := value.get("path"), str) and place:
            yield place
        for each in value.values():
            yield from paths(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from paths(each)


class Belonging:
    """The middleware that lets a person use only Gradio's things that are theirs."""

    def __init__(self, app: ASGIApp, belongings: Belongings):
        self._app = app
        self._all = belongings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what the person may use; for all else it is as if it were not there."""
        person = scope.get(ASKING)
        if scope["type"] != "http" or person is None or not scope["path"].startswith(_PREFIX):
            await self._app(scope, receive, send)
            return
        rest = scope["path"].removeprefix(_PREFIX)
        if rest.rstrip("/") == _UPLOAD and (refused := _refused(person)):
            await told(403, refused)(scope, receive, send)
            return
        names = _in_address(scope, rest)
        if scope["method"] == "POST" and rest.rstrip("/") != _UPLOAD:
            body = await _body(receive)
            found = _in_body(scope, body)
            if found is None:
                await told(413, "That is too long, or not JSON; send less.")(scope, receive, send)
                return
            names += found
            receive = _again(body, receive)
        if not all(self._all.take(name, person) for name in names) or not self._file(rest, person):
            await told(404, "There is no such thing, or it is not yours.")(scope, receive, send)
            return
        await self._app(scope, receive, self._noting(rest, person, send))

    def _file(self, rest: str, person: Person) -> bool:
        """Whether the file that an address names is the person's, or it names none."""
        for start in _FILES:
            if rest.startswith(start):
                place = rest.removeprefix(start)
                # Decoded once more, as somebody further in might.
                return self._all.has(place, person) and self._all.has(unquote(place), person)
        return True

    def _noting(self, rest: str, person: Person, send: Send) -> Send:
        """Note whose the uploads and events are that the answer names."""
        uploads = rest.rstrip("/") == _UPLOAD
        begins = rest.startswith(("queue/join", "call/"))
        if not uploads and not begins:
            return send
        parts: list[bytes] = []

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.body" and (uploads or not _is_stream(rest)):
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    self._note(_json(b"".join(parts)), person)
            await send(message)

        return noting

    def _note(self, answer: Any, person: Person) -> None:
        if isinstance(answer, list):
            for each in answer:
                if isinstance(each, str):
                    self._all.hand(each, person)
        elif isinstance(answer, dict) and isinstance(answer.get("event_id"), str):
            self._all.take(answer["event_id"], person)


def _refused(person: Person) -> str:
    """Why a person may send no files, "" when they may."""
    try:
        person.must_be_allowed(Deed.MAKE)
    except Forbidden as error:
        return str(error)
    return ""


def _is_stream(rest: str) -> bool:
    """Whether an address is that of a called event's answers: `call/NAME/EVENT`."""
    return rest.startswith("call/") and len(rest.removeprefix("call/v2/").strip("/").split("/")) > 2


def _in_address(scope: Scope, rest: str) -> list[str]:
    """The sessions and events that an address names."""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    names = [value for key in _NAMED for value in query.get(key, ())]
    first, _, others = rest.partition("/")
    if first in ("heartbeat", "stream") and others:
        names.append(others.partition("/")[0])
    if first == "call":
        steps = rest.rstrip("/").split("/")[1:]
        steps = steps[1:] if steps[:1] == ["v2"] and len(steps) > 1 else steps
        names += steps[1:2]
    return names


def _in_body(scope: Scope, body: bytes | None) -> list[str] | None:
    """The sessions and events that a body names; None when it is none that could be looked at."""
    if body is None:
        return None
    kind = dict(scope["headers"]).get(b"content-type", b"").lower()
    if kind.startswith(b"multipart/"):
        return None  # no component of ours asks its server by forms
    sent = _json(body) if body else {}
    if sent is None:
        return None
    named = sent if isinstance(sent, dict) else {}
    return [named[key] for key in _NAMED if isinstance(named.get(key), str)]


async def _body(receive: Receive) -> bytes | None:
    """The whole body, None when it is too long or its sender has gone."""
    parts, length, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > EVENT_BODY:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


def _again(body: bytes | None, receive: Receive) -> Receive:
    """Give the body once more, and then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body or b"", "more_body": False}

    return again


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

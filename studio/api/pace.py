"""How fast one person, or one address, may ask for what costs something.

A person counts by their id, whatever addresses they come from; who is not let in, by the part of
the address that nobody changes at will. What a page asks for all the time (how it is, thumbnails,
its scripts) is not counted. Nobody is limited where everybody is at home.
"""

import re
import time
from math import ceil

from limits import RateLimitItemPerMinute
from limits.aio.storage.memory import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import HTTPConnection
from starlette.responses import Response

from studio.api.gate import address_of
from studio.api.origins import SAFE
from studio.api.refusing import refusal
from studio.api.tries import network_of
from studio.people import HOME, NOBODY, Person

_COSTLY = re.compile(
    r"/|/config|/metrics|(/api/v1)?/openapi\.json|/api/v1/docs"
    r"|/outputs/[^/]+/(image|download)|/api/v1/outputs/[^/]+/file|/sdapi/v1/jobs/[^/]+"
    r"|/data_sets/.*|/submissions/.*|/runs/[^/]+/grids/[^/]+|/picture_sets/.*/cut/shown"
    r"|/gradio_api/(file[=/]|stream/|info).*"
)
"""What is read and is large, or made for whoever asks."""
_PLACES = 4096
"""How many counts of addresses there are, so that one who has many cannot fill the memory."""


class Pace:
    """Counts of the last minute; per_minute: how many requests one may send in it, 0 for any."""

    def __init__(self, per_minute: int):
        self._most = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._counts = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def refused(self, connection: HTTPConnection, person: Person | None) -> Response | None:
        """What one is told who asks too fast, else None; person: None for one who is refused."""
        counts = person is None or (person != HOME and _is_costly(connection))
        if self._most is None or not counts:
            return None
        known = person is not None and person != NOBODY
        who = ("person", str(person.id)) if known and person else ("address", _place(connection))
        if await self._counts.hit(self._most, *who):
            return None
        until = (await self._counts.get_window_stats(self._most, *who)).reset_time
        wait = max(1, ceil(until - time.time()))
        words = f"That is more than {self._most.amount} requests in a minute; go on in {wait} s."
        return refusal(connection.scope["path"], 429, words, wait)


def _is_costly(connection: HTTPConnection) -> bool:
    """Whether a request changes something, or is for what is large or has to be made."""
    if connection.scope["type"] != "http":
        return True
    path = connection.scope["path"]
    return connection.scope["method"] not in SAFE or bool(_COSTLY.fullmatch(path))


def _place(connection: HTTPConnection) -> str:
    # Which addresses share a count is another matter at each start, and nothing to be reckoned.
    return str(hash(network_of(address_of(connection))) % _PLACES)

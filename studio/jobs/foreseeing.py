"""When waiting jobs should begin: from what running ones say is left, and from ended ones' speed.

Only what was measured here is told. The seconds of a job are those of the last finished jobs of its
kind and model, for each pixel and step; of a model that has made nothing yet, and of work whose
length no request tells, nobody knows how long it takes, nor when what waits behind it begins.
"""

import heapq
import json
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from studio.events import Event, Progress, Waiting
from studio.store.jobs import JobRow, JobTable

_LOOKED_AT = 30
_REMEMBERED = 10_000
_COUNTED = 5
"""Finished jobs of which the median counts: the first had its model to load."""


class Foresight:
    """Seconds until waiting jobs begin, as the line stands.

    devices: how many work on pictures now.
    """

    def __init__(self, jobs: JobTable, devices: Callable[[], int] = lambda: 1):
        self._jobs = jobs
        self._devices = devices
        self._asked: OrderedDict[str, _Asked] = OrderedDict()
        self._lock = threading.Lock()

    def begins(
        self,
        order: Sequence[str],
        running: Sequence[JobRow],
        now: Callable[[str], Sequence[Event]],
        on_devices: bool,
    ) -> list[float | None]:
        """For each of the waiting jobs of a lane, by their ids, in order; None where unknown.

        running: jobs of the lane. now: what a running one has told. on_devices: whether every
        device takes jobs of the lane, and not a single worker.
        """
        paces: dict[tuple[str, str], float | None] = {}
        workers = max(1, self._devices() if on_devices else 1)
        free = [self._left(row, now(row.id), paces) for row in running][:workers]
        free += [0.0] * (workers - len(free))
        heapq.heapify(free)
        found: list[float | None] = []
        for job_id in order:
            begin = heapq.heappop(free)
            found.append(None if math.isinf(begin) else begin)
            known = not math.isinf(begin)
            heapq.heappush(free, begin + self._takes(job_id, paces) if known else begin)
        return found

    def _left(
        self, row: JobRow, told: Sequence[Event], paces: dict[tuple[str, str], float | None]
    ) -> float:
        for event in reversed(told):
            if isinstance(event, Progress) and event.seconds_left is not None:
                return event.seconds_left
            if isinstance(event, Waiting):
                left = math.inf if event.seconds_left is None else event.seconds_left
                return left + self._takes(row.id, paces)
        return self._takes(row.id, paces)

    def _takes(self, job_id: str, paces: dict[tuple[str, str], float | None]) -> float:
        """Seconds of a whole job, infinite where nobody knows."""
        asked = self._request(job_id)
        if not asked.work:
            return math.inf
        key = asked.kind, asked.model
        if key not in paces:
            paces[key] = self._pace(*key)
        pace = paces[key]
        return math.inf if pace is None else pace * asked.work

    def _request(self, job_id: str) -> "_Asked":
        """What a job asks for; looked up once, for all who wait are told with every change."""
        with self._lock:
            if (known := self._asked.get(job_id)) is not None:
                return known
        row = self._jobs.get(job_id)
        request = json.loads(row.request)
        asked = _Asked(row.kind, str(request.get("model", "")), work_of(request))
        with self._lock:
            self._asked[job_id] = asked
            while len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)
        return asked

    def _pace(self, kind: str, model: str) -> float | None:
        """Seconds for a unit of work, None when nothing of this model was finished."""
        paces = []
        for row in self._jobs.finished(kind, _LOOKED_AT):
            request = json.loads(row.request)
            work = work_of(request)
            if work and request.get("model") == model and row.started_at and row.ended_at:
                paces.append((row.ended_at - row.started_at) / work)
        return median(paces[:_COUNTED]) if paces else None


@dataclass(frozen=True)
class _Asked:
    """Of a request, what its time depends on."""

    kind: str
    model: str
    work: float


def work_of(request: dict[str, Any]) -> float:
    """How much a complete request asks for, in pixels times steps; 0 where it does not say."""
    width, height = request.get("width"), request.get("height")
    if not (request.get("model") and request.get("batch_count") and width and height):
        return 0.0
    pixels = width * height * request["batch_count"] * request["batch_size"]
    work = float(pixels * request["steps"] * request.get("strength", 1.0))
    scale = request.get("hires_scale", 1.0)
    if scale > 1:
        steps = (request["hires_steps"] or request["steps"]) * request["hires_strength"]
        work += pixels * scale**2 * steps
    return work

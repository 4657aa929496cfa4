"""What a person may still ask for: their quotas, what they have used, and when there is room again.

Jobs are looked at when they are submitted, and uploads when they come in. What was admitted goes
on: a job that runs is never stopped for a quota. Administrators are not limited.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.errors import QuotaUsed
from studio.people import Person, acting
from studio.requests import PictureRequest, Request
from studio.store.belongings import Belongings
from studio.store.disk import size_of
from studio.store.quotas import Quotas, QuotaTable
from studio.store.spending import Share, Spending

TRAININGS = ("train", "finetune-reader")
"""Kinds of jobs whose hours count."""
DAY = 86_400.0
MONTH = 30 * DAY


@dataclass(frozen=True)
class Used:
    """What counts against quotas.

    images: made in 24 hours. images_to_come: of jobs that wait or run. training_hours: in 30 days.
    disk: bytes.
    """

    waiting_jobs: int
    images: int
    images_to_come: int
    training_hours: float
    disk: int


@dataclass(frozen=True)
class Room:
    """Seconds until one may have more: another image, another training; 0 for now or not known."""

    images: float
    training: float


class Allowance:
    """The quotas of a data folder and their use; clock: seconds since 1970."""

    def __init__(
        self,
        data: Path,
        quotas: QuotaTable,
        spending: Spending,
        belongings: Belongings,
        clock: Callable[[], float] = time.time,
    ):
        self._data = data
        self.quotas = quotas
        self._spending = spending
        self._belongings = belongings
        self._clock = clock

    def limits(self, person: Person) -> Quotas:
        """The limits of a person; administrators have none."""
        return Quotas() if person.is_administrator else self.quotas.of(person.id)

    def used(self, person: int) -> Used:
        """What a person has used."""
        now = self._clock()
        return Used(
            self._spending.waiting(person),
            len(self._spending.images(person, now - DAY)),
            self._to_come(person),
            sum(end - start for start, end in self._trainings(person, now)) / 3600,
            self._disk(person),
        )

    def room(self, person: Person) -> "Room":
        """When a person may have more of what comes back by itself."""
        limits, now = self.limits(person), self._clock()
        images = training = 0.0
        if limits.images_a_day:
            made, to_come = self._spending.images(person.id, now - DAY), self._to_come(person.id)
            over = len(made) + to_come + 1 - limits.images_a_day
            if 0 < over <= len(made):
                images = max(1.0, made[over - 1] + DAY - now)
        if limits.training_hours:
            training = self._until_training(self._trainings(person.id, now), limits.training_hours)
        return Room(images, training)

    def admit(self, request: Request) -> None:
        """QuotaUsed when who is at work may not ask for this now; request: a complete one."""
        person = acting()
        limits = self.limits(person)
        if limits.waiting_jobs:
            self._check_waiting(person.id, limits.waiting_jobs)
        images = pictures_of(request)
        if limits.images_a_day and images:
            self._check_images(person.id, limits.images_a_day, images)
        if limits.training_hours and getattr(request, "kind", "") in TRAININGS:
            self._check_training(person.id, limits.training_hours)
        self.admit_files()

    def admit_files(self) -> None:
        """QuotaUsed when who is at work may keep no more on the disk."""
        limit = self.limits(acting()).disk
        if limit and (used := self._disk(acting().id)) >= limit:
            raise QuotaUsed(
                f"You may keep {_size(limit)} here and keep {_size(used)}; delete something first. "
                "Pictures in the trash count until they are deleted."
            )

    def _check_waiting(self, person: int, limit: int) -> None:
        waiting = self._spending.waiting(person)
        if waiting >= limit:
            raise QuotaUsed(
                f"You may have {_counted(limit, 'waiting job')}, and {waiting} of yours wait; "
                "try again when one has begun, or cancel one."
            )

    def _check_images(self, person: int, limit: int, asked: int) -> None:
        now = self._clock()
        made, to_come = self._spending.images(person, now - DAY), self._to_come(person)
        over = len(made) + to_come + asked - limit
        if over <= 0:
            return
        told = (
            f"You may make {_counted(limit, 'image')} a day: {len(made)} were made in the last 24 "
            f"hours, {to_come} are to come, and this would be {asked} more"
        )
        if asked + to_come > limit:
            raise QuotaUsed(f"{told}; ask for fewer, or wait for those to come.")
        seconds = max(1.0, made[over - 1] + DAY - now)
        raise QuotaUsed(f"{told}; there is room again in {_long(seconds)}.", seconds)

    def _check_training(self, person: int, limit: float) -> None:
        trained = self._trainings(person, self._clock())
        if not (seconds := self._until_training(trained, limit)):
            return
        raise QuotaUsed(
            f"You may train {limit:g} hours in 30 days and have trained "
            f"{sum(end - start for start, end in trained) / 3600:.1f}; there is room again in "
            f"{_long(seconds)}.",
            seconds,
        )

    def _until_training(self, trained: list[tuple[float, float]], limit: float) -> float:
        """Seconds until there is room for a training, 0 where there is."""
        over = sum(end - start for start, end in trained) - limit * 3600
        if over < 0:
            return 0.0
        for start, end in trained:  # the first to leave the month makes room first
            if over < end - start:
                return max(1.0, start + over + MONTH - self._clock())
            over -= end - start
        return MONTH

    def _trainings(self, person: int, now: float) -> list[tuple[float, float]]:
        return self._spending.trainings(person, TRAININGS, now - MONTH, now)

    def _to_come(self, person: int) -> int:
        """Pictures of jobs that wait or run, which are not made yet."""
        total = 0
        for _, request, made in self._spending.unended(person):
            asked = json.loads(request)
            if "batch_count" in asked:
                total += max(0, asked["batch_count"] * asked.get("batch_size", 1) - made)
        return total

    def _disk(self, person: int) -> int:
        own = sum(size_of(self._data, sort, name) for sort, name in self._belongings.listed(person))
        return self._spending.bytes(person) + own

    def of_all(self) -> dict[int, Share]:
        """What everybody has of it, but for the disk, which takes long to measure; by their ids."""
        now = self._clock()
        return self._spending.of_all(TRAININGS, now - DAY, now - MONTH, now)


def pictures_of(request: Request) -> int:
    """How many pictures a request asks for."""
    return request.batch_size * request.batch_count if isinstance(request, PictureRequest) else 0


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number != 1 else "")


def _size(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"


def _long(seconds: float) -> str:
    """A time in words, rounded up to what matters."""
    if seconds >= 2 * DAY:
        return f"{seconds / DAY:.0f} days"
    minutes = int(-(-seconds // 60))
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours else f"{minutes} min"

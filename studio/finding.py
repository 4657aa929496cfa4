"""What the doctor has found."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at and what is to be done about it."""

    class Level(Enum):
        """How bad it is; BAD stops the person."""

        GOOD = "good"
        NOTE = "note"
        BAD = "bad"

    level: Level
    topic: str
    text: str


GOOD, NOTE, BAD = Finding.Level.GOOD, Finding.Level.NOTE, Finding.Level.BAD

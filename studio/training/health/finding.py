"""What a check has found, in words, and the press that mends it."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is. STOP: no training is begun. WARN: it will show. HINT: worth knowing."""

    STOP = "stop"
    WARN = "warn"
    HINT = "hint"


class Kind(StrEnum):
    """What can be found, in the order in which findings of one severity stand."""

    NO_PICTURES = "no-pictures"
    UNREADABLE = "unreadable"
    TINY = "tiny"
    CAPTION_BINARY = "caption-binary"
    FEW = "few"
    DUPLICATES = "duplicates"
    LOOKALIKES = "lookalikes"
    CLASS_PICTURES = "class-pictures"
    BLURRED = "blurred"
    ENLARGED = "enlarged"
    CUT = "cut"
    TRANSPARENT = "transparent"
    CAPTION_MISSING = "caption-missing"
    CAPTION_LONG = "caption-long"
    CAPTION_ENCODING = "caption-encoding"
    TRIGGER_MISSING = "trigger-missing"
    SAME_CAPTIONS = "same-captions"
    ODD_SHAPE = "odd-shape"
    TURNED = "turned"
    UNBALANCED = "unbalanced"
    GREY = "grey"
    UNSUPPORTED = "unsupported"


class FixKind(StrEnum):
    """What a press does. All but BUCKETS change files, and none of these loses one.

    LEAVE_OUT: pictures go into the set's folder of what is left out, with their captions.
    LEAVE_CAPTIONS_OUT: their captions alone do. TURN: pixels are turned as EXIF says. FLATTEN:
    transparent parts are put on white. WRITE_CAPTIONS: captions are written beside the pictures.
    BUCKETS: the request keeps the pictures' shapes.
    """

    LEAVE_OUT = "leave-out"
    LEAVE_CAPTIONS_OUT = "leave-captions-out"
    TURN = "turn"
    FLATTEN = "flatten"
    WRITE_CAPTIONS = "write-captions"
    BUCKETS = "buckets"


@dataclass(frozen=True)
class Arguments:
    """What a fix works on: names of pictures, and for WRITE_CAPTIONS the caption of each."""

    pictures: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fix:
    """A press. label: of its button."""

    kind: FixKind
    label: str
    arguments: Arguments = Arguments()


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a set.

    sentence: what, with its value and what to do. pictures: names of those at fault. groups: which
    of them belong together, the one that is kept first, where that is what was found.
    """

    kind: Kind
    severity: Severity
    sentence: str
    pictures: tuple[str, ...] = ()
    fix: Fix | None = None
    groups: tuple[tuple[str, ...], ...] = ()

    @property
    def rank(self) -> tuple[int, int]:
        """Where it stands in a list, the worst first."""
        return list(Severity).index(self.severity), list(Kind).index(self.kind)


def leave_out(pictures: tuple[str, ...]) -> Fix:
    """The press that leaves pictures out of their set."""
    them = "it" if len(pictures) == 1 else f"these {len(pictures)}"
    return Fix(FixKind.LEAVE_OUT, f"Leave {them} out", Arguments(pictures))

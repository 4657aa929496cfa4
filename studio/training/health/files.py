"""Checks of files: whether they can be read at all, how many there are, and where."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from studio.training.health.finding import (
    Arguments,
    Finding,
    Fix,
    FixKind,
    Kind,
    Severity,
    leave_out,
)
from studio.training.health.seen import FOREIGN_SUFFIXES, Seen
from studio.training.health.wording import count, named, verb

SMALLEST = 64
"""Pixels of the shorter side below which there is nothing to learn: the smallest picture that any
family can be trained at, 8 cells of Stable Diffusion's latents."""
FEW = 5
"""Pictures from which a subject was ever shown to be learnt (Ruiz et al. 2022 take 3 to 5); with
fewer the background and the pose are learnt with it."""
UNBALANCED = 3.0
"""How much more often the pictures of one folder may be seen than those of another."""


def unreadable(seen: Sequence[Seen]) -> list[Finding]:
    """Files that cannot be decoded to their last row."""
    bad = [each for each in seen if each.looked.fault]
    if not bad:
        return []
    names = tuple(each.name for each in bad)
    more = f" ({count(len(bad) - 1, 'more file')} cannot be read either.)" if bad[1:] else ""
    sentence = f"{bad[0].looked.fault}{more}"
    return [Finding(Kind.UNREADABLE, Severity.STOP, sentence, names, leave_out(names))]


def tiny(seen: Sequence[Seen]) -> list[Finding]:
    """Pictures that are too small for anything."""
    bad = [each for each in seen if not each.looked.fault and min(each.looked.size) < SMALLEST]
    if not bad:
        return []
    names = tuple(each.name for each in bad)
    width, height = min((each.looked.size for each in bad), key=min)
    sentence = (
        f"{named(names)} {verb(len(bad), 'has', 'have')} a side below {SMALLEST} pixels (the "
        f"smallest is {width}x{height}), from which nothing can be learnt; leave "
        f"{verb(len(bad), 'it', 'them')} out."
    )
    return [Finding(Kind.TINY, Severity.STOP, sentence, names, leave_out(names))]


def few(seen: Sequence[Seen]) -> list[Finding]:
    """Too few pictures that can be used."""
    usable = [s for s in seen if not s.looked.fault and min(s.looked.size) >= SMALLEST]
    if not usable:
        sentence = "There is no picture to learn from; add at least five."
        return [Finding(Kind.NO_PICTURES, Severity.STOP, sentence)]
    if len(usable) >= FEW:
        return []
    sentence = (
        f"There {verb(len(usable), 'is', 'are')} only {count(len(usable), 'picture')}, so that the "
        f"background and the pose are learnt with the subject; add some to have at least {FEW}, "
        "each in another place and pose."
    )
    return [Finding(Kind.FEW, Severity.WARN, sentence, tuple(each.name for each in usable))]


def unbalanced(seen: Sequence[Seen]) -> list[Finding]:
    """Folders whose pictures are seen much more often than others'."""
    often: Counter[str] = Counter()
    for each in seen:
        if not each.looked.fault:
            often[_folder(each.name)] += each.example.repeats
    if len(often) < 2:
        return []
    (most, high), *_, (least, low) = often.most_common()
    if high <= UNBALANCED * max(low, 1):
        return []
    names = tuple(each.name for each in seen if _folder(each.name) == least)
    sentence = (
        f"Pictures of {_called(most)} are seen {high / max(low, 1):.0f} times as often as those "
        f"of {_called(least)} ({high:,} to {low:,} in an epoch); repeat the latter "
        f"{round(high / max(low, 1))} times, or add to them."
    )
    return [Finding(Kind.UNBALANCED, Severity.HINT, sentence, names)]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _called(folder: str) -> str:
    return f"the folder {named((folder,))}" if folder else "the set's own folder"


def unsupported(files: Mapping[str, Path]) -> list[Finding]:
    """Pictures of formats that are not read, and so are not learnt from."""
    names = tuple(name for name in files if Path(name).suffix.lower() in FOREIGN_SUFFIXES)
    if not names:
        return []
    one = len(names) == 1
    sentence = (
        f"{named(names)} {'is' if one else 'are'} of a format that is not read, and will not be "
        f"learnt from; save {'it' if one else 'them'} as PNG or JPEG."
    )
    return [Finding(Kind.UNSUPPORTED, Severity.HINT, sentence, names)]


def turned(seen: Sequence[Seen]) -> list[Finding]:
    """Pictures that lie on their side but for an entry in their EXIF block."""
    names = tuple(each.name for each in seen if not each.looked.fault and each.looked.turned > 1)
    if not names:
        return []
    sentence = (
        f"{named(names)} {verb(len(names), 'is', 'are')} turned by "
        f"{verb(len(names), 'its', 'their')} EXIF entry alone, which training here goes by and "
        f"other tools may not; turn the pixels to be safe."
    )
    fix = Fix(FixKind.TURN, f"Turn {count(len(names), 'picture')}", Arguments(names))
    return [Finding(Kind.TURNED, Severity.HINT, sentence, names, fix)]

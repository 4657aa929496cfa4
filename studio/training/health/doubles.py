"""Checks for pictures that are there more than once."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from studio.errors import InputError
from studio.training.health.finding import Finding, Kind, Severity, leave_out
from studio.training.health.likeness import alike
from studio.training.health.looked import read
from studio.training.health.looks import readable
from studio.training.health.seen import Seen
from studio.training.health.wording import count, named, verb


def _best_first(seen: Seen) -> tuple[bool, int, str]:
    """What is kept of several: one with a caption of its own, then the largest."""
    width, height = seen.looked.size
    return not seen.caption_file.says_something, -width * height, seen.name


def doubles(seen: Sequence[Seen]) -> list[Finding]:
    """Files with the same content, and pictures that look the same, mirrored or not."""
    some = sorted(readable(seen), key=_best_first)
    same: dict[str, list[str]] = {}
    once: list[Seen] = []
    for each in some:
        if each.looked.sha256 not in same:
            once.append(each)
        same.setdefault(each.looked.sha256, []).append(each.name)
    found = []
    groups = [tuple(names) for names in same.values() if len(names) > 1]
    if groups:
        sentence = f"{_told(groups)} the same content, and would count more than the others"
        found.append(_finding(Kind.DUPLICATES, sentence, groups))
    known = [each for each in once if each.looked.likeness is not None]
    looks = [each.looked.likeness for each in known if each.looked.likeness is not None]
    groups = [tuple(known[place].name for place in group) for group in alike(looks)]
    if groups:
        sentence = (
            f"{_told(groups)} nearly the same look (the same picture at another size, saved "
            "again, cut a little or mirrored), which the model would learn by heart"
        )
        found.append(_finding(Kind.LOOKALIKES, sentence, groups))
    return found


def _told(groups: Sequence[tuple[str, ...]]) -> str:
    if len(groups) == 1:
        return f"{named(groups[0])} have"
    pictures = sum(len(group) for group in groups)
    return f"{count(pictures, 'picture')} in {len(groups):,} groups, as {named(groups[0])}, have"


def _finding(kind: Kind, sentence: str, groups: Sequence[tuple[str, ...]]) -> Finding:
    surplus = tuple(name for group in groups for name in group[1:])
    pictures = tuple(name for group in groups for name in group)
    sentence = f"{sentence}; keep one{' of each' if len(groups) > 1 else ''}."
    return Finding(
        kind, Severity.WARN, sentence, pictures, leave_out(surplus), groups=tuple(groups)
    )


def class_pictures(seen: Sequence[Seen], others: Iterable[Path]) -> list[Finding]:
    """Pictures that are also among those of the class, which would teach the opposite."""
    ours = {each.looked.sha256: each.name for each in seen if not each.looked.fault}
    sizes = {_bytes(each.example.path) for each in seen}
    theirs = {_sha256(path) for path in others if _bytes(path) in sizes}
    names = tuple(
        sorted(each.name for each in seen if ours and each.looked.sha256 in theirs & ours.keys())
    )
    if not names:
        return []
    sentence = (
        f"{named(names)} {verb(len(names), 'is', 'are')} also among the pictures of the class, so "
        "that the same is learnt as the subject and as everything but it; leave "
        f"{verb(len(names), 'it', 'them')} out."
    )
    return [Finding(Kind.CLASS_PICTURES, Severity.WARN, sentence, names, leave_out(names))]


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(read(path)).hexdigest()
    except InputError:
        return "unreadable"

"""The presses that mend a set. Whatever they take away or replace can be had back."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from studio.errors import DataError, from_os_error
from studio.training.health import rewriting
from studio.training.health.caption_file import SIDECARS, caption_path
from studio.training.health.finding import Fix, FixKind
from studio.training.health.left_out import Change, carry_out, last, undo
from studio.training.health.seen import files_of, is_picture
from studio.training.health.wording import count, shown
from studio.training_requests import Pictures

__all__ = ["Done", "apply", "changed_request", "last", "undo"]
_DONE = {
    FixKind.LEAVE_OUT: "left out",
    FixKind.LEAVE_CAPTIONS_OUT: "left without their captions",
    FixKind.TURN: "turned",
    FixKind.FLATTEN: "put on white",
    FixKind.WRITE_CAPTIONS: "captioned",
}


@dataclass(frozen=True)
class Done:
    """What was done. sentence: for the person. pictures: names of those that were changed."""

    sentence: str
    pictures: tuple[str, ...] = ()


def changed_request(wanted: Pictures, fix: Fix) -> Pictures:
    """A request as a fix of the request's sort makes it; as it was for all others."""
    if fix.kind is FixKind.BUCKETS:
        return wanted.model_copy(update={"buckets": True})
    return wanted


def apply(folder: Path, fix: Fix) -> Done:
    """Mend the files of a set, all that the fix names or none.

    Names are looked up among the set's own files; those that have gone since are passed over.
    Raises DataError when none is left, StorageError when the system refuses, InputError when a
    picture cannot be written anew.
    """
    if fix.kind is FixKind.BUCKETS:
        return Done("")
    try:
        there = files_of(folder)
    except OSError as error:
        raise from_os_error(error, f"list the pictures in {folder}") from None
    names = tuple(dict.fromkeys(name for name in fix.arguments.pictures if name in there))
    if not names:
        first = shown(next(iter(fix.arguments.pictures), "nothing"))
        raise DataError(
            f"None of the pictures ({first}) lies in {folder.name} any more; check it again."
        )
    changes = _changes(folder, fix, names, there)
    label = f"{count(len(names), 'picture')} {_DONE[fix.kind]}"
    carry_out(folder, label, changes)
    return Done(f"{label[:1].upper()}{label[1:]}.", names)


def _changes(folder: Path, fix: Fix, names: Sequence[str], there: dict[str, Path]) -> list[Change]:
    if fix.kind is FixKind.LEAVE_OUT:
        captions = _sidecars(names, there, SIDECARS)
        left = {_stem(n) for n in there if is_picture(n) and n not in names}
        return [Change(name) for name in names] + [
            Change(name) for name in captions if _stem(name) not in left
        ]
    if fix.kind is FixKind.LEAVE_CAPTIONS_OUT:
        return [Change(name) for name in _first(_sidecars(names, there, SIDECARS))]
    if fix.kind is FixKind.WRITE_CAPTIONS:
        texts = dict(zip(fix.arguments.pictures, fix.arguments.captions, strict=True))
        return [
            Change(
                caption_path(there[name]).relative_to(folder).as_posix(),
                partial(_encoded, texts[name]),
            )
            for name in names
        ]
    made = rewriting.turned if fix.kind is FixKind.TURN else rewriting.on_white
    return [Change(name, partial(made, there[name])) for name in names]


def _encoded(text: str) -> bytes:
    return f"{text.strip()}\n".encode("utf-8", "replace")


def _stem(name: str) -> str:
    """A file's name without its suffix, with its folder."""
    folder, slash, last_part = name.rpartition("/")
    return f"{folder}{slash}{Path(last_part).stem}"


def _first(sidecars: Sequence[str]) -> list[str]:
    """Of the files that belong to one picture, the one that counts."""
    chosen: dict[str, str] = {}
    for suffix in SIDECARS:
        for name in sidecars:
            if Path(name).suffix == suffix:
                chosen.setdefault(_stem(name), name)
    return list(chosen.values())


def _sidecars(names: Sequence[str], there: dict[str, Path], suffixes: Sequence[str]) -> list[str]:
    """Files that belong to pictures, by their names."""
    stems = {_stem(name) for name in names}
    return [n for n in there if Path(n).suffix in suffixes and _stem(n) in stems]

"""The caption editor: what an operation makes of captions, and how that is written and undone.

Operations are pure: they take captions by picture and return those that change. Written, they
are files beside the pictures; what stood there before is kept until the next edit.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import regex

from studio.errors import DataError, NotFound, RequestError, from_os_error
from studio.people import Deed, needs
from studio.store.writing import ASIDE, replace_file
from studio.training.pictures.captions import one_line, tags_of, written
from studio.training.pictures.listing import find_pictures

Captions = Mapping[str, str]
_UNDO = f"{ASIDE}undo.json"
_PATIENCE = 2.0
"""Seconds that a pattern may take: some never come to an end."""
_writing = threading.Lock()


@dataclass(frozen=True)
class Edit:
    """What an operation does. captions: those that change. count: of single changes in them."""

    captions: dict[str, str]
    count: int


def read_captions(folder: Path) -> dict[str, str]:
    """The written caption of each of a set's pictures, "" for those without one."""
    names = [each.name for each in find_pictures(folder)]
    return dict.fromkeys(names, "") | written(folder, names)


def replaced(
    captions: Captions, find: str, new: str, *, pattern: bool = False, match_case: bool = True
) -> Edit:
    """Each occurrence of a text replaced; pattern: find is a regular expression, new may name its
    groups as in \\1. Raises RequestError when the pattern is none, or takes too long.
    """
    if not find:
        raise RequestError("There is nothing to look for; type a text to find.", "find")
    try:
        look = regex.compile(
            find if pattern else regex.escape(find), 0 if match_case else regex.IGNORECASE
        )
        new = new if pattern else new.replace("\\", "\\\\")
        changed, count = {}, 0
        for name, caption in captions.items():
            after, times = look.subn(new, caption, timeout=_PATIENCE)
            count += times
            if after != caption:
                changed[name] = one_line(after)
    except (regex.error, IndexError) as error:
        raise RequestError(
            f"{find!r} with {new!r} is no pattern that can be replaced ({error}); mend it.", "find"
        ) from None
    except TimeoutError:
        raise RequestError(f"{find!r} takes too long to look for; simplify it.", "find") from None
    return Edit(changed, count)


def prefixed(captions: Captions, text: str) -> Edit:
    """A text put before all captions that do not begin with it."""
    text = one_line(text)
    return _each(captions, lambda each: each if each.startswith(text) else _joined(text, each))


def suffixed(captions: Captions, text: str) -> Edit:
    """A text put behind all captions that do not end with it."""
    text = one_line(text)
    return _each(captions, lambda each: each if each.endswith(text) else _joined(each, text))


def without_tag(captions: Captions, tag: str) -> Edit:
    """A comma-separated part dropped wherever it is, in small or large letters."""
    wanted = one_line(tag).casefold()

    def drop(caption: str) -> str:
        tags = tags_of(caption)
        kept = [each for each in tags if each.casefold() != wanted]
        return ", ".join(kept) if len(kept) < len(tags) else caption

    return _each(captions, drop)


def without_duplicates(captions: Captions) -> Edit:
    """Parts that stand twice in a caption stand there once, where they came first."""

    def once(caption: str) -> str:
        tags = tags_of(caption)
        kept = {each.casefold(): each for each in reversed(tags)}
        first = list(dict.fromkeys(each.casefold() for each in tags))
        return ", ".join(kept[each] for each in first) if len(first) < len(tags) else caption

    return _each(captions, once)


def sorted_tags(captions: Captions, keep_tokens: int = 0) -> Edit:
    """Parts in alphabetical order, but for the first keep_tokens."""

    def order(caption: str) -> str:
        tags = tags_of(caption)
        moved = sorted(tags[keep_tokens:], key=str.casefold)
        return caption if moved == tags[keep_tokens:] else ", ".join((*tags[:keep_tokens], *moved))

    return _each(captions, order)


def tag_counts(captions: Captions) -> dict[str, int]:
    """How many captions have each part, the most frequent first."""
    counts: dict[str, int] = {}
    for caption in captions.values():
        for tag in dict.fromkeys(tags_of(caption)):
            counts[tag] = counts.get(tag, 0) + 1
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


@needs(Deed.MAKE)
def write_captions(folder: Path, captions: Captions) -> int:
    """Write captions beside their pictures, as UTF-8; returns how many files changed.

    What the files held is kept for `undo`. Raises NotFound when a picture is not there, and
    StorageError when the system refuses; then what was not written yet is as it was.
    """
    there = {each.name for each in find_pictures(folder)}
    for name in captions:
        if name not in there:
            raise NotFound(f"There is no picture {name!r} in {folder.name}; look at it anew.")
    after = {_file_of(name): one_line(caption).encode() for name, caption in captions.items()}
    with _writing:
        before = {file: _content(folder / file) for file in after}
        changed = [file for file in after if before[file] != after[file]]
        if not changed:
            return 0
        kept = {file: [_text(before[file]), _text(after[file])] for file in changed}
        replace_file(folder / _UNDO, json.dumps(kept).encode())
        for file in changed:
            replace_file(folder / file, after[file])
    return len(changed)


def can_undo(folder: Path) -> int:
    """How many files the last edit of a set changed; 0 when there is none to undo."""
    return len(_undoable(folder))


@needs(Deed.MAKE)
def undo(folder: Path) -> int:
    """Put back what stood before the last edit; returns how many files were put back.

    Files that were changed again since, by whatever means, are left alone. Raises DataError when
    there is no edit to undo.
    """
    with _writing:
        kept = _undoable(folder)
        if not kept:
            raise DataError(f"There is no edit of {folder.name!r} to undo.")
        count = 0
        for file, (before, after) in kept.items():
            if _text(_content(folder / file)) != after:
                continue
            if before is None:
                _remove(folder / file)
            else:
                replace_file(folder / file, before.encode("latin-1"))
            count += 1
        _remove(folder / _UNDO)
    return count


def _each(captions: Captions, change: Callable[[str], str]) -> Edit:
    after = {name: one_line(change(caption)) for name, caption in captions.items()}
    changed = {name: text for name, text in after.items() if text != captions[name]}
    return Edit(changed, len(changed))


def _joined(first: str, second: str) -> str:
    """Two texts as parts of one caption, unless they have their own comma or one is empty."""
    if not first or not second:
        return first or second
    comma = first.endswith(",") or second.startswith(",")
    return f"{first} {second}" if comma else f"{first}, {second}"


def _file_of(name: str) -> str:
    return PurePosixPath(name).with_suffix(".txt").as_posix()


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, f"read {file}") from None


def _text(content: bytes | None) -> str | None:
    """Bytes as JSON can hold them, whatever their encoding."""
    return None if content is None else content.decode("latin-1")


def _undoable(folder: Path) -> dict[str, tuple[str | None, str | None]]:
    try:
        kept = json.loads((folder / _UNDO).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    files = {_file_of(each.name) for each in find_pictures(folder)}
    # The file may have come with the folder from elsewhere: only captions of pictures are put back.
    return {file: (pair[0], pair[1]) for file, pair in kept.items() if file in files}


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, f"remove {file}") from None

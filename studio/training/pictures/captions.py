"""What pictures say: read from where captions are kept, and as the model is shown them."""

import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from studio.requests import PROMPT_LIMIT
from studio.training.pictures.kohya import FolderNames
from studio.training.pictures.notes import read_notes
from studio.training_requests import CaptionSource, Pictures

ENDINGS = (".txt", ".caption")
"""Of caption files, the first that is there counts; the second is kohya's."""
METADATA = "metadata.jsonl"
_KEYS = ("text", "caption", "prompt")
_LARGEST = 1 << 20
_NUMBER = re.compile(r"[(\[]?\d+[)\]]?")


def captions(folder: Path, names: Sequence[str], wanted: Pictures) -> dict[str, str]:
    """The caption of each of a set's pictures, from the source that is wanted, with the trigger.

    What the name of a kohya folder or a note says of its pictures comes before the prompt, which
    says the same of all, unless the prompt alone is asked for.
    """
    told = FolderNames(folder, read_notes(folder))
    source = wanted.captions
    files = source in (CaptionSource.AUTO, CaptionSource.FILES)
    said = written(folder, names) if files else {}
    found: dict[str, str] = {}
    for name in names:
        own = told.note_of(name).caption
        match source:
            case CaptionSource.FILES:
                caption = said.get(name, "")
            case CaptionSource.NAMES:
                caption = words_of(name)
            case CaptionSource.PROMPT:
                caption = wanted.prompt or own
            case _:
                caption = said.get(name, "") or own or wanted.prompt
        found[name] = with_trigger(caption, wanted.trigger)
    return found


def written(folder: Path, names: Sequence[str], endings: Sequence[str] = ENDINGS) -> dict[str, str]:
    """What files say of pictures, by name, for those that have one or stand in a metadata.jsonl.

    An empty file says that there is no caption, and so hides what other files say.
    """
    inner = {_place(name) for name in names}
    said = _metadata(folder, inner)
    files = {place: _texts(folder / place, endings) for place in inner}
    for name in names:
        beside = files[_place(name)]
        stem = name.rpartition("/")[2].rpartition(".")[0].casefold()
        for ending in endings:
            file = beside.get(stem + ending.casefold())
            text = None if file is None else _read(file)
            if text is not None:
                said[name] = text
                break
    return {name: said[name] for name in names if name in said}


def decoded(content: bytes) -> str:
    """Text in whatever encoding it was saved: by its mark, else UTF-8, else that of Windows."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def one_line(text: str) -> str:
    """Text as a prompt: in one line, without NUL, no longer than a prompt may be."""
    return " ".join(text.replace("\0", " ").split())[:PROMPT_LIMIT]


def words_of(name: str) -> str:
    """What a file's name says: underscores are blanks, numbers are dropped."""
    words = PurePosixPath(name).stem.replace("_", " ").split()
    return " ".join(word for word in words if not _NUMBER.fullmatch(word) and word != "-")


def with_trigger(caption: str, trigger: str) -> str:
    """A caption that has the trigger, put before it where it lacks it."""
    if not trigger or has_trigger(caption, trigger):
        return caption
    return f"{trigger}, {caption}" if caption else trigger


def tags_of(caption: str) -> list[str]:
    """The comma-separated parts of a caption, without empty ones."""
    return [tag for part in caption.split(",") if (tag := part.strip())]


def variant(caption: str, seed: int, shuffle: bool = True, keep_tokens: int = 0) -> str:
    """A caption with its parts in the order of a seed, but for the first keep_tokens."""
    tags = tags_of(caption)
    if not shuffle or len(tags) - keep_tokens < 2:
        return caption
    moved = tags[keep_tokens:]
    random.Random(f"tags {seed}").shuffle(moved)
    return ", ".join((*tags[:keep_tokens], *moved))


def literal(caption: str) -> str:
    """A caption in the prompt language, where brackets and BREAK mean nothing but themselves."""
    escaped = re.sub(r"([()\[\]\\])", r"\\\1", caption)
    return re.sub(r"\bBREAK\b", "break", escaped)


def kept_tokens(caption: str, wanted: Pictures) -> int:
    """How many parts of a caption stay in front: a trigger there is never moved."""
    first = (tags_of(caption) or [""])[0]
    leads = bool(wanted.trigger) and first.casefold() == wanted.trigger.casefold()
    return max(wanted.keep_tokens, int(leads))


def _place(name: str) -> str:
    """The folder of a picture; by hand, for there are thousands and paths are slow."""
    return name.rpartition("/")[0] or "."


def has_trigger(caption: str, trigger: str) -> bool:
    """Whether a caption holds a trigger as a word of its own, in whatever case."""
    pattern = rf"(?<!\w){re.escape(trigger.strip().casefold())}(?!\w)"
    return re.search(pattern, caption.casefold()) is not None


def _texts(place: Path, endings: Sequence[str]) -> dict[str, str]:
    """The caption files of one folder, by their names in small letters."""
    try:
        with os.scandir(place) as entries:
            return {
                entry.name.casefold(): entry.path
                for entry in sorted(entries, key=lambda entry: entry.name, reverse=True)
                if entry.name.casefold().endswith(tuple(endings)) and entry.name[0] != "."
            }
    except OSError:
        return {}


def _read(file: str) -> str | None:
    try:
        with Path(file).open("rb") as stream:
            return one_line(decoded(stream.read(_LARGEST)))
    except OSError:
        return None


def _metadata(folder: Path, inner: set[str]) -> dict[str, str]:
    """What the metadata.jsonl files of a set say; each names files from where it lies itself."""
    places = {"."} | {
        str(parent) for place in inner for parent in (PurePosixPath(place), *_above(place))
    }
    said: dict[str, str] = {}
    for place in sorted(places, key=lambda each: (each.count("/"), each)):
        try:
            content = (folder / place / METADATA).read_bytes()
        except OSError:
            continue
        for file_name, text in metadata_lines(content):
            said[(PurePosixPath(place) / file_name).as_posix()] = text
    return said


def metadata_lines(content: bytes) -> Iterator[tuple[str, str]]:
    """File name and caption of each line of a metadata.jsonl that has both."""
    for line in decoded(content).split("\n"):
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(told, dict) or not isinstance(told.get("file_name"), str):
            continue
        text = next((told[key] for key in _KEYS if isinstance(told.get(key), str)), None)
        if text is not None:
            yield told["file_name"].replace("\\", "/"), one_line(text)


def _above(place: str) -> tuple[PurePosixPath, ...]:
    return tuple(PurePosixPath(place).parents)

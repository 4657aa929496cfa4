"""Pictures in tables: data sets of the hub, parquet files and folders that `datasets` has saved."""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from studio.errors import DataError, first_words
from studio.training.pictures.captions import one_line
from studio.training.pictures.listing import identified

_TEXTS = ("text", "caption", "captions", "prompt", "description", "label_text", "en_text")
_IMAGES = ("image", "img", "picture", "jpg", "png", "webp", "pixel_values")

_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True)
class TableWish:
    """What is taken of a table.

    image, text: names of columns, "" for those that are found. split: of it. most: rows.
    """

    image: str = ""
    text: str = ""
    split: str = "train"
    most: int = 10_000


def rows(source: str | Path, wish: TableWish) -> Iterator[tuple[str, bytes, str]]:
    """Name, file and caption of each row that has a picture.

    source: a path here, or an id of the hub. Raises DataError in one sentence.
    """
    try:
        table = _opened(source, wish.split)
        first = next(iter(table), None)
        if first is None:
            raise DataError(f"{source} has no rows in its split {wish.split!r}; take another one.")
        image, text = _columns(str(source), first, wish)
        remote = not isinstance(source, Path)
        for number, row in enumerate(islice(table, wish.most), 1):
            content = _picture(row[image], remote)
            if content is None:
                continue
            _, kind, problem = identified(content)
            if not problem:
                yield f"{number:06}.{kind.lower()}", content, _caption(row.get(text))
    except DataError:
        raise
    except Exception as error:  # readers of foreign tables, and their networks, raise anything
        first_line = first_words(error)
        raise DataError(
            f"{source} cannot be read as a table of pictures ({first_line}); check its name and "
            "split, and the network where it lies elsewhere."
        ) from error


def _opened(source: str | Path, split: str) -> Iterable[dict[str, Any]]:
    """The rows, pictures as files; nothing is copied into a cache of its own."""
    import datasets

    datasets.disable_progress_bars()
    if isinstance(source, str):
        # A name without an owner, or one that leads to a folder here, means something else there.
        if not _ID.fullmatch(source) or Path(source).exists():
            raise DataError(f"{source[:200]!r} is no id of a data set such as owner/name.")
        table = datasets.load_dataset(source, split=split, streaming=True)
    elif source.is_dir() and any(source.glob("**/state.json")):
        saved = datasets.load_from_disk(str(source))
        if isinstance(saved, datasets.DatasetDict):
            if split not in saved:
                raise DataError(f"{source} has no split {split!r}, but {', '.join(saved)}.")
            saved = saved[split]
        table = saved
    else:
        files = [source] if source.is_file() else sorted(source.glob("**/*.parquet"))
        if not files:
            raise DataError(f"{source} has no .parquet files and is no saved data set; check it.")
        named = [str(file) for file in files if file.name.startswith(split)]
        files_of_split = named or [str(file) for file in files]
        table = datasets.load_dataset(
            "parquet", data_files={"train": files_of_split}, split="train", streaming=True
        )
    for name, kind in (table.features or {}).items():
        if isinstance(kind, datasets.Image):
            table = table.cast_column(name, datasets.Image(decode=False))
    return table


def _columns(source: str, row: Mapping[str, Any], wish: TableWish) -> tuple[str, str]:
    """The names of the columns with pictures and with captions, "" for no captions."""
    for wanted in filter(None, (wish.image, wish.text)):
        if wanted not in row:
            raise DataError(f"{source} has no column {wanted!r}, but {', '.join(row)}.")
    image = wish.image or next(
        (name for name in (*_IMAGES, *row) if name in row and _is_picture(row[name])), ""
    )
    if not image:
        raise DataError(f"{source} has no column of pictures, but {', '.join(row)}.")
    texts = (name for name in row if isinstance(row[name], str))
    text = wish.text or next((name for name in _TEXTS if name in row), "") or next(texts, "")
    return image, text


def _is_picture(value: Any) -> bool:
    return isinstance(value, bytes) or (isinstance(value, dict) and {"bytes", "path"} <= set(value))


def _picture(value: Any, remote: bool) -> bytes | None:
    """A file's content; where the table lies here itself it may name no file beside it."""
    from PIL import Image

    if isinstance(value, bytes):
        return value
    if isinstance(value, Image.Image):
        stream = io.BytesIO()
        value.save(stream, "PNG")
        return stream.getvalue()
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("bytes"), bytes):
        return value["bytes"]
    place = value.get("path")
    if not remote or not isinstance(place, str) or not place.split("::")[-1].startswith("hf://"):
        return None  # a table may name files, but none of this machine or its network
    from fsspec import open as open_anywhere

    with open_anywhere(place, "rb") as stream:
        return bytes(stream.read())


def _caption(value: Any) -> str:
    if isinstance(value, list) and value:
        value = value[0]
    return one_line(value) if isinstance(value, str) else ""

"""Saved pieces of prompts: a styles.csv as AUTOMATIC1111 writes it, and what people have kept."""

import csv
from collections.abc import Sequence
from pathlib import Path

from studio.errors import DataError, RequestError, from_os_error
from studio.store.preferences import Style, StyleTable

FILE = "styles.csv"
_HOLE = "{prompt}"


class Styles:
    """The styles that who is at work has; a file is looked up afresh, so that it is seen at once.

    folder: of the data. kept: beside the file.
    """

    def __init__(self, folder: Path, kept: StyleTable):
        self._path = folder / FILE
        self._kept = kept

    def all(self) -> dict[str, Style]:
        """By name, the file's in its order, and over them those that were kept here.

        Raises DataError for a file that is no such table.
        """
        return self._in_file() | self._kept.shown()

    def _in_file(self) -> dict[str, Style]:
        if not self._path.is_file():
            return {}
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as stream:
                rows = list(csv.DictReader(stream, restkey="rest", restval=""))
        except OSError as error:
            raise from_os_error(error, f"read {self._path}") from error
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(
                f"{FILE} cannot be read ({error}); save it as a table in UTF-8 with the columns "
                "name, prompt and negative_prompt."
            ) from None
        # Before there were negative prompts, the column of prompts was called "text".
        return {
            name: Style(name, row.get("prompt") or row.get("text", ""), row["negative_prompt"])
            for row in ({"negative_prompt": "", **each} for each in rows)
            if (name := row.get("name", ""))
        }

    def applied(self, names: Sequence[str], prompt: str, negative: str) -> tuple[str, str]:
        """Both prompts with styles, each on top of those before; RequestError for unknown ones."""
        if not names:
            return prompt, negative
        there = self.all()
        for name in names:
            style = there.get(name)
            if style is None:
                known = ", ".join(there) or "none"
                raise RequestError(
                    f"Style {name[:80]!r} not found; there are: {known[:500]}.", "styles"
                )
            prompt = _merged(style.prompt, prompt)
            negative = _merged(style.negative_prompt, negative)
        return prompt, negative


def _merged(style: str, prompt: str) -> str:
    if _HOLE in style:
        return style.replace(_HOLE, prompt)
    return ", ".join(part for part in (prompt.strip(), style.strip()) if part)

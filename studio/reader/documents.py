"""Texts that people ask about: pasted, or read from .txt, .md, .pdf and .docx files."""

import re
from dataclasses import dataclass
from pathlib import Path

from studio.errors import DataError
from studio.reader import docx_files, pdf_files, text_files
from studio.reader.layout import LIMITS, Layout, Limits
from studio.reader.passages import Passage, passages_of, text_blocks

SUFFIXES = (".txt", ".md", ".pdf", ".docx")
"""Endings of the files that can be read."""

_CONTENTS = (
    (b"%PDF-", "a PDF", ".pdf"),
    (b"PK\x03\x04", "an archive, as .docx files are", ".docx"),
    (b"\xd0\xcf\x11\xe0", "an old Word file or one with a password", ""),
)
"""How files begin, what they are then, and the ending for that."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Document:
    """A text with its passages, in its order; notices: what a person should know of it.

    Passages are stretches of `text`, character for character, that do not overlap.
    """

    name: str
    text: str
    passages: tuple[Passage, ...]
    notices: tuple[str, ...] = ()

    def passage_text(self, index: int) -> str:
        """The characters of one passage."""
        passage = self.passages[index]
        return self.text[passage.start : passage.end]


def pasted(text: str, name: str = "The text", limits: Limits = LIMITS) -> Document:
    """A text that somebody typed or pasted, exactly as it is.

    Raises DataError when it is empty, too long or holds NUL characters.
    """
    limits.check_characters(len(text), name)
    text_files.refuse_nul(text, name)
    return _document(name, Layout(text, text_blocks(text)))


def read_text(content: bytes, name: str, limits: Limits = LIMITS) -> Document:
    """The text of bytes that came from somewhere else than a file, as of a .txt file.

    Raises DataError when there are too many, or they are no text.
    """
    _refuse_large(content, name, limits)
    return _document(name, text_files.read(content, name, limits))


def read_document(path: Path, name: str = "", limits: Limits = LIMITS) -> Document:
    """The text of a file; name: what people call it, whose ending says what it is.

    Raises DataError when the file is too large, damaged, encrypted, has no text or is not what its
    ending says.
    """
    name = _shown(name or path.name)
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(
            f"{name} cannot be read: its ending is {suffix or 'missing'}, but must be "
            f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}."
        )
    content = _content(path, name, limits)
    if not content:
        raise _empty(name)
    _refuse_other_content(content, name, suffix)
    if suffix == ".pdf":
        layout = pdf_files.read(content, name, limits)
    elif suffix == ".docx":
        layout = docx_files.read(content, name, limits)
    else:
        layout = text_files.read(content, name, limits, markdown=suffix == ".md")
    return _document(name, layout)


def _document(name: str, layout: Layout) -> Document:
    # Half of a pair is no character, and tokenizers refuse it; offsets stay as they are.
    text, halves = _SURROGATE.subn("\ufffd", layout.text)
    notices = layout.notices
    if halves:
        notices += (f"{halves} characters that are no Unicode are shown as \ufffd.",)
    passages = passages_of(text, layout.blocks)
    if not passages:
        raise _empty(name)
    return Document(name, text, passages, notices)


def _empty(name: str) -> DataError:
    return DataError(f"{name} is empty; give one that has words in it.")


def _shown(name: str) -> str:
    """A file's name as it may stand in a sentence: no folders, no control characters, not long."""
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(character if character.isprintable() else "?" for character in name)
    if len(name) <= _LONGEST_NAME:
        return name
    suffix = Path(name).suffix[:10]
    return f"{name[: _LONGEST_NAME - len(suffix) - 1]}…{suffix}"


def _content(path: Path, name: str, limits: Limits) -> bytes:
    try:
        with path.open("rb") as file:
            # One more than is allowed, so that a file that grows cannot get past.
            content = file.read(limits.bytes + 1)
    except OSError as error:
        raise DataError(
            f"{name} cannot be read ({error.strerror or error}); check the file and try again."
        ) from None
    _refuse_large(content, name, limits)
    return content


def _refuse_large(content: bytes, name: str, limits: Limits) -> None:
    if len(content) > limits.bytes:
        raise DataError(
            f"{name} is larger than {limits.bytes / 1e6:,.0f} MB, which is more than is read at "
            "once; give a part of it."
        )


def _refuse_other_content(content: bytes, name: str, suffix: str) -> None:
    # Some PDFs have other bytes before their mark, so only what begins as something else is sure.
    for beginning, what, ending in _CONTENTS:
        if content.startswith(beginning) and suffix != ending:
            what_to_do = (
                f"give it the ending {ending}" if ending else "save it as .docx without one"
            )
            raise DataError(f"{name} is {what}, but its ending is {suffix}; {what_to_do}.")

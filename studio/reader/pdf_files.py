"""PDF: the text of every page, its lines put together to paragraphs again."""

import io
import logging
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from studio.errors import DataError
from studio.reader.layout import Block, Layout, Limits

if TYPE_CHECKING:
    from pypdf import PdfReader

_BETWEEN_PAGES = "\n\n"
_HYPHENS = ("-", "\u2010", "\u00ad")
_LAST_WORD = re.compile(r"[^\W\d_]+$")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
_FIRST_WORD = re.compile(r"[^\W\d_]+")
_LIST_ITEM = re.compile(r"(?:[•‣▪◦·*-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s")
_SENTENCE_END = re.compile(r"[.!?…:。！？][\"'”’)\]]*$")
_SHORT_LINE = 0.75
"""A line of less than this share of the page's width of text may be the last of a paragraph."""
_NARROWEST = 40
"""Characters of a column, as on a page of titles no line is full."""
_MOST_OPERATIONS = 300_000
"""Of one page; a page of close print has some thousands."""
_LONGEST_WORD = 60
_FORGET_AFTER = 50
"""Pages after which fonts and the like are read anew, for memory's sake."""
_NUMBER_OF_PAGE = re.compile(r"\W*(?:page\s+)?\d{1,5}(?:\s*(?:/|of)\s*\d{1,5})?\W*", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
_FEW_PAGES = 4


def read(content: bytes, name: str, limits: Limits) -> Layout:
    """The text of a PDF, pages in order; blocks are numbered by pages.

    Pages that are damaged are left out with a notice. Raises DataError when the file is no PDF, is
    broken, wants a password, has no text at all, or is more than the limits allow.
    """
    import pypdf
    from pypdf.errors import DependencyError

    # It would print a line for every oddity of every file.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    # A few kilobytes can be made to unpack to gigabytes and to billions of operations.
    with pypdf.apply_configuration(
        zlib_maximum_output_length=limits.page,
        lzw_maximum_output_length=limits.page,
        run_length_maximum_output_length=limits.page,
        brotli_maximum_output_length=limits.page,
        array_based_stream_maximum_output_length=limits.page,
        stream_decoding_work_maximum_length=3 * limits.page,
        stream_parsing_work_maximum_count=_MOST_OPERATIONS,
        page_tree_maximum_entries=2 * limits.pages,
    ):
        try:
            pages, damaged = _pages(_opened(content, name), name, limits)
        except (DependencyError, NotImplementedError):
            raise DataError(
                f"{name} is encrypted in a way that is not read here; save a copy without "
                "encryption and try again."
            ) from None
    letters = sum(len(page) - page.count("\ufffd") for page in pages)
    # Text of fonts that do not tell which letters their shapes are comes out as question marks.
    if not any(page.strip() for page in pages) or letters < sum(map(len, pages)) / 2:
        if len(damaged) == len(pages) > 0:
            raise DataError(f"{name} is damaged: none of its {len(pages):,} pages can be read.")
        raise DataError(
            f"{name} has no text that can be taken from it, only pictures of pages; run it through "
            "text recognition (OCR) first."
        )
    return _laid_out(pages, damaged)


def _opened(content: bytes, name: str) -> "PdfReader":
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    if b"%PDF-" not in content[:1024]:
        raise DataError(f"{name} is no PDF, whatever its ending says; check the file.")
    try:
        reader = PdfReader(io.BytesIO(content))
        # Many are encrypted with an empty password, only to forbid printing.
        closed = reader.is_encrypted and not reader.decrypt("")
    except (DependencyError, NotImplementedError):
        raise
    except Exception as error:  # pypdf says that broken files may raise anything
        raise _broken(name, error) from None
    if closed:
        raise DataError(
            f"{name} can only be opened with a password; save a copy without one and try again."
        )
    return reader


def _pages(reader: "PdfReader", name: str, limits: Limits) -> tuple[list[str], list[int]]:
    """The text of each page as it is extracted, and the numbers of those that could not be."""
    from pypdf.errors import DependencyError, LimitReachedError

    try:
        count = reader.get_num_pages()
    except LimitReachedError:
        count = limits.pages + 1
    except (DependencyError, NotImplementedError):
        raise
    except Exception as error:  # as above
        raise _broken(name, error) from None
    if count > limits.pages:
        raise DataError(
            f"{name} has more than {limits.pages:,} pages, which is more than is read at once; "
            "give a part of it."
        )
    pages: list[str] = []
    damaged = []
    characters = 0
    begun = time.monotonic()
    for number in range(1, count + 1):
        try:
            text = reader.get_page(number - 1).extract_text()
        except DependencyError:
            raise
        except Exception:  # as above; the other pages may be sound
            text = ""
            damaged.append(number)
        if number % _FORGET_AFTER == 0:
            # What it keeps of all pages would be many times the file.
            reader.resolved_objects.clear()
        pages.append(_characters(text))
        characters += len(text)
        limits.check_characters(characters, name)
        if time.monotonic() - begun > limits.seconds:
            raise DataError(
                f"{name} takes more than {limits.seconds:g} s to read (until page {number:,} of "
                f"{count:,}); give a part of it."
            )
    return pages, damaged


def _broken(name: str, error: Exception) -> DataError:
    reason = str(error).rstrip(".") or type(error).__name__
    return DataError(f"{name} is a damaged PDF ({reason[:200]}); save it again and try that.")


def _characters(text: str) -> str:
    """Text without what fonts of odd encodings leave: NULs, and letters in two halves."""
    text = text.replace("\x00", "")
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _laid_out(pages: list[str], damaged: list[int]) -> Layout:
    known = Counter(word.lower() for page in pages for word in _WORD.findall(page))
    parts: list[str] = []
    blocks = []
    at = 0
    for number, lines in enumerate(_bodies(pages), 1):
        for paragraph in _paragraphs(lines, known):
            heading = len(paragraph) < 100 and not _SENTENCE_END.search(paragraph)
            blocks.append(Block(at, at + len(paragraph), number, heading, unit="page"))
            parts.append(paragraph)
            at += len(paragraph) + len(_BETWEEN_PAGES)
    notices: tuple[str, ...] = ()
    if damaged:
        some = ", ".join(map(str, damaged[:10])) + (", …" if len(damaged) > 10 else "")
        notices = (f"{len(damaged)} of {len(pages)} pages cannot be read and are missing: {some}.",)
    return Layout(_BETWEEN_PAGES.join(parts), blocks, notices)


def _bodies(pages: list[str]) -> Iterator[list[str]]:
    """The lines of each page without its number and without titles that run over all pages.

    Such a line at the top or bottom would stand amid a sentence; its first time it is kept.
    """
    split = [[line.strip() for line in page.strip().splitlines()] for page in pages]
    edges = Counter(mark for lines in split for mark in set(map(_mark, lines[:2] + lines[-2:])))
    often = max(_FEW_PAGES, len(pages) / 2)
    running = {mark for mark, count in edges.items() if mark and count >= often}
    met: set[str] = set()
    for lines in split:
        # Often a number and a title, so two lines at the top and two at the bottom.
        for at in sorted({0, 1, len(lines) - 2, len(lines) - 1}, reverse=True):
            mark = _mark(lines[at]) if 0 <= at < len(lines) else ""
            if mark in running:
                if mark in met or _NUMBER_OF_PAGE.fullmatch(mark):
                    del lines[at]
                met.add(mark)
        yield lines


def _mark(line: str) -> str:
    """A line as it is on all pages: numbers in it are those of pages."""
    return _DIGITS.sub("0", line)


def _paragraphs(lines: list[str], known: Counter[str]) -> Iterator[str]:
    """A page's paragraphs, the lines of each joined to one."""
    lengths = sorted(len(line) for line in lines if line)
    # Of the longer lines, as headings and last lines say nothing of the width.
    width = max(_NARROWEST, lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0)
    parts: list[str] = []
    last = ""
    for line in lines:
        if parts and _ends(last, line, width):
            yield "".join(parts)
            parts = []
        if line:
            if parts:
                parts[-1] = _before(parts[-1], line, known)
            parts.append(line)
        last = line
    if parts:
        yield "".join(parts)


def _ends(line: str, after: str, width: int) -> bool:
    """Whether a paragraph ends between two lines."""
    if not after or _LIST_ITEM.match(after):
        return True
    if len(line) >= _SHORT_LINE * width or line.endswith(_HYPHENS):
        return False
    # Cut lines of a paragraph are full: a short one ends a sentence, or is a heading or an item.
    return bool(_SENTENCE_END.search(line)) or not after[0].islower()


def _before(line: str, after: str, known: Counter[str]) -> str:
    """A line as it stands before the next; its hyphen stays if the word has one elsewhere, too."""
    first = _LAST_WORD.search(line[-_LONGEST_WORD:-1])
    second = _FIRST_WORD.match(after)
    if not line.endswith(_HYPHENS) or not first or not second:
        return f"{line} "
    whole = (first[0] + second[0]).lower()
    with_hyphen = f"{first[0]}-{second[0]}".lower()
    if line[-1] == "\u00ad":
        return line[:-1]
    if not second[0][0].islower() or known[with_hyphen] > known[whole]:
        return line
    return line[:-1]

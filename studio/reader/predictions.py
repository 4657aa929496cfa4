"""What a reader answered: predictions and no-answer probabilities, read from official files.

The official script passes over unknown ids and breaks on missing ones; both are refused here with
counts, for either means that the predictions belong to another data set.
"""

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.errors import DataError
from studio.reader.squad import Squad

_SHOWN = 3
"""Ids that a refusal names."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """The text for each question id, "" for no answer; na_probs: how sure that there is none.

    Any finite numbers may stand for the probabilities: scoring only asks which is larger.
    """

    texts: Mapping[str, str]
    na_probs: Mapping[str, float] | None = None


def read_predictions(source: Path | bytes, name: str = "") -> dict[str, str]:
    """The texts of an official predictions file, {id: text}; .json or .json.gz, path or content.

    name: what people call the file. Raises DataError when it is not one.
    """
    name = _name(source, name, "the predictions")
    value = _object(source, name, "predictions")
    _refuse_unless_texts(value, name)
    return value


def read_na_probs(source: Path | bytes, name: str = "") -> dict[str, float]:
    """The numbers of an official no-answer probability file, {id: number}, as `read_predictions`.

    The order of the file is kept: among equal numbers the official script goes by it.
    """
    name = _name(source, name, "the no-answer probabilities")
    value = _object(source, name, "no-answer probabilities")
    _refuse_unless_numbers(value, name)
    return value


def checked(predictions: Predictions, squad: Squad, name: str = "The predictions") -> Predictions:
    """The predictions, if they are for all questions of the data set and for no other.

    name: how the sentence of a refusal begins. Raises DataError with counts and some of the ids.
    """
    known = {asked.question.id for asked in squad.asked()}
    if not known:
        raise DataError("The data set has no questions, so there is nothing to score.")
    _refuse_unless_texts(predictions.texts, name)
    _refuse_unless_covered(predictions.texts, known, name)
    if predictions.na_probs is not None:
        name = "The no-answer probabilities"
        _refuse_unless_numbers(predictions.na_probs, name)
        _refuse_unless_covered(predictions.na_probs, known, name)
    return predictions


def _refuse_unless_covered(given: Mapping[str, Any], known: set[str], name: str) -> None:
    missing = [each for each in sorted(known) if each not in given]
    unknown = [each for each in given if each not in known]
    faults = []
    if missing:
        faults.append(f"{len(missing):,} of its {len(known):,} are missing ({_some(missing)})")
    if unknown:
        faults.append(f"{len(unknown):,} are of no question in it ({_some(unknown)})")
    if faults:
        raise DataError(
            f"{name} do not fit the data set: {' and '.join(faults)}; "
            "use the file that they were made for."
        )


def _refuse_unless_texts(given: Mapping[str, Any], name: str) -> None:
    wrong = [each for each, value in given.items() if not isinstance(value, str)]
    if wrong:
        raise DataError(
            f"{name}: {len(wrong):,} of {len(given):,} predictions are not text "
            f'({_some(wrong)}); write "" where there is no answer.'
        )


def _refuse_unless_numbers(given: Mapping[str, Any], name: str) -> None:
    wrong = [each for each, value in given.items() if not _is_number(value)]
    if wrong:
        raise DataError(
            f"{name}: {len(wrong):,} of {len(given):,} values are not finite numbers "
            f"({_some(wrong)}); mend what wrote them."
        )


def _is_number(value: Any) -> bool:
    # In Python, True is a number too.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _object(source: Path | bytes, name: str, what: str) -> dict[str, Any]:
    """The one object that the file must be; its ids must be given once."""
    twice: dict[str, None] = {}

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    twice[key] = None
                seen.add(key)
        return value

    try:
        value = json.loads(_content(source, name).decode("utf-8-sig"), object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name} cannot be read: it is not JSON (line {error.lineno}, column {error.colno}: "
            f"{error.msg})."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} cannot be read: it is not UTF-8 text (byte {error.start})."
        ) from None
    except RecursionError:
        raise DataError(f"{name} cannot be read: its JSON is nested too deeply.") from None
    except ValueError:
        # Python refuses to read whole numbers of more than some thousand digits.
        raise DataError(f"{name} cannot be read: it holds a number that is too long.") from None
    if not isinstance(value, dict):
        sort = "a list" if isinstance(value, list) else "a single value"
        raise DataError(
            f"{name} holds no {what}: it is {sort} and should be an object of question ids, "
            'as in {"56ddde6b9a695914005b9628": …}.'
        )
    if twice:
        raise DataError(
            f"{name}: {len(twice):,} ids are given more than once ({_some(twice)}); "
            "leave one of each."
        )
    return value


def _content(source: Path | bytes, name: str) -> bytes:
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise DataError(
            f"{name} cannot be read ({reason or error}); check the file and try again."
        ) from None


def _name(source: Path | bytes, name: str, otherwise: str) -> str:
    if name:
        return name
    return source.name if isinstance(source, Path) else otherwise.capitalize()


def _some(ids: Iterable[str]) -> str:
    """A few of the ids, each cut to a length that a sentence bears."""
    ids = list(ids)
    shown = ", ".join(each if len(each) <= 40 else f"{each[:39]}…" for each in ids[:_SHOWN])
    return shown + (", …" if len(ids) > _SHOWN else "")

"""A training as a TOML file (https://toml.io/en/v1.0.0): what a run is told, to keep and to edit.

Name, method and model stand at the top, all other fields in the tables that `TABLES` names. The
comments are the fields' own descriptions, so that file and program cannot disagree.
"""

import datetime
import json
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from studio.errors import RequestError
from studio.requests import Request, label
from studio.training_requests import TABLES, TrainRequest

LONGEST = 10**6
"""Characters of a file that is read; one that is longer is none of ours."""
_WIDTH = 100
_HEAD = (
    "A training of the studio. What is left out follows from the pictures and the model when the "
    "run begins, or has its usual value."
)
_NOT_OF_A_FILE = ("kind", "owner")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f"}
_UNPRINTABLE = re.compile(r'["\\\x00-\x1f\x7f]')


def table_of(field: str) -> str:
    """The table that a field stands in, "" for the top of the file."""
    return next((_name(kind) for kind in TABLES if field in kind.model_fields), "")


def write_toml(request: TrainRequest) -> str:
    """The file of a request: every value, also those that are what they would be anyway.

    What is None and who asked for it are left out.
    """
    lines = [*_comment(_HEAD)]
    for name in ("", *map(_name, TABLES)):
        lines += ["", f"[{name}]"] if name else []
        for field in _fields(name):
            lines += _entry(request, field)
    return "\n".join(lines) + "\n"


def read_toml(text: str) -> dict[str, Any]:
    """The fields that a file gives, for `validated(TrainRequest, ...)`; it need not give all.

    Raises RequestError, with the place in the file, for what is no TOML, for unknown tables and
    keys, and for values that a field cannot have.
    """
    return fields_of(parsed(text))


def parsed(text: str) -> dict[str, Any]:
    """A TOML file as tables and values; RequestError for what is none."""
    if len(text) > LONGEST:
        raise RequestError(
            f"The settings have {len(text):,} characters, but at most {LONGEST:,} are read; give "
            "a file of settings alone."
        )
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "too many brackets"
        raise RequestError(f"The settings are no TOML: {reason}; correct that place.") from None


def fields_of(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in the tables of a file; RequestError as `read_toml` says."""
    fields: dict[str, Any] = {}
    known = [_name(kind) for kind in TABLES]
    for key, value in tables.items():
        if key in known:
            if not isinstance(value, dict):
                raise RequestError(
                    f"{key} is {_shown(value)}, but is to be a table: write [{key}] on a line of "
                    "its own, and its settings below."
                )
            for inner, each in value.items():
                _refuse_unknown(inner, key)
                fields[inner] = each
        elif isinstance(value, dict):
            raise RequestError(
                f"[{key}] is no table of a training; known are "
                f"{', '.join(f'[{name}]' for name in known)}."
            )
        else:
            _refuse_unknown(key, "")
            fields[key] = value
    _refuse_wrong(fields)
    return fields


def toml_value(value: object) -> str:
    """Text, a number, a truth or a list of them as TOML writes it; half of a pair becomes "?"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        text = _UNPRINTABLE.sub(lambda found: _escaped(found[0]), str(value))
        return '"' + text.encode("utf-8", "replace").decode("utf-8") + '"'
    if isinstance(value, list | tuple):
        parts = [toml_value(each) for each in value]
        line = f"[{', '.join(parts)}]"
        if len(line) <= _WIDTH - 20:
            return line
        return "[\n" + "".join(f"    {part},\n" for part in parts) + "]"
    raise TypeError(f"{type(value).__name__} has no place in a file of settings")


def _escaped(character: str) -> str:
    return _ESCAPES.get(character) or f"\\u{ord(character):04x}"


def _name(kind: type[Request]) -> str:
    return kind.__name__.lower()


def _fields(table: str) -> list[str]:
    """The fields of a table in their order; those of the top, with the name first, for ""."""
    for kind in TABLES:
        if _name(kind) == table:
            return list(kind.model_fields)
    top = [name for name in TrainRequest.model_fields if not table_of(name)]
    return sorted((name for name in top if name not in _NOT_OF_A_FILE), key=lambda n: n != "name")


def _entry(request: TrainRequest, field: str) -> Iterator[str]:
    """A field's lines: what it is, what it may be, and its value."""
    yield from _comment(_SAID.get(field, ""))
    kind = TrainRequest.model_fields[field].annotation
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        yield from _comment(f"One of {', '.join(kind)}.")
    value = getattr(request, field)
    yield f"# {field} = (derived)" if value is None else f"{field} = {toml_value(value)}"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2)]


def _described(kind: type[Request]) -> dict[str, str]:
    """What a request's description says of its fields: of several together at the first of them."""
    text = " ".join((kind.__doc__ or "").split())
    found = [
        match
        for match in re.finditer(r"(?:^|(?<=\. ))(\w+)((?:, \w+)*): ", text)
        if match[1] in kind.model_fields
    ]
    ends = [match.start() for match in found[1:]] + [len(text)]
    return {
        match[1]: text[match.start() : end].strip().replace("None", "left out")
        for match, end in zip(found, ends, strict=True)
    }


_KINDS: tuple[type[Request], ...] = (*TABLES, TrainRequest)
_SAID = {field: text for kind in _KINDS for field, text in _described(kind).items()}


def _refuse_unknown(key: str, table: str) -> None:
    known = _fields(table)
    if key in known:
        return
    where = f"in [{table}]" if table else "at the top"
    place = table_of(key) if key in TrainRequest.model_fields else ""
    if place:
        raise RequestError(f"{key!r} stands {where}, but belongs in [{place}]; move it there.")
    raise RequestError(
        f"{key!r} {where} is no setting of a training; known there are {', '.join(known)}."
    )


def _refuse_wrong(fields: dict[str, Any]) -> None:
    """Strictly, as a TOML file tells numbers, texts and truths apart.

    Whether anything is missing, and whether fields go together, is not asked here.
    """
    for key, value in fields.items():
        if isinstance(value, dict | datetime.date | datetime.time):
            raise RequestError(
                f"{_place(key)} is a {'table' if isinstance(value, dict) else 'date or a time'}, "
                "which no setting is; "
                "write a number or a text in quotes.",
                field=key,
            )
    try:
        TrainRequest.model_validate_json(json.dumps(fields, default=str), strict=True)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_context=False):
            if each["type"] == "missing" or not each["loc"]:
                continue
            key = str(each["loc"][0])
            rule = each["msg"].removeprefix("Value error, ")
            rule = re.sub(r"^(Input|String|Tuple) should", "must", rule)
            raise RequestError(
                f"{_place(key)} {rule}, but is {_shown(each['input'])}.", field=key
            ) from None


def _place(field: str) -> str:
    table = table_of(field)
    return f"{label(field)} in [{table}]" if table else f"{label(field)} at the top"


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:40]}…"

"""Which sizes a model can work at; free of torch."""

from studio.errors import RequestError
from studio.models.entry import ModelEntry


def check_multiple(field: str, value: int, entry: ModelEntry) -> None:
    """RequestError when a side is no multiple of what the model needs, with the nearest."""
    if value % entry.multiple:
        nearest = max(entry.multiple, round(value / entry.multiple) * entry.multiple)
        raise RequestError(
            f"{field.capitalize()} is {value}, but {entry.title} needs a multiple of "
            f"{entry.multiple}; the nearest is {nearest}.",
            field=field,
        )


def check_side(field: str, side: int, entry: ModelEntry) -> None:
    """RequestError when a side is longer than the model has places for."""
    if entry.largest and side > entry.largest:
        raise RequestError(
            f"{entry.title} sees at most {entry.largest} pixels a side at once, but would be given "
            f"{side}; choose a smaller size.",
            field=field,
        )


def enlarged_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Width and height in pixels after a scale."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def multiple_below(length: int, multiple: int) -> int:
    """The largest multiple that is not above a length, at least one."""
    return max(multiple, length // multiple * multiple)

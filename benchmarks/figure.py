"""One measured figure and its table."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """A value with its unit; limit: what it must not exceed, or None."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the value is within its limit."""
        return self.limit is None or self.value <= self.limit

    def as_row(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "holds": self.holds}


def table(figures: list[Figure]) -> str:
    """The figures as lines of text."""
    lines = [f"{'figure':46} {'value':>10} {'limit':>8}  unit"]
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:g}"
        verdict = "" if figure.holds else "  <-- over the limit"
        note = f"  ({figure.note})" if figure.note else ""
        lines.append(
            f"{figure.name:46} {figure.value:10.3f} {limit:>8}  {figure.unit}{note}{verdict}"
        )
    return "\n".join(lines)

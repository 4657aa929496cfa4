"""What of a table is shown to whoever is at work, as a piece of SQL."""

from studio.people import NOBODY, acting


def shown(column: str) -> tuple[str, dict[str, int]]:
    """A condition on a column of owners' ids, and its values; it says what `Person.sees` does."""
    person = acting()
    if person.is_administrator:
        return "1 = 1", {}
    if person == NOBODY:
        return "1 = 0", {}
    return f"{column} = :acting", {"acting": person.id}

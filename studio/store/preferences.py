"""What people have chosen for themselves: options of AUTOMATIC1111's API, styles of prompts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from studio.errors import NotFound
from studio.people import HOME, Deed, acting, needs
from studio.store.database import Database, repeated


@dataclass(frozen=True)
class Style:
    """A style: what is put around or after a prompt and a negative prompt.

    own: whether it is that of who is at work alone.
    """

    name: str
    prompt: str = ""
    negative_prompt: str = ""
    own: bool = False


class OptionTable:
    """The options that each person has set for themselves."""

    def __init__(self, database: Database):
        self._database = database

    @repeated
    def own(self) -> dict[str, Any]:
        """Those of who is at work, by their names."""
        if not acting().id:
            return {}
        with self._database.read() as db:
            found = db.execute(
                text("SELECT chosen FROM options WHERE person = :person"), {"person": acting().id}
            ).scalar()
        told = json.loads(found) if found else {}
        return told if isinstance(told, dict) else {}

    @needs(Deed.MAKE)
    @repeated
    def set(self, chosen: Mapping[str, Any]) -> None:
        """Replace those of who is at work."""
        values = {"person": acting().id, "chosen": json.dumps(dict(chosen))}
        with self._database.write() as db:
            db.execute(text("DELETE FROM options WHERE person = :person"), values)
            db.execute(
                text("INSERT INTO options (person, chosen) VALUES (:person, :chosen)"), values
            )


class StyleTable:
    """Styles that were kept here: those of everybody, which have no owner, and each person's."""

    def __init__(self, database: Database):
        self._database = database

    @repeated
    def shown(self) -> dict[str, Style]:
        """By name, those of everybody and over them those of who is at work."""
        with self._database.read() as db:
            rows = db.execute(
                text(
                    "SELECT person, name, prompt, negative_prompt FROM styles"
                    " WHERE person = :all OR person = :person ORDER BY name"
                ),
                {"all": HOME.id, "person": acting().id},
            ).all()
        ranked = sorted(rows, key=lambda row: row.person != HOME.id)
        return {
            row.name: Style(row.name, row.prompt, row.negative_prompt, row.person != HOME.id)
            for row in ranked
        }

    @needs(Deed.MAKE)
    @repeated
    def keep(self, style: Style) -> None:
        """Keep a style of who is at work, or everybody's, in the place of one of its name."""
        values = self._place(style.name, own=style.own) | {
            "prompt": style.prompt,
            "negative_prompt": style.negative_prompt,
        }
        with self._database.write() as db:
            db.execute(text("DELETE FROM styles WHERE person = :person AND name = :name"), values)
            db.execute(
                text(
                    "INSERT INTO styles (person, name, prompt, negative_prompt)"
                    " VALUES (:person, :name, :prompt, :negative_prompt)"
                ),
                values,
            )

    @needs(Deed.MAKE)
    def remove(self, name: str, *, own: bool) -> None:
        """Delete a style of who is at work, or everybody's; NotFound when there is none."""
        values = self._place(name, own=own)
        with self._database.write() as db:
            done = db.execute(
                text("DELETE FROM styles WHERE person = :person AND name = :name"), values
            )
        if not done.rowcount:
            raise NotFound(f"There is no style {name[:80]!r} to delete; see which there are.")

    def _place(self, name: str, *, own: bool) -> dict[str, Any]:
        """Where a style stands; Forbidden for everybody's but to administrators."""
        if not own:
            acting().must_be_allowed(Deed.CHANGE_SETTINGS)
        return {"person": acting().id if own else HOME.id, "name": name}

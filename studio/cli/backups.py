"""The commands that keep a studio against loss, and bring it back or elsewhere."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from studio.audit import Act
from studio.cli.options import DataDir
from studio.settings import load_settings, settings_file
from studio.store.audit import AuditTable
from studio.store.backup import back_up, existing
from studio.store.restoring import restore as restore_from


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write, which must not be there yet.")],
    outputs: Annotated[
        bool, typer.Option("--outputs", help="Keep the pictures too, and what they are made from.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Keep the database and the settings in one file, also while a server runs."""
    settings = load_settings(data_dir=data_dir)
    database = existing(settings.data_dir, settings.database_url.get_secret_value())
    try:
        kept = back_up(database, settings.data_dir, file, settings_file(), pictures=outputs)
        AuditTable(database).note(Act.BACKUP, str(file))
    finally:
        database.close()
    print(f"{file}: {kept.rows} rows and {kept.files} files, {kept.bytes / 1e6:,.1f} MB")
    if kept.missing:
        print(f"{kept.missing} pictures have no file any more.", file=sys.stderr)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `atelier backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Put what is there already aside, and keep it.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Bring a backup into the data folder, and its rows into the database that is set."""
    settings = load_settings(data_dir=data_dir)
    url = settings.database_url.get_secret_value()
    told = restore_from(file, settings.data_dir, url, replace=replace)
    database = existing(settings.data_dir, url)
    try:
        AuditTable(database).note(Act.BROUGHT_BACK, str(file))
    finally:
        database.close()
    print(f"{settings.data_dir}: {told.rows} rows and {told.files} files")
    if told.before:
        print(f"What was there before is kept in {told.before}.")
    if told.settings is not None:
        print(f"The settings file of then is {told.settings}; compare it with today's.")

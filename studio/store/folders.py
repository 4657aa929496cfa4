"""Folders that are whole or not there, whatever happens while they are written."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from studio.errors import from_os_error


def write_folder(folder: Path, fill: Callable[[Path], object]) -> None:
    """A folder that is whole or not there; fill: writes the files into the folder it is given.

    A folder of that name that is there already is replaced.
    """
    aside = folder.with_name(f"{folder.name}.part")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        fill(aside)
        for file in aside.rglob("*"):
            flush(file)
        flush(aside)
        if folder.exists():
            old = folder.with_name(f"{folder.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
            aside.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            aside.rename(folder)
        flush(folder.parent)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise from_os_error(error, f"write {folder}") from None


def flush(path: Path) -> None:
    """Have a file or a folder on the disk, whatever happens to the machine."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Files and folders that are whole or as they were, whatever happens while they are written."""

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from studio.errors import from_os_error

ASIDE = ".atelier-"
"""What the names of files begin with that are being written."""


def replace_file(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Put a file in its place; StorageError when the system refuses, and then nothing changed.

    mode: who may do what with it, less what the system's mask takes away.
    """
    aside = path.with_name(f"{ASIDE}{secrets.token_hex(8)}")
    try:
        # Not by tempfile, whose files are closed to everybody else who works on this machine.
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, f"write {path.name} to {path.parent}") from None


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

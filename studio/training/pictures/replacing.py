"""Files that are whole or as they were: written aside, flushed to the disk, then renamed."""

import os
import secrets
from pathlib import Path

from studio.errors import from_os_error

ASIDE = ".atelier-"
"""What the names of files begin with that are no part of a picture set, or not yet."""


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in its place; StorageError when the system refuses, and then nothing changed."""
    aside = path.with_name(f"{ASIDE}{secrets.token_hex(8)}")
    try:
        # Not by tempfile, whose files are closed to everybody else who works on this machine.
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, f"write {path}") from None

"""The cookie of browsers' sessions."""

import secrets
from pathlib import Path

from studio.errors import from_os_error
from studio.store.writing import replace_file

_FILE = "cookie.name"
_LETTERS = 12


def cookie_name(folder: Path) -> str:
    """The cookie's name, another one for each data folder; StorageError when it cannot be kept.

    Cookies are of a host, whatever the port: two studios on one must not undo each other's.
    """
    path = folder / _FILE
    try:
        if not path.is_file() or len(path.read_bytes()) != _LETTERS:
            replace_file(path, secrets.token_hex(_LETTERS // 2).encode(), 0o600)
        return f"atelier-{path.read_bytes().decode('ascii')}"
    except OSError as error:
        raise from_os_error(error, f"keep the name of the session's cookie in {folder}") from None

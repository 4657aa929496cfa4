"""Checksums of weights, worked out once: a checkpoint of several GB takes many seconds to read."""

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

log = logging.getLogger(__name__)
_BLOCK = 1 << 22


class Hashes:
    """SHA-256 sums by the files' places, sizes and times of change.

    memory: file in which they outlive the server; None for none.
    """

    def __init__(self, memory: Path | None = None):
        self._memory = memory
        self._lock = threading.Lock()
        self._known: dict[str, str] | None = None

    def of(self, files: Sequence[Path], check: Callable[[], object] = lambda: None) -> str:
        """The sum over the files, one after the other, as hex digits.

        check: called between blocks while they are read; what it raises stops that.
        """
        key = "|".join(_stamp(file) for file in files)
        with self._lock:
            if self._known is None:
                self._known = self._remembered()
            if key not in self._known:
                self._known[key] = sha256(files, check)
                self._remember(self._known)
            return self._known[key]

    def _remembered(self) -> dict[str, str]:
        try:
            kept = json.loads(self._memory.read_text("utf-8")) if self._memory else {}
        except (OSError, ValueError, RecursionError):
            return {}
        known = kept.items() if isinstance(kept, dict) else ()
        return {key: value for key, value in known if isinstance(value, str)}

    def _remember(self, known: dict[str, str]) -> None:
        if self._memory is None:
            return
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            aside = self._memory.with_suffix(".new")
            aside.write_text(json.dumps(known), encoding="utf-8")
            aside.replace(self._memory)
        except OSError as error:
            log.warning("Checksums could not be kept (%s).", error)


def _stamp(file: Path) -> str:
    facts = file.stat()
    return f"{file}:{facts.st_size}:{facts.st_mtime_ns}"


def sha256(files: Sequence[Path], check: Callable[[], object] = lambda: None) -> str:
    """The sum over files, one after the other, as hex digits; check: called between blocks."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                check()
    return digest.hexdigest()

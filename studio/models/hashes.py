"""Checksums of weights, the long ones worked out once: several GB take many seconds to read."""

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path

log = logging.getLogger(__name__)
_BLOCK = 1 << 22
_LEGACY = 0x100000, 0x10000
"""Where the old hash begins and how many bytes it is of."""


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

    def known(self, files: Sequence[Path]) -> str:
        """The sum if it was worked out before, else ""; reads none of the files."""
        key = "|".join(_stamp(file) for file in files)
        if self._known is None:
            with self._lock:
                self._known = self._remembered()
        # Not behind the lock: a file of gigabytes may just be read there.
        return self._known.get(key, "")

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


def body_hashes(body: Iterable[bytes], plain_header: bytes) -> dict[str, str]:
    """sshs_model_hash and sshs_legacy_hash of a safetensors file, of which one piece is held.

    The first is SHA-256 of all after the header. The second is of 64 KiB of the file as it would be
    with ss_* alone in its header. body: all after the header. plain_header: that other header.
    """
    digest, old = hashlib.sha256(), hashlib.sha256()
    first, length = _LEGACY
    at = 0
    for block in chain((plain_header,), body):
        old.update(block[max(0, first - at) : max(0, first + length - at)])
        if at:
            digest.update(block)
        at += len(block)
    return {"sshs_model_hash": digest.hexdigest(), "sshs_legacy_hash": old.hexdigest()[:8]}


def legacy_hash(path: Path) -> str:
    """The old hash of a model's file, which ss_sd_model_hash is: eight hex digits of 64 KiB."""
    first, length = _LEGACY
    with path.open("rb") as stream:
        stream.seek(first)
        return hashlib.sha256(stream.read(length)).hexdigest()[:8]

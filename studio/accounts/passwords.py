"""Passwords as Argon2 hashes, and the time and memory that checking them may cost."""

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_AT_ONCE = 2
"""Checks at the same time: each takes 64 MiB and several threads on purpose."""
_NOBODYS = "nobody has this password"


class Passwords:
    """Makes and checks hashes; safe from many threads."""

    def __init__(self) -> None:
        self._turns = threading.Semaphore(_AT_ONCE)
        self._making = threading.Lock()
        self._made: tuple[PasswordHasher, str] | None = None

    def hash(self, password: str) -> str:
        """A password's hash, with its salt and costs."""
        hasher, _ = self._hasher()
        with self._turns:
            return hasher.hash(password.encode("utf-8", "surrogatepass"))

    def fits(self, password: str, password_hash: str) -> bool:
        """Whether it is the password; takes as long where there is no hash ("")."""
        from argon2.exceptions import InvalidHashError, VerificationError

        hasher, other = self._hasher()
        with self._turns:
            try:
                hasher.verify(password_hash or other, password.encode("utf-8", "surrogatepass"))
            except (VerificationError, InvalidHashError):
                return False
        return bool(password_hash)

    def is_old(self, password_hash: str) -> bool:
        """Whether a hash costs less than today's do."""
        return self._hasher()[0].check_needs_rehash(password_hash)

    def _hasher(self) -> "tuple[PasswordHasher, str]":
        """The hasher, and a hash that no password has."""
        from argon2 import PasswordHasher

        with self._making:
            if self._made is None:
                hasher = PasswordHasher()
                self._made = hasher, hasher.hash(_NOBODYS)
            return self._made

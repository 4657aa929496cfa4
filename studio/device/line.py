"""How the server is connected with the process of a device, wherever that is."""

from collections.abc import Callable, Iterator
from typing import Protocol

from studio.device.messages import Wire


class Line(Protocol):
    """A process of a device from its beginning to its end."""

    @property
    def input(self) -> Wire:
        """What it is told by."""
        ...

    def frames(self) -> Iterator[bytes]:
        """What it tells, message by message, until it has ended."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def ended(self) -> tuple[str, str]:
        """Why it has ended, in words and in one, once it tells nothing any more."""
        ...


Opener = Callable[[Callable[[], bool]], Line | None]
"""Begins a process: given whether it is still wanted, None when it is not wanted any more.

Raises OSError or AtelierError when it cannot be begun.
"""

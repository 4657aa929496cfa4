"""How often a password may be tried: each address for itself, and all of them together."""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

EACH, EACH_SECONDS = 10, 6.0
"""Wrong tries that an address has, and seconds after which it has one more."""
ALL, ALL_SECONDS = 200, 0.6
"""The same of all addresses together, for one who has many of them."""
_REMEMBERED = 10_000


class Tries:
    """Counts of wrong tries that are forgiven one by one; clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._all = (0.0, clock())
        self._each: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str) -> int:
        """Whole seconds until the address may try again, 0 when it may now."""
        each = self._left(self._each.get(network_of(address)), EACH_SECONDS)
        every = self._left(self._all, ALL_SECONDS)
        seconds = max((each - EACH + 1) * EACH_SECONDS, (every - ALL + 1) * ALL_SECONDS)
        return max(0, ceil(seconds))

    def failed(self, address: str) -> None:
        """Note a wrong try."""
        now, network = self._clock(), network_of(address)
        self._all = (self._left(self._all, ALL_SECONDS) + 1, now)
        self._each[network] = (self._left(self._each.pop(network, None), EACH_SECONDS) + 1, now)
        while len(self._each) > _REMEMBERED:
            self._each.popitem(last=False)

    def forgive(self, address: str) -> None:
        """Take back a try that was noted before it turned out to be right."""
        now, network = self._clock(), network_of(address)
        self._all = (max(0.0, self._left(self._all, ALL_SECONDS) - 1), now)
        if noted := self._each.get(network):
            self._each[network] = (max(0.0, self._left(noted, EACH_SECONDS) - 1), now)

    def _left(self, noted: tuple[float, float] | None, seconds: float) -> float:
        """Tries that are not forgiven yet."""
        if noted is None:
            return 0.0
        count, since = noted
        return max(0.0, count - (self._clock() - since) / seconds)


def network_of(address: str) -> str:
    """The part of an address that one person cannot change at will: of IPv6, the first half."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(ip_network((found, 64), strict=False))
    return str(getattr(found, "ipv4_mapped", None) or found)

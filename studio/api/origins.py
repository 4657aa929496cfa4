"""Where a request comes from: which host's page made the browser send it, and to which name."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from studio.settings import Settings

_FRAMES = frozenset({"iframe", "frame", "embed", "object", "fencedframe"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Hosts:
    """The names under which the studio may be reached.

    Without accounts whoever reaches it is at home, so that a name of somebody else that was made
    to lead here (DNS rebinding) must not be answered: its pages could do everything. With accounts
    such a page has no cookie and is a stranger; then the names count once they are set.
    """

    def __init__(self, settings: Settings, *, with_accounts: bool):
        given = {each for each in settings.allowed_hosts.split(",") if each}
        self._any = "*" in given or (with_accounts and not given)
        self._names = given | {"localhost", settings.host.lower()}

    def admit(self, connection: HTTPConnection) -> bool:
        """Whether the request names a host that is ours; an address as such cannot be rebound."""
        if self._any:
            return True
        name = host_of(connection.headers.get("host", ""))
        return name in self._names or name.endswith(".localhost") or _is_address(name)


def host_of(value: str) -> str:
    """The host's name in a header `Host`, without its port and in small letters."""
    value = value.strip().lower()
    if value.startswith("["):
        return value[1:].partition("]")[0]
    return value.partition(":")[0].rstrip(".")


def is_forged(connection: HTTPConnection) -> bool:
    """Whether another site's page makes the browser ask for or change something here.

    A browser sends the cookie from pages of sister domains too, such as those of other machines
    of the same provider or other ports of this one, and a name and a password that it was given in
    an address with everything. Over plain HTTP it tells of the origin alone.
    """
    headers = connection.headers
    safe = connection.scope["type"] == "http" and connection.scope["method"] in SAFE
    if site := headers.get("sec-fetch-site"):
        # A link may lead here, but not into a frame, where a press could be stolen.
        framed = headers.get("sec-fetch-dest") in _FRAMES
        followed = safe and headers.get("sec-fetch-mode") == "navigate" and not framed
        return site not in ("same-origin", "none") and not followed
    origin = headers.get("origin")
    by_bearer = headers.get("authorization", "").lower().startswith("bearer ")
    # Neither a bearer nor the second host can a page send without asking first, which is refused.
    if safe or origin is None or by_bearer:
        return False
    hosts = {headers.get("host"), headers.get("x-forwarded-host", "").partition(",")[0].strip()}
    return (urlsplit(origin).netloc or None) not in hosts - {None}


def _is_address(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True

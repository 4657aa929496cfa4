"""The web server around an application: its address, its run and its end."""

import ctypes
import logging
import os
import socket
import sys
import threading
from types import FrameType

import uvicorn
from fastapi import FastAPI

from studio.api.idle import IdleStop
from studio.errors import SettingsError
from studio.password import has_accounts, settled
from studio.people import HOME, NOBODY, acting_as
from studio.services import Services
from studio.settings import Settings

log = logging.getLogger(__name__)
_EVERYWHERE = ("0.0.0.0", "::")
"""Addresses of a server that listens on all of its machine's."""
_TURN_SECONDS = 0.001
"""After which a thread lets others go on. Answers wait for several turns, as each look into the
database ends one, beside threads that work on something longer."""
_ARENAS = 2
"""Pools of memory that all threads share. With one for each of the forty that answer, 50 open
pages take 472 MB instead of 386, for each pool keeps what its busiest moment needed."""
_M_ARENA_MAX = -8
_STREAMS_SECONDS = 2
"""What open streams of events get at the end."""
_IDLE_SECONDS = 75
"""For which an idle connection is kept: longer than clients and proxies keep theirs, so that they
and not the server end it, and none sends a request just as it is ended."""


def share_memory() -> None:
    """Have the threads to come share few of the C library's pools (mallopt(3), M_ARENA_MAX)."""
    try:
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, _ARENAS)
    except (OSError, AttributeError):  # not glibc: its allocator has no such pools
        return


def listen(settings: Settings) -> socket.socket:
    """A socket bound to the host and port of the settings, or the one that was handed over.

    SettingsError when they are taken, or when others could reach them without an account.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol by its name: else asyncio does not see that it is TCP, leaves Nagle's
    # algorithm on, and each answer on a connection that is kept waits 40 ms for an acknowledgement.
    listener = _handed() or socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if not listener.getsockname()[1]:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((settings.host, settings.port))
        reached(settings, listener)
        # At once, for two servers could bind to one port as long as neither listens.
        listener.listen()
    except SettingsError:
        listener.close()
        raise
    except (OSError, TypeError, ValueError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"Could not listen on {settings.host}:{settings.port} ({reason}); "
            "choose another --port (ATELIER_PORT) or --host (ATELIER_HOST)."
        ) from None
    return listener


def reached(settings: Settings, listener: socket.socket) -> Settings:
    """The settings with `accounts` settled by who can reach the socket; else SettingsError."""
    return settled(settings, listener.getsockname()[0])


def run(app: FastAPI, listener: socket.socket, services: Services) -> bool:
    """Serve until a signal or idleness ends it, and whether it was the latter.

    Open streams get two seconds.
    """
    settings = services.settings
    sys.setswitchinterval(_TURN_SECONDS)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level=settings.log_level,
        access_log=settings.log_level == "debug",
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_STREAMS_SECONDS,
    )
    host, port = listener.getsockname()[:2]
    if host in _EVERYWHERE:  # which no browser can open, but for some of this machine's own
        host = "localhost"
    shown = f"[{host}]" if ":" in host else host
    print(f"Atelier is at http://{shown}:{port} (data in {settings.data_dir})", flush=True)
    accounts = has_accounts(settings)
    if accounts and (key := services.accounts.set_up_key()):
        path = settings.path_prefix + services.accounts.path_of_link(key)
        print(f"Nobody manages it yet: open http://{shown}:{port}{path} within a day", flush=True)
    server = _Server(config, settings.stop_seconds)
    idle = IdleStop(
        settings.idle_stop_minutes,
        app.state.seen,
        lambda: any((services.queue.line().running, services.queue.line().waiting)),
        server.end,
    )
    # Whatever no request asked for is nobody's, and nothing is shown to nobody.
    with idle, acting_as(NOBODY if accounts else HOME, ""):
        server.run(sockets=[listener])
    return idle.happened


class _Server(uvicorn.Server):
    """Ends in time, whatever hangs, and tells whoever waits when it is up."""

    def __init__(self, config: uvicorn.Config, seconds: float):
        super().__init__(config)
        self._seconds = seconds

    def end(self) -> None:
        """End in order."""
        self._watch_the_end()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: the first ends in order, a second at once."""
        if not self.should_exit:
            self._watch_the_end()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        _tell_ready()

    def _watch_the_end(self) -> None:
        def force() -> None:
            log.error("The end took longer than %.0f s and is forced.", self._seconds)
            os._exit(1)

        timer = threading.Timer(self._seconds, force)
        timer.daemon = True
        timer.start()


def _handed() -> socket.socket | None:
    """The socket that whoever started this process has opened already, as systemd does.

    LISTEN_PID says that it is meant for this process; it is then number 3.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not os.environ.get("LISTEN_FDS"):
        return None
    del os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"]
    handed = socket.socket(fileno=3)
    handed.set_inheritable(False)
    return handed


def _tell_ready() -> None:
    """Tell whoever started this process, by the socket that NOTIFY_SOCKET names as for systemd."""
    if name := os.environ.pop("NOTIFY_SOCKET", ""):
        address = f"\0{name[1:]}" if name.startswith("@") else name
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            try:
                teller.sendto(b"READY=1", address)
            except OSError as error:
                log.warning("That the server is up could not be told: %s", error)

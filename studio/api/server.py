"""The web server around an application: its address, its run and its end."""

import logging
import socket

import uvicorn
from fastapi import FastAPI

from studio.errors import SettingsError
from studio.settings import Settings

log = logging.getLogger(__name__)


def listen(settings: Settings) -> socket.socket:
    """A socket bound to the host and port of the settings; SettingsError when they are taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        # At once, for two servers could bind to one port as long as neither listens.
        listener.listen()
    except (OSError, TypeError, ValueError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"Could not listen on {settings.host}:{settings.port} ({reason}); "
            "choose another --port (ATELIER_PORT) or --host (ATELIER_HOST)."
        ) from None
    if not _is_loopback(settings.host):
        log.warning("Everyone who can reach this machine at %s can use this studio.", settings.host)
    return listener


def run(app: FastAPI, listener: socket.socket, settings: Settings) -> None:
    """Serve until a signal ends it; open streams get two seconds."""
    config = uvicorn.Config(
        app,
        log_level=settings.log_level,
        access_log=settings.log_level == "debug",
        timeout_graceful_shutdown=2,
    )
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"Atelier is at http://{shown}:{port} (data in {settings.data_dir})", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"

"""Atelier's entry point: parse settings, build services, mount, launch."""

import logging
import os
import socket
import sys

from studio import cli
from studio.errors import AtelierError, SettingsError
from studio.settings import Settings


def serve(settings: Settings) -> None:
    """Run the server until it is stopped."""
    listener = _listen(settings)
    # Gradio reads these while it is imported; the page asks no other host for anything.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(settings.data_dir / "uploads")
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

    import uvicorn

    from studio.services import build_services
    from tabs.page import build_app

    services = build_services(settings)
    services.acquire()
    try:
        config = uvicorn.Config(
            build_app(services),
            log_level=settings.log_level,
            access_log=settings.log_level == "debug",
            timeout_graceful_shutdown=2,
        )
        host, port = listener.getsockname()[:2]
        print(f"Atelier is at http://{host}:{port} (data in {settings.data_dir})", flush=True)
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        services.stop()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        raise SettingsError(
            f"Could not listen on {settings.host}:{settings.port} ({error.strerror}); "
            "choose another --port (ATELIER_PORT) or --host (ATELIER_HOST)."
        ) from None
    return listener


def main() -> None:
    """The command `atelier`; without a subcommand it serves the page."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        cli.run(serve, sys.argv[1:])
    except AtelierError as error:
        sys.exit(f"atelier: {error}")


if __name__ == "__main__":
    main()

"""Atelier's entry point: parse settings, build services, mount, launch."""

import logging
import os
import signal
import sys

from studio import cli
from studio.errors import AtelierError
from studio.settings import Settings


def serve(settings: Settings) -> None:
    """Run the server until it is stopped."""
    # uvicorn hands a signal on after its own end, and by default that would end us before `stop`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Gradio reads this while it is imported.
    os.environ["GRADIO_TEMP_DIR"] = str(settings.data_dir / "uploads")

    from studio.api import server
    from studio.services import build_services
    from tabs.page import build_app

    with server.listen(settings) as listener:
        services = build_services(settings)
        try:
            services.acquire()
            server.run(build_app(services), listener, settings)
        finally:
            services.stop()


def main() -> None:
    """The command `atelier`; without a subcommand it serves the page."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        cli.run(serve, sys.argv[1:])
    except AtelierError as error:
        sys.exit(f"atelier: {error}")


if __name__ == "__main__":
    main()

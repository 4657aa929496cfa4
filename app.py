"""Atelier's entry point: parse settings, build services, mount, launch."""

import logging
import os
import signal
import sys

from studio import cli, logs
from studio.errors import AtelierError
from studio.settings import Settings


def serve(settings: Settings) -> None:
    """Run the server until it is stopped."""
    # uvicorn hands a signal on after its own end, and by default that would end us before `stop`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Gradio reads this while it is imported.
    os.environ["GRADIO_TEMP_DIR"] = str(settings.data_dir / "uploads")
    # No process that is started from here, such as a training, has any use for it.
    os.environ.pop("ATELIER_PASSWORD", None)
    os.environ.pop("ATELIER_DATABASE_URL", None)

    from studio.api import idle, server
    from studio.services import build_services
    from tabs.page import build_app

    server.share_memory()
    log = logs.written(settings.log_level, settings.log_format)
    with server.listen(settings) as listener, log:
        settings = server.reached(settings, listener)
        apart = settings.workers == "process"
        services = build_services(settings, apart=apart, cluster=settings.cluster)
        logs.count_lines(services.metrics)
        try:
            services.acquire()
            was_idle = server.run(build_app(services), listener, services)
        finally:
            services.stop()
        if was_idle:
            listener.close()
            idle.become(settings.idle_command)


def main() -> None:
    """The command `atelier`; without a subcommand it serves the page."""
    logging.basicConfig(format=logs.TEXT)
    try:
        cli.run(serve, sys.argv[1:])
    except AtelierError as error:
        sys.exit(f"atelier: {error}")


if __name__ == "__main__":
    main()

"""Whether the studio in this container answers: what the image's HEALTHCHECK runs."""

import json
import os
import sys
import urllib.request

from studio.container.start import take_port

_SECONDS = 5


def main() -> None:
    """Exit code 0 when it does; while it is only starting it does not."""
    environment = dict(os.environ)
    take_port(environment)
    host, port = environment.get("ATELIER_HOST", ""), environment.get("ATELIER_PORT", "7860")
    near = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    shown = f"[{near}]" if ":" in near else near
    # No proxy of the environment is to be asked for what is in this very container.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{shown}:{port}/health", timeout=_SECONDS) as answer:
            told = json.load(answer)
    except (OSError, ValueError) as error:
        sys.exit(f"The studio does not answer: {error}.")
    if told != {"status": "ok"}:
        sys.exit(f"The studio answers {told}.")


if __name__ == "__main__":
    main()

"""Stops the RunPod machine that this container is on, so that its card costs nothing any more.

A container that ends does not: the machine starts it again and is paid for all the time. What is on
the volume stays.
"""

import os
import shutil
import subprocess
import sys
import urllib.request
from urllib.parse import quote

API = "https://rest.runpod.io/v1"
_SECONDS = 30


def main() -> None:
    """Ask RunPod by its API, else by the program that it puts into every machine."""
    pod, key = os.environ.get("RUNPOD_POD_ID", ""), os.environ.get("RUNPOD_API_KEY", "")
    if not pod:
        sys.exit("RUNPOD_POD_ID is not set: this is no machine of RunPod, and goes on.")
    problems = []
    for ask in (_by_api, _by_program):
        try:
            ask(pod, key)
        except (OSError, subprocess.SubprocessError) as error:
            problems.append(str(error))
        else:
            print(f"RunPod stops {pod}.", flush=True)
            return
    sys.exit(f"RunPod does not stop {pod}: {'; '.join(problems)}.")


def _by_api(pod: str, key: str) -> None:
    if not key:
        raise OSError("RUNPOD_API_KEY is not set")
    base = os.environ.get("RUNPOD_REST_URL", API)
    request = urllib.request.Request(
        f"{base}/pods/{quote(pod, safe='')}/stop",
        method="POST",
        headers={"Authorization": f"Bearer {key}"},
    )
    with urllib.request.urlopen(request, timeout=_SECONDS):
        pass


def _by_program(pod: str, key: str) -> None:
    program = shutil.which("runpodctl")
    if program is None:
        raise OSError("runpodctl is not installed")
    # Its newer versions say it the one way round, its older ones the other.
    for words in (("pod", "stop"), ("stop", "pod")):
        done = subprocess.run(
            [program, *words, pod], check=False, timeout=_SECONDS, capture_output=True, text=True
        )
        if done.returncode == 0:
            return
    raise OSError(f"runpodctl: {done.stderr.strip() or done.stdout.strip()}")


if __name__ == "__main__":
    main()
